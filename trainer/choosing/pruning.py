"""Compute bars from earlier trials: a trial whose figure is below the bar of an epoch is stopped.

Trials run one after another, so all bars of a trial are known when it starts. A curve is a
trial's best validation figure so far after each of its epochs; higher is better.
"""

import statistics
from collections.abc import Sequence

Curve = Sequence[float]


def median_bars(
    finished: Sequence[Curve], *, epochs: int, warmup_epochs: int, startup_trials: int
) -> list[float | None]:
    """Return for each epoch the median figure of the finished trials that reached it.

    Source: Golovin et al. 2017 (Vizier), section 3.2.1, with the best figure in place of the mean.

    Args:
        finished: Curves of the trials that were not stopped early.
        epochs: Number of bars.
        warmup_epochs: The first bar comes after this many epochs.
        startup_trials: Fewest curves for a bar.
    """
    bars: list[float | None] = []
    for number in range(1, epochs + 1):
        figures = [curve[number - 1] for curve in finished if len(curve) >= number]
        is_one = number >= warmup_epochs and len(figures) >= startup_trials
        bars.append(statistics.median(figures) if is_one else None)
    return bars


def halving_bars(
    curves: Sequence[Curve], *, epochs: int, warmup_epochs: int, reduction_factor: int
) -> list[float | None]:
    """Return for each rung the lowest figure of those that continue, one in `reduction_factor`.

    Rung i comes after `warmup_epochs` * `reduction_factor`**i epochs.
    Source: Li et al. 2020 (ASHA), algorithm 2, with trials that never wait: of fewer than
    `reduction_factor` trials the best one continues.

    Args:
        curves: Curves of all earlier trials, stopped early or not.
        epochs: Number of bars.
        warmup_epochs: Epochs before the first rung.
        reduction_factor: One in this many trials continues after a rung.
    """
    bars: list[float | None] = [None] * epochs
    number = warmup_epochs
    while number <= epochs:
        figures = sorted(curve[number - 1] for curve in curves if len(curve) >= number)[::-1]
        going_on = max((len(figures) + 1) // reduction_factor, 1)  # this trial included
        if going_on <= len(figures):
            bars[number - 1] = figures[going_on - 1]
        number *= reduction_factor
    return bars
