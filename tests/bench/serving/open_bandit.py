"""`python -m tests.bench.serving.open_bandit FOLDER`: the estimators on the Open Bandit Dataset.

FOLDER is `obp/dataset/obd` of the package `obp` 0.4.1, unpacked; its samples have 10,000 places for
each campaign and policy. What a policy of Thompson sampling would get is estimated from the log of
random lists, and compared with what that policy got in its own log.
Source: Saito et al. 2020. The data is not part of the project.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from serving.outcome.estimators import Logged, effective_users, estimates
from serving.outcome.rates import bounds_of_share, ratios

CAMPAIGNS = ("all", "men", "women")
DRAWS = 20


def measure(folder: Path, draws: int = DRAWS) -> dict[str, Any]:
    """Return by campaign what the policy got, and what was estimated in draws of its items."""
    return {name: _campaign(folder, name, draws) for name in CAMPAIGNS}


def _campaign(folder: Path, name: str, draws: int) -> dict[str, Any]:
    random, sampled = (
        pd.read_csv(folder / policy / name / f"{name}.csv", index_col=0)
        for policy in ("random", "bts")
    )
    own, own_low, own_high = _own_rate(sampled)
    found: dict[str, list[tuple[float, float, float]]] = {}
    effective = []
    for seed in range(draws):
        logged = _logged(random, sampled, np.random.default_rng(seed))
        groups = np.zeros(len(random), dtype=np.int64)
        effective.append(float(effective_users(logged, groups, 1)[0]))
        for kind, one in estimates(logged, groups, 1, 1.0).items():
            found.setdefault(kind, []).append((one.value[0], one.low[0], one.high[0]))
    return {
        "places": len(random),
        "clicks": int(random["click"].sum()),
        "random_rate": round(float(random["click"].mean()), 5),
        "own_rate": [round(float(value), 5) for value in (own, own_low, own_high)],
        "effective_users": round(float(np.median(effective)), 1),
        **{
            kind: {
                "mean": round(float(np.mean([one[0] for one in values])), 5),
                "intervals_that_meet_it": sum(
                    bool(low <= own_high and high >= own_low) for _, low, high in values
                ),
                "of": draws,
            }
            for kind, values in found.items()
        },
    }


def _own_rate(log: pd.DataFrame) -> tuple[float, float, float]:
    """Return the rate of clicks of a log, with its 95% bounds by users."""
    one, clicks = np.zeros(len(log), dtype=np.int64), log["click"].to_numpy().astype(np.float64)
    found = ratios(one, 1, _users(log), clicks)
    low, high = bounds_of_share(found, 1.0)
    return float(found.value[0]), float(low[0]), float(high[0])


def _users(log: pd.DataFrame) -> np.ndarray:
    """Return a number of each row's user: the log knows users by four fields alone."""
    features = [f"user_feature_{number}" for number in range(4)]
    found: np.ndarray = log.groupby(features, sort=False).ngroup().to_numpy().astype(np.int64)
    return found


def _logged(random: pd.DataFrame, sampled: pd.DataFrame, rng: np.random.Generator) -> Logged:
    """Return the random log with an item that the other policy has at each place, drawn.

    Its chances are those of its own log at the position: it does not know the user.
    """
    wanted = np.zeros(len(random), dtype=np.int64)
    for position in random["position"].unique():
        places = np.flatnonzero(random["position"] == position)
        items = sampled.loc[sampled["position"] == position, "item_id"].to_numpy()
        wanted[places] = rng.choice(items, len(places))
    return Logged(
        _users(random),
        random["position"].to_numpy().astype(np.int64),
        random["item_id"].to_numpy().astype(np.int64),
        wanted,
        random["propensity_score"].to_numpy().astype(np.float64),
        random["click"].to_numpy().astype(np.float64),
        np.ones(len(random)),
    )


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1])), indent=1))
