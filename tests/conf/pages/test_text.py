"""Figures as texts, with a dash for a figure without data."""

import math

import numpy as np
import pytest

from conf.pages.inequality import gini
from conf.pages.text import cost_cells, figure, interval, share


def test_a_figure_without_data_is_a_dash_in_every_form() -> None:
    nothing = {"low": None, "high": None}

    assert {figure(None), interval(nothing), share(None), *cost_cells({})} == {"-"}


def test_figures_have_the_digits_and_the_sign_that_are_asked_for() -> None:
    assert (figure(0.25), figure(0.25, 2), figure(0.25, sign="+")) == ("0.2500", "0.25", "+0.2500")
    assert interval({"low": -0.5, "high": 0.5}, sign="+") == "-0.5000 to +0.5000"
    assert interval({"low": 0.0, "high": 1.0}, "-") == "0.0000-1.0000"


@pytest.mark.parametrize("counts", [[], [0], [0, 0, 0]])
def test_no_counts_are_neither_equal_nor_unequal(counts: list[int]) -> None:
    with np.errstate(all="raise"):
        assert gini(np.array(counts)) is None
    assert math.isclose(gini(np.array([1, 1, 0, 0])) or 0.0, 0.5)
