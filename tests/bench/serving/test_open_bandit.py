"""The comparison on the Open Bandit Dataset, on made-up logs in its columns."""

from pathlib import Path

import numpy as np
import pandas as pd

from serving.outcome.estimators import ESTIMATORS
from tests.bench.serving.open_bandit import CAMPAIGNS, measure

ROWS, ITEMS, POSITIONS = 2000, 4, 3


def write_log(path: Path, chance: np.ndarray, seed: int) -> None:
    """Write a log whose items have these chances; item n is clicked by (n + 1) of 10 users."""
    rng = np.random.default_rng(seed)
    item = rng.choice(ITEMS, ROWS, p=chance)
    log = pd.DataFrame({
        "item_id": item, "position": rng.integers(1, POSITIONS + 1, ROWS),
        "click": (rng.random(ROWS) < (item + 1) / 10).astype(int), "propensity_score": chance[item],
        **{f"user_feature_{n}": rng.integers(0, 6, ROWS).astype(str) for n in range(4)},
    })  # fmt: skip
    path.parent.mkdir(parents=True)
    log.to_csv(path)


def test_what_a_policy_got_is_estimated_from_the_log_of_random_lists(tmp_path: Path) -> None:
    chances = {"random": np.full(ITEMS, 1 / ITEMS), "bts": np.array([0.1, 0.1, 0.2, 0.6])}
    for seed, name in enumerate(CAMPAIGNS):
        for policy, chance in chances.items():
            write_log(tmp_path / policy / name / f"{name}.csv", chance, seed)

    found = measure(tmp_path, draws=2)

    truth = float((chances["bts"] * np.arange(1, ITEMS + 1)).sum() / 10)
    for name in CAMPAIGNS:
        own, low, high = found[name]["own_rate"]
        assert low < own < high < low + 0.08 and abs(own - truth) < 0.05
        for kind in ESTIMATORS:
            assert abs(found[name][kind]["mean"] - truth) < 0.1
            assert found[name][kind]["intervals_that_meet_it"] == found[name][kind]["of"] == 2
