"""Plots whose places are worked out by hand, and the page of a comparison."""

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from conf.command.printing.tables import print_result
from conf.pages.plot import Axis, Point, Series, plot
from conf.pages.svg import ticks
from trainer.pages.comparison import write_comparison

HOSTILE = "<script>alert('1')</script>\"&"


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, [0, 0.5, 1]),  # a quarter is no round number; a half is the next one
        (4.9, 6.6, [4.5, 5, 5.5, 6, 6.5, 7]),
        (1, 20, [0, 5, 10, 15, 20]),
        (0.01, 0.08, [0, 0.02, 0.04, 0.06, 0.08]),
        (3, 3, [1, 2, 3, 4, 5]),
    ],
)
def test_marks_are_round_and_hold_all_values(
    low: float, high: float, expected: list[float]
) -> None:
    assert ticks(low, high) == expected


def places(svg: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', svg)]


def test_powers_of_ten_are_equally_far_where_values_go_far_apart() -> None:
    points = [Point(x, 0.5) for x in (0.1, 1.0, 10.0, 100.0)]
    log = places(plot("t", [Series("s", points)], Axis("seconds", is_log=True), Axis("y")))
    gaps = [after[0] - before[0] for before, after in pairwise(log)]
    assert gaps == pytest.approx([gaps[0]] * 3, abs=0.11) and gaps[0] > 50
    near = [Point(x, 0.5) for x in (10.0, 20.0, 40.0)]
    line = places(plot("t", [Series("s", near)], Axis("seconds", is_log=True), Axis("y")))
    assert line[2][0] - line[1][0] == pytest.approx(2 * (line[1][0] - line[0][0]), abs=0.2)


def test_better_is_higher_and_bounds_go_through_the_point() -> None:
    svg = plot(
        "t", [Series("s", [Point(1, 0.1, "a", 0.05, 0.15), Point(2, 0.3, "b", 0.2, 0.4)])],
        Axis("x"), Axis("y"),
    )  # fmt: skip
    (_, low), (_, high) = places(svg)
    assert high < low  # the picture's origin is at the top
    whiskers = re.findall(
        r'class="whisker" x1="[\d.]+" y1="([\d.]+)" x2="[\d.]+" y2="([\d.]+)"', svg
    )
    for (_, y), (bottom, top) in zip(places(svg), whiskers, strict=True):
        assert y == pytest.approx((float(bottom) + float(top)) / 2, abs=0.1)


def test_names_of_neighbours_do_not_lie_on_one_another_and_stay_text() -> None:
    points = [Point(1, 0.5, "first"), Point(1.001, 0.5001, "second"), Point(3, 0.1, HOSTILE)]
    svg = plot("t", [Series("s", points, is_joined=False)], Axis("x"), Axis("y"))
    heights = [float(y) for y in re.findall(r'class="label" x="[\d.-]+" y="([\d.-]+)"', svg)]
    assert abs(heights[0] - heights[1]) > 12
    assert "<script" not in svg and "&lt;script&gt;" in svg and "polyline" not in svg


def compared(seconds: float | None) -> dict[str, Any]:
    row = {
        "id": "m-1", "ndcg@10": {"value": 0.25, "low": 0.2, "high": 0.3},
        "hr@5": {"value": 0.4, "low": 0.3, "high": 0.5}, "seconds": seconds, "parameters": 1234,
        "peak_memory_bytes": 3 << 20, "flops_per_example": None, "scored_per_second": 10.0,
        "reasons": {"users": 0, "score_falls_without_the_reason": 0,
                    "score_falls_without_another_item": 0},
    }  # fmt: skip
    other = {**row, "id": "m-2", "ndcg@10": {"value": 0.125, "low": 0.1, "high": 0.15}}
    return {
        "stage": "compare", "dataset": "shop-1", "metric": "ndcg@10", "targets": 50,
        "models": {"network": row, HOSTILE: other}, "reference": "network",
        "differences": {HOSTILE: {"value": -0.125, "low": -0.2, "high": -0.1, "p": 0.001}},
    }  # fmt: skip


def test_a_comparison_is_a_page_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = compared(12.5)
    path = write_comparison(tmp_path, result)

    html = path.read_text()
    assert path.parent == tmp_path / "comparisons" and path.name.startswith("shop-1-")
    assert html.count("<svg") == 1 and html.count('class="whisker"') == 2
    assert "<script" not in html and not re.search(r"https?:|//|@import|url\(", html)
    for words in (
        "0.2000 to 0.3000",
        "12.5",
        "1,234",
        "3.0 MiB",
        "-0.1250",
        "prefers-color-scheme",
    ):
        assert words in html
    assert write_comparison(tmp_path, result) == path and path.read_text() == html
    assert "<svg" not in write_comparison(tmp_path, compared(None)).read_text()
    print_result({**result, "page": str(path)})
    printed = capsys.readouterr().out
    assert str(path) in printed and "3.0 MiB" in printed
