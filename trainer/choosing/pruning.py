"""The figure below which a trial is given up at each epoch, from the trials before it.

Trials are made one after the other, so that all bars of one are known when it begins. A curve is
a trial's best validation figure so far after each of its epochs, higher is better.
"""

import statistics
from collections.abc import Sequence

Curve = Sequence[float]


def median_bars(
    finished: Sequence[Curve], *, epochs: int, warmup_epochs: int, startup_trials: int
) -> list[float | None]:
    """Return for each epoch the median of the finished trials that got so far.

    Source: Golovin et al. 2017 (Vizier), section 3.2.1, with the best figure in place of the mean.

    Args:
        finished: Curves of the trials that ended of themselves.
        epochs: How many bars.
        warmup_epochs: The first one is behind so many epochs.
        startup_trials: Curves without which there is none.
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
    """Return for each rung what the best of the trials there came to: one in so many goes on.

    Rung i is behind `warmup_epochs` times `reduction_factor` to the power of i epochs.
    Source: Li et al. 2020 (ASHA), algorithm 2, with trials that never wait: of fewer than
    `reduction_factor` trials the best goes on.

    Args:
        curves: Curves of all trials before, given up or not.
        epochs: How many bars.
        warmup_epochs: Epochs before the first rung.
        reduction_factor: Of so many trials at a rung one goes on.
    """
    bars: list[float | None] = [None] * epochs
    number = warmup_epochs
    while number <= epochs:
        figures = sorted(curve[number - 1] for curve in curves if len(curve) >= number)[::-1]
        going_on = max((len(figures) + 1) // reduction_factor, 1)  # this trial counted in
        if going_on <= len(figures):
            bars[number - 1] = figures[going_on - 1]
        number *= reduction_factor
    return bars
