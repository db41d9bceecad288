"""The ledger as a flow diagram: from the logs of an input to the outcomes of their rows."""

from collections.abc import Mapping
from dataclasses import dataclass

from markupsafe import Markup

from conf.ledger import Account
from conf.pages.svg import cut, drawing, rect, text
from conf.pages.text import number, share

_NODE = 9  # width of a node
_FLOW = 230  # height of all rows together
_LEAST = 1.5


@dataclass(frozen=True)
class FlowSize:
    """The layout of a flow's columns: wide for screens, narrow for phones."""

    width: int
    left: int
    right: int
    pitch: int
    """Minimum distance of two outcomes, each with one or two lines of text."""
    is_narrow: bool


WIDE = FlowSize(width=900, left=150, right=560, pitch=25, is_narrow=False)
NARROW = FlowSize(width=360, left=0, right=148, pitch=38, is_narrow=True)


@dataclass(frozen=True)
class Outcome:
    """The outcome of rows: kept, or a reason why not."""

    kind: str
    """kept, dropped or quarantined."""
    reason: str
    rows: int


def outcomes(account: Account) -> list[Outcome]:
    """Return the outcomes of an account's rows; in each kind, the most frequent reason first."""
    found = [Outcome("kept", "", account.rows_kept)] if account.rows_kept else []
    for kind, reasons in (("dropped", account.dropped), ("quarantined", account.quarantined)):
        by_rows = sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0]))
        found += [Outcome(kind, reason, rows) for reason, rows in by_rows if rows]
    return found


def rows_with(account: Account, outcome: Outcome) -> int:
    """Return how many of an account's rows have that outcome."""
    if outcome.kind == "kept":
        return account.rows_kept
    reasons = account.dropped if outcome.kind == "dropped" else account.quarantined
    return reasons.get(outcome.reason, 0)


def flow(title: str, total: Account, groups: Mapping[str, Account], layout: FlowSize) -> Markup:
    """Return the flow of one input's rows from its groups to the outcomes of `total`."""
    ends = outcomes(total)
    scale = _FLOW / max(total.rows_read, 1)
    tops = _tops([end.rows * scale for end in ends], layout.pitch)
    height = tops[-1] + max(ends[-1].rows * scale, layout.pitch) if ends else _FLOW
    starts = _tops([account.rows_read * scale for account in groups.values()], layout.pitch)
    used = starts[-1] + list(groups.values())[-1].rows_read * scale if starts else 0
    offset = max((height - used) / 2, 0) if not layout.is_narrow else 0
    filled = list(tops)
    links, nodes = [], []
    for (name, account), top in zip(groups.items(), starts, strict=True):
        y = top + offset
        nodes.append(_start(name, account, y, scale, layout))
        for place, end in enumerate(ends):
            rows = rows_with(account, end)
            if rows:
                thick = (rows * scale, max(rows * scale, _LEAST))
                tip = f"{name}: {_name(end)} {number(rows)}"
                links.append(_link(layout, (y, filled[place]), thick, css=end.kind, tip=tip))
                y += rows * scale
                filled[place] += rows * scale
    nodes += [_end(end, top, total, scale, layout) for end, top in zip(ends, tops, strict=True)]
    return drawing(title, layout.width, max(height, used) + 8, [*links, *nodes])


def _tops(heights: list[float], pitch: float) -> list[float]:
    """Return the top of each node if nodes of these heights are placed below each other."""
    tops, y = [], 4.0
    for height in heights:
        tops.append(y)
        y += max(height + 6, pitch)
    return tops


def _start(name: str, account: Account, y: float, scale: float, layout: FlowSize) -> Markup:
    tip = f"{name}: {number(account.rows_read)} rows read"
    node = rect(layout.left, y, _NODE, max(account.rows_read * scale, _LEAST), css="node", tip=tip)
    x = layout.left + _NODE + 6 if layout.is_narrow else 0
    return Markup("").join(
        [
            node,
            text(x, y + 15, cut(name, 20), css="label strong"),
            text(x, y + 31, f"{number(account.rows_read)} read"),
        ]
    )


def _end(end: Outcome, y: float, total: Account, scale: float, layout: FlowSize) -> Markup:
    height = max(end.rows * scale, _LEAST)
    figures = f"{number(end.rows)} · {share(end.rows / max(total.rows_read, 1))}"
    x = layout.right + _NODE + 8
    node = rect(
        layout.right, y, _NODE, height, css=f"node {end.kind}", tip=f"{_name(end)}: {figures}"
    )
    if layout.is_narrow:
        words = [text(x, y + 11, cut(_name(end), 30), css="label"), text(x, y + 26, figures)]
    else:
        words = [
            text(x, y + 11, cut(_name(end), 34), css="label"),
            text(layout.width - 4, y + 11, figures, anchor="end"),
        ]
    return Markup("").join([node, *words])


def _link(
    layout: FlowSize, tops: tuple[float, float], thick: tuple[float, float], *, css: str, tip: str
) -> Markup:
    """Draw a band from the left column to the right one, by its top and thickness at both ends."""
    (y1, y2), (x1, x2) = tops, (layout.left + _NODE, layout.right)
    middle = (x1 + x2) / 2
    shape = (
        "M{0:.1f},{2:.1f} C{6:.1f},{2:.1f} {6:.1f},{3:.1f} {1:.1f},{3:.1f} "
        "L{1:.1f},{5:.1f} C{6:.1f},{5:.1f} {6:.1f},{4:.1f} {0:.1f},{4:.1f} Z"
    ).format(x1, x2, y1, y2, y1 + thick[0], y2 + thick[1], middle)
    path = Markup('<path class="link {}" d="{}"><title>{}</title></path>')
    return path.format(css, shape, tip)


def _name(end: Outcome) -> str:
    return f"{end.kind}: {end.reason}" if end.reason else end.kind
