"""The charts of the pages: vertical bars, horizontal bars, and a curve of shares.

They are 360 units wide, the width of a phone, so their text keeps its size there.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from conf.pages.svg import axis, cut, drawing, line, rect, text, ticks
from conf.pages.text import number, share

_WIDTH, _HEIGHT = 360, 200
_LEFT, _TOP, _RIGHT, _BOTTOM = 42, 10, 354, 174  # the plotting area
_LETTER = 6.4  # largest width of a letter at the axis
_LEAST = 1.5  # smallest height of a bar that is not zero
_ROW, _BAR = 34, 9  # heights, of horizontal bars
_MOST_LETTERS = 32


@dataclass(frozen=True)
class Distribution:
    """A quantity counted in bins, as one series or several, such as before and after cleaning."""

    title: str
    unit: str
    """What is counted, in the plural; empty if `is_share`."""
    labels: Sequence[str]
    """Name of each bin."""
    series: Mapping[str, Sequence[float]]
    """One number per bin, by the name of the series."""
    note: str = ""
    is_across: bool = False
    """Whether the bins are names and drawn as horizontal bars, not points of a scale."""
    is_share: bool = False
    """Whether the numbers are shares from 0 to 1, not counts."""


def bars(distribution: Distribution) -> Markup:
    """Return the bars of a distribution; several series are drawn side by side."""
    if distribution.is_across:
        return _bars_across(distribution)
    labels, series = distribution.labels, distribution.series
    largest = _largest(distribution)
    levels = ticks(0, largest) if largest else [0, 1]
    slot = (_RIGHT - _LEFT) / max(len(labels), 1)
    gap = min(slot * 0.18, 5)
    width = (slot - gap) / len(series)
    parts = [axis(levels, (_LEFT, _TOP, _RIGHT, _BOTTOM), distribution.is_share)]
    for index, (name, values) in enumerate(series.items()):
        for place, value in enumerate(values):
            height = _length(value, levels[-1], _BOTTOM - _TOP)
            x = _LEFT + place * slot + gap / 2 + index * width
            tip = f"{labels[place]}, {name}: {_words(distribution, value)}"
            css = _css(index, len(series))
            parts.append(rect(x, _BOTTOM - height, width, height, css=css, tip=tip))
    parts += [
        text(_LEFT + (place + 0.5) * slot, _BOTTOM + 17, words, anchor="middle")
        for place, words in _labels_shown(labels, slot)
    ]
    return drawing(distribution.title, _WIDTH, _HEIGHT, parts)


def share_curve(title: str, shares: Sequence[tuple[float, float]]) -> Markup:
    """Return a curve of one share over another, from (0, 0) to (1, 1), and the diagonal."""
    width, height = _RIGHT - _LEFT - 10, _BOTTOM - _TOP
    points = " ".join(f"{_LEFT + x * width:.1f},{_BOTTOM - y * height:.1f}" for x, y in shares)
    shape = Markup(
        '<polygon class="area" points="{} {},{} {},{}"/><polyline class="curve" points="{}"/>'
    ).format(points, _LEFT + width, _BOTTOM, _LEFT, _BOTTOM, points)
    levels = [0, 0.25, 0.5, 0.75, 1]
    parts = [
        axis(levels, (_LEFT, _TOP, _LEFT + width, _BOTTOM), is_share=True),
        shape,
        line(_LEFT, _BOTTOM, _LEFT + width, _TOP, "even"),
        *(text(_LEFT + x * width, _BOTTOM + 17, f"{100 * x:g}%", anchor="middle") for x in levels),
    ]
    return drawing(title, _WIDTH, _HEIGHT, parts)


def _bars_across(distribution: Distribution) -> Markup:
    series = distribution.series
    largest = _largest(distribution) or 1
    row = _ROW + _BAR * (len(series) - 1)
    parts = []
    for place, label in enumerate(distribution.labels):
        y = place * row
        words = [_words(distribution, values[place]) for values in series.values()]
        parts.append(text(0, y + 13, cut(label, _MOST_LETTERS), css="label"))
        parts.append(text(_WIDTH, y + 13, " → ".join(words), anchor="end"))
        for index, (name, values) in enumerate(series.items()):
            width = _length(values[place], largest, _WIDTH)
            tip, css = f"{label}, {name}: {words[index]}", _css(index, len(series))
            parts.append(rect(0, y + 18 + index * _BAR, width, _BAR - 1, css=css, tip=tip))
    return drawing(distribution.title, _WIDTH, max(row * len(distribution.labels), 1), parts)


def _labels_shown(labels: Sequence[str], slot: float) -> list[tuple[int, str]]:
    """Return the places and first words of labels that do not overlap."""
    words = [label.split(" to ")[0] for label in labels]
    longest = max(map(len, words), default=1)
    step = math.ceil((longest * _LETTER + 8) / slot)
    return [(place, word) for place, word in enumerate(words) if place % step == 0]


def _largest(distribution: Distribution) -> float:
    return max((max(values, default=0) for values in distribution.series.values()), default=0)


def _length(value: float, largest: float, room: float) -> float:
    return max(room * value / largest, _LEAST if value else 0)


def _css(index: int, num_series: int) -> str:
    return "bar before" if index < num_series - 1 else "bar"


def _words(distribution: Distribution, value: float) -> str:
    return share(value) if distribution.is_share else number(int(value))
