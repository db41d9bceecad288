"""The page of an outcome: rates, comparisons, estimates and the ledger, without users."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from conf.pages.blocks import Chart, Section, Table
from conf.pages.page import Page, Tile
from conf.pages.plot import Axis, Point, Series, plot
from conf.pages.text import NOTHING, figure, interval, number, share
from conf.workspace.hashes import canonical_hash
from conf.workspace.output_file import write_whole

COMPARISONS = "comparisons"
"""Folder in the workspace."""
Result = dict[str, Any]
_HEADER = ["users", "shown", "acted on", "rate", "95% interval"]
_ESTIMATORS = {"ips": "IPS", "snips": "SNIPS", "dr": "doubly robust"}
_RATES = (
    "Shown: items of a list, once for each user and day. Rate: mean worth of an item that was "
    "shown; if all acts are worth 1, the share that was acted on. The interval takes the rows of a "
    "user together."
)
_COMPARED = (
    "The users of the canary compared with all others over the same time. p is the probability of "
    "a difference at least this large if both versions are equally good."
)
_POLICY = (
    "What other lists would have got at the places that were shown, estimated from the places that "
    "were drawn at random. Support: places at which the item of those lists could have been."
)


def write_outcome(workspace: Path, result: Result, output: Path | None) -> Path:
    """Write the page and return its path; without an output it is named after its content."""
    if output is None:
        days = "-to-".join(dict.fromkeys(result["days"]))
        hashed = canonical_hash([result["versions"], result["comparisons"], result["ledger"]])
        output = workspace / COMPARISONS / f"outcome-{days}-{hashed[:12]}.html"
        output.parent.mkdir(parents=True, exist_ok=True)
    write_whole(output, outcome_page(result).render())
    return output


def outcome_page(result: Result) -> Page:
    """Return the page with the result of `headrace outcome`."""
    days = " to ".join(dict.fromkeys(result["days"]))
    return Page(
        kind="Outcome",
        title=days,
        note=f"lists that were shown on {days}, and the events after that",
        tiles=_tiles(result),
        sections=[
            _rates(result),
            *([_comparisons(result)] if result["comparisons"] else []),
            *(_policy(one) for one in result.get("policies", ())),
            _ledger(result),
        ],
    )


def _tiles(result: Result) -> list[Tile]:
    rows = result["versions"]
    tiles = [
        Tile("versions", number(len({row["version"] for row in rows}))),
        Tile("shown", number(sum(row["shown"] for row in rows))),
        Tile("acted on", number(sum(row["acted"] for row in rows))),
    ]
    for row in result["comparisons"][:1]:
        if row["difference"]:
            found = row["difference"]
            bounds = interval(found, sign="+")
            tiles.append(Tile("canary", figure(found["value"], sign="+"), bounds))
    return tiles


def _named(row: Result) -> str:
    return f"{row['version']}, {row['scenario']}" if row["scenario"] else str(row["version"])


def _rates(result: Result) -> Section:
    rows = result["versions"]
    tables = [_rate_table("Versions", "version", {_named(row): row for row in rows})]
    folded = []
    for row in rows:
        for key, what in (
            ("by_position", "place"), ("by_channel", "channel"), ("by_segment", "segment"),
        ):  # fmt: skip
            if row.get(key):
                folded.append(_rate_table(f"{_named(row)} by {what}", what, row[key]))
    charts = [_chart(row) for row in rows if len(row["by_position"]) > 1]
    return Section("rates", "What was shown", _RATES, tables=tables, charts=charts, folded=folded)


def _rate_table(caption: str, what: str, rows: Mapping[Any, Result]) -> Table:
    cells = [
        [
            str(name),
            *(number(row[key]) for key in ("users", "shown", "acted")),
            figure(row["rate"]),
            interval(row),
        ]
        for name, row in rows.items()
    ]
    return Table(caption, [what, *_HEADER], cells)


def _chart(row: Result) -> Chart:
    places = row["by_position"]
    points = [
        Point(float(place), one["rate"], "", one["low"], one["high"])
        for place, one in places.items()
        if one["rate"] is not None
    ]
    title = f"{_named(row)}: rate by place"
    drawing = plot(title, [Series("rate", points)], Axis("place"), Axis("rate"))
    return Chart(title, drawing, _rate_table(title, "place", places))


def _comparisons(result: Result) -> Section:
    rows = []
    for row in result["comparisons"]:
        found = row["difference"] or dict.fromkeys(("value", "low", "high", "p"))
        where = f", {row['scenario']}" if row["scenario"] else ""
        rows.append(
            [
                f"{row['canary']}{where}",
                row["base"],
                share(row["share"]),
                *(figure(row[side]["rate"]) for side in ("of_canary", "of_base")),
                figure(found["value"], sign="+"),
                interval(found, sign="+"),
                figure(found["p"], 3),
            ]
        )
    header = ["canary", "other users", "share", "its rate", "their rate", "difference",
              "95% interval", "p"]  # fmt: skip
    return Section("canaries", "Canaries", _COMPARED, tables=[Table("Canaries", header, rows, 2)])


def _policy(found: Result) -> Section:
    where = f", {found['scenario']}" if found["scenario"] else ""
    rows = [["all", number(found["places"]), *_estimates(found)]]
    rows += [
        [str(place), number(row["places"]), *_estimates(row)]
        for place, row in found["by_position"].items()
    ]
    header = ["place", "shown"]
    for name in _ESTIMATORS.values():
        header += [name, "95% interval"]
    lead, was = found["lead"], found["logged"]
    facts = [
        ["support", share(found["support"])],
        ["places with the item of these lists", number(found["matched"])],
        ["effective users", f"{found['effective_users']:,.0f}"],
        ["mean weight, 1 if all is well", figure(found["mean_weight"], 3)],
        ["rate of the lists that were shown", f"{figure(was['value'])} ({interval(was)})"],
        ["lead, doubly robust", f"{figure(lead['value'], sign='+')} ({interval(lead, sign='+')})"],
        ["p", figure(lead["p"], 3)],
        *([name.replace("_", " "), number(count)] for name, count in found["left_out"].items()),
    ]
    anchor = f"policy-{found['scenario'] or 'lists'}"
    tables = [Table("Estimates", header, rows), Table("How sure", ["", ""], facts)]
    return Section(anchor, f"{found['policy']}{where}", _POLICY, tables=tables)


def _estimates(row: Result) -> list[str]:
    cells: list[str] = []
    for name in _ESTIMATORS:
        one = row[name]
        cells += [NOTHING, NOTHING] if one is None else [figure(one["value"]), interval(one)]
    return cells


def _ledger(result: Result) -> Section:
    rows = [
        [what, name.replace("_", " "), number(count)]
        for what, counts in result["ledger"].items()
        for name, count in counts.items()
    ]
    table = Table("Ledger", ["of", "what became of it", "count"], rows, 2)
    return Section("ledger", "Ledger", " ".join(f"{note}." for note in result["notes"]),
                   tables=[table])  # fmt: skip
