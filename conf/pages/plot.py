"""A plot of points with error bars if given, joined by a line if their order has a meaning.

It is as wide as the other charts, see `conf.pages.charts`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from conf.pages.svg import drawing, line, text, ticks

_WIDTH, _HEIGHT = 360, 230
_LEFT, _TOP, _RIGHT, _BOTTOM = 50, 18, 344, 186  # the plotting area
_ROOM = 0.06  # share of an axis that is left free at each end
_LOG_FROM = 30  # smallest ratio of largest to smallest value for a logarithmic scale
_LETTER, _LINE = 6.2, 13  # width of a letter, height of a line


@dataclass(frozen=True)
class Point:
    """One point."""

    x: float
    y: float
    name: str = ""
    """Text next to the point."""
    low: float | None = None
    high: float | None = None
    """Upper end of the error bar of y; `low` is its lower end."""


@dataclass(frozen=True)
class Series:
    """Points of one colour."""

    name: str
    points: Sequence[Point]
    is_joined: bool = True
    """Whether a line joins the points, in their order."""


@dataclass(frozen=True)
class Axis:
    """How one axis is drawn."""

    name: str
    is_log: bool = False
    """Whether the scale is logarithmic, if the values differ enough for that."""
    ends: tuple[float, float] | None = None
    """First and last value; None: taken from the values."""


def plot(
    title: str,
    series: Sequence[Series],
    x: Axis,
    y: Axis,
    *,
    even: bool = False,
) -> Markup:
    """Return the plot; the first series has the strong colour.

    Args:
        title: Description for people who cannot see the plot.
        series: The points; at least one in all.
        x: The horizontal axis.
        y: The vertical axis.
        even: Whether to draw the line on which x and y are equal.
    """
    points = [point for one in series for point in one.points]
    heights = [v for p in points for v in (p.y, p.low, p.high) if v is not None]
    across, x_ticks = _scale([p.x for p in points], x, _LEFT, _RIGHT)
    up, y_ticks = _scale(heights, y, _BOTTOM, _TOP)
    parts = [_level(up(tick), tick) for tick in y_ticks]
    parts += [
        text(across(tick), _BOTTOM + 16, f"{tick:,.6g}", anchor="middle")
        for tick in _apart(x_ticks, across)
    ]
    parts.append(text(_RIGHT, _BOTTOM + 34, x.name, anchor="end"))
    parts.append(text(0, _TOP - 8, y.name))
    if even:
        low, high = max(x_ticks[0], y_ticks[0]), min(x_ticks[-1], y_ticks[-1])
        parts.append(line(across(low), up(low), across(high), up(high), "even"))
    for number, one in enumerate(series):
        parts += _drawn(one, across, up, "" if number == 0 else " before")
    parts += _names([(across(p.x), up(p.y), p.name) for p in points if p.name])
    return drawing(title, _WIDTH, _HEIGHT, parts)


def _drawn(
    series: Series, across: Callable[[float], float], up: Callable[[float], float], css: str
) -> list[Markup]:
    parts = []
    if series.is_joined and len(series.points) > 1:
        places = " ".join(f"{across(p.x):.1f},{up(p.y):.1f}" for p in series.points)
        parts.append(Markup('<polyline class="curve{}" points="{}"/>').format(css, places))
    dot = Markup(
        '<circle class="point{}" cx="{:.1f}" cy="{:.1f}" r="{:g}"><title>{}</title></circle>'
    )
    for point in series.points:
        x, y = across(point.x), up(point.y)
        if point.low is not None and point.high is not None:
            parts.append(line(x, up(point.low), x, up(point.high), f"whisker{css}"))
        tip = f"{point.name or series.name}: {point.x:,.6g}, {point.y:.4f}"
        parts.append(dot.format(css, x, y, 2 if series.is_joined else 4, tip))
    return parts


def _names(places: Sequence[tuple[float, float, str]]) -> list[Markup]:
    """Return names next to their points, moved up or down where they would overlap."""
    parts: list[Markup] = []
    taken: list[tuple[float, float, float]] = []  # left, right and height of the names so far
    for x, y, name in sorted(places):
        length = len(name) * _LETTER
        is_right = x + 7 + length > _WIDTH
        left = x - 7 - length if is_right else x + 7
        shifts = (sign * n * _LINE for n in range(len(places) + 1) for sign in (-1, 1))
        height = next(
            y - 5 + shift
            for shift in shifts
            if not any(
                left < end and start < left + length and abs(y - 5 + shift - other) < _LINE
                for start, end, other in taken
            )
        )
        taken.append((left, left + length, height))
        anchor, at = ("end", left + length) if is_right else ("start", left)
        parts.append(text(at, height, name, css="label", anchor=anchor))
    return parts


def _scale(
    values: Sequence[float], axis: Axis, first: float, last: float
) -> tuple[Callable[[float], float], list[float]]:
    """Return a function from values to coordinates, and the values that get a mark."""
    low, high = axis.ends or (min(values), max(values))
    is_log = axis.is_log and low > 0 and high / low >= _LOG_FROM
    if is_log:
        marks = [
            10.0**n for n in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        ]
    else:
        marks = ticks(low, high)
    if axis.ends is None:
        low, high = min(low, marks[0]), max(high, marks[-1])
    turned: Callable[[float], float] = math.log10 if is_log else float
    start, span = turned(low), turned(high) - turned(low) or 1.0
    room = 0.0 if axis.ends else _ROOM

    def place(value: float) -> float:
        share = room + (1 - 2 * room) * (turned(value) - start) / span
        return first + share * (last - first)

    return place, marks


def _level(y: float, tick: float) -> Markup:
    words = text(_LEFT - 5, y + 3.5, f"{tick:.6g}", anchor="end")
    return line(_LEFT, y, _RIGHT, y, "grid") + words


def _apart(marks: Sequence[float], across: Callable[[float], float]) -> list[float]:
    """Return the marks whose numbers do not overlap."""
    shown: list[float] = []
    free = -math.inf
    for tick in marks:
        half = len(f"{tick:,.6g}") * _LETTER / 2 + 3
        if across(tick) - half >= free:
            shown.append(tick)
            free = across(tick) + half
    return shown
