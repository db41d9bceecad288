"""Bars by hand, and against the pruners of Optuna, which decide with the trial in hand."""

import numpy as np
import optuna
import pytest

from trainer.choosing.pruning import halving_bars, median_bars

EPOCHS = 9


def test_the_median_is_of_those_that_got_so_far() -> None:
    curves = [(0.1, 0.2, 0.3), (0.2, 0.4), (0.3, 0.5, 0.5), (0.0,)]

    bars = median_bars(curves, epochs=4, warmup_epochs=2, startup_trials=2)

    assert bars == [None, pytest.approx(0.4), pytest.approx(0.4), None]
    assert median_bars(curves, epochs=3, warmup_epochs=1, startup_trials=4)[0] == pytest.approx(
        0.15
    )
    assert median_bars(curves, epochs=3, warmup_epochs=1, startup_trials=5) == [None] * 3


def test_one_in_three_goes_on_from_a_rung() -> None:
    curves = [(value / 10,) * length for value, length in ((1, 1), (5, 4), (3, 2), (4, 2), (2, 1))]

    bars = halving_bars(curves, epochs=6, warmup_epochs=1, reduction_factor=3)

    # Rungs at epochs 1 and 3: of six trials the best two, of two the best.
    assert bars == [0.4, None, 0.5, None, None, None]
    assert halving_bars([], epochs=3, warmup_epochs=1, reduction_factor=3) == [None] * 3


@pytest.mark.parametrize("kind", ["median", "halving"])
def test_optuna_gives_up_the_same_trials_at_the_same_epochs(kind: str) -> None:
    rng = np.random.default_rng(5)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if kind == "median":
        pruner: optuna.pruners.BasePruner = optuna.pruners.MedianPruner(
            n_startup_trials=3, n_warmup_steps=2, n_min_trials=3
        )
    else:
        pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=2, reduction_factor=2)
    study = optuna.create_study(direction="maximize", pruner=pruner)
    finished: list[list[float]] = []
    curves: list[list[float]] = []
    ends = []
    for _ in range(40):
        whole = np.maximum.accumulate(rng.random() + np.sort(rng.random(EPOCHS))).tolist()
        if kind == "median":
            bars = median_bars(finished, epochs=EPOCHS, warmup_epochs=2, startup_trials=3)
        else:
            bars = halving_bars(curves, epochs=EPOCHS, warmup_epochs=2, reduction_factor=2)
        ours = next(
            (n for n, bar in enumerate(bars, 1) if bar is not None and whole[n - 1] < bar), EPOCHS
        )
        trial, theirs = study.ask(), EPOCHS
        for number, figure in enumerate(whole, start=1):
            trial.report(figure, number)
            if trial.should_prune():
                theirs = number
                break
        if theirs == EPOCHS:
            study.tell(trial, whole[-1])
            finished.append(whole)
        else:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        curves.append(whole[:theirs])
        assert ours == theirs
        ends.append(theirs)
    assert 5 < sum(end < EPOCHS for end in ends) < 38
