"""The elements of charts, as inline SVG.

The page's style sets colours by class. `Markup.format` escapes every text.
"""

import math
from collections.abc import Iterable, Sequence

from markupsafe import Markup

from conf.pages.text import compact

_TICKS = 4


def drawing(title: str, width: float, height: float, parts: Iterable[Markup]) -> Markup:
    """Return a drawing that fills its container, with a title for people who cannot see it."""
    frame = '<svg viewBox="0 0 {:.0f} {:.0f}" role="img" aria-label="{}"><title>{}</title>{}</svg>'
    return Markup(frame).format(width, height, title, title, Markup("").join(parts))


def rect(x: float, y: float, width: float, height: float, *, css: str, tip: str) -> Markup:
    """Return a rectangle that shows `tip` under the mouse pointer."""
    shape = '<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}">'
    return Markup(shape + "<title>{}</title></rect>").format(css, x, y, width, height, tip)


def text(x: float, y: float, words: str, *, css: str = "tick", anchor: str = "start") -> Markup:
    """Return a text at a position."""
    shape = '<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>'
    return Markup(shape).format(css, x, y, anchor, words)


def line(x1: float, y1: float, x2: float, y2: float, css: str) -> Markup:
    """Return a straight line."""
    shape = '<line class="{}" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>'
    return Markup(shape).format(css, x1, y1, x2, y2)


def cut(words: str, most: int) -> str:
    """Return a text cut to `most` characters."""
    return words if len(words) <= most else words[: most - 1] + "…"


def ticks(low: float, high: float) -> list[float]:
    """Return evenly spaced round numbers, from at most `low` to at least `high`."""
    if high <= low:
        low, high = low - abs(low) / 2 - 0.5 * (low == 0), high + abs(high) / 2 + 0.5 * (high == 0)
    rough = (high - low) / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(n * power for n in (1, 2, 5, 10) if n * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(n * step, 12) for n in range(first, last + 1)]


def axis(
    numbers: Sequence[float], box: tuple[float, float, float, float], is_share: bool
) -> Markup:
    """Return horizontal lines with their numbers, in a box (left, top, right, bottom)."""
    left, top, right, bottom = box
    parts = []
    for tick in numbers:
        y = bottom - (bottom - top) * tick / numbers[-1]
        words = f"{100 * tick:g}%" if is_share else compact(tick)
        parts.append(line(left, y, right, y, "grid"))
        parts.append(text(left - 5, y + 3.5, words, anchor="end"))
    return Markup("").join(parts)
