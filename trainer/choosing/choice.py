"""Decide which of several models is published: the simplest that is as good as the best.

Legend of shapes: N targets, U users.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from trainer.evaluation.against_baselines import is_beyond_noise
from trainer.evaluation.intervals import difference


class Choice(NamedTuple):
    """The model that is published, and the figures behind the choice."""

    name: str
    reason: str
    figures: dict[str, dict[str, Any]]
    """By model: `value`, and `behind`, by how much the best one leads, with `standard_error`."""


def choose(
    metric: str,
    gained: Mapping[str, np.ndarray],
    users: np.ndarray,
    *,
    from_simplest: Sequence[str],
    seed: int,
) -> Choice:
    """Return the simplest model within one standard error of the best one.

    Source: Breiman et al. 1984, the one-standard-error rule, with the standard error of the
    difference on the same users. A model that another one beats beyond the noise, by the rule of
    the gate on quality, is not chosen.

    Args:
        metric: `train.metric`.
        gained: [N] gain of each target by model.
        users: [N] user of each target.
        from_simplest: The models, from the simplest on.
        seed: Seed of the draws.
    """
    names = [name for name in from_simplest if name in gained]
    best = max(names, key=lambda name: float(gained[name].mean()))  # the simplest of equal ones
    figures: dict[str, dict[str, Any]] = {}
    for name in names:
        behind = gained[best] - gained[name]
        figures[name] = {
            "value": float(gained[name].mean()),
            "behind": float(behind.mean()),
            "standard_error": standard_error(behind, users),
        }
    near = [n for n in names if figures[n]["behind"] <= figures[n]["standard_error"]]
    name = next(n for n in near if n == best or not _is_beaten(n, gained, users, seed))
    return Choice(name, _reason(metric, name, best, figures[name], figures[best]["value"]), figures)


def _is_beaten(name: str, gained: Mapping[str, np.ndarray], users: np.ndarray, seed: int) -> bool:
    """Return whether any other model is better by more than the noise."""
    own = gained[name]
    return any(
        is_beyond_noise(difference(other, own, users, seed=seed)._asdict())
        for other in gained.values()
        if other.mean() > own.mean()
    )


def standard_error(gained: np.ndarray, users: np.ndarray) -> float:
    """Return the standard error of the mean of [N] values, whose users are independent.

    Source: Cochran 1977, section 3.12, the ratio estimator; 0 for a single user.
    """
    _, owners = np.unique(users, return_inverse=True)
    sums = np.bincount(owners, weights=gained - gained.mean())  # [U]
    if len(sums) < 2:
        return 0.0
    return float(np.sqrt(len(sums) / (len(sums) - 1) * np.square(sums).sum()) / len(gained))


def _reason(metric: str, name: str, best: str, own: Mapping[str, float], highest: float) -> str:
    if name == best:
        return f"{name} has the highest {metric} in validation, {highest:.4f}"
    return (
        f"{name} has {metric} {own['value']:.4f} in validation; {best} has {highest:.4f}, which is "
        f"{own['behind']:.4f} more, less than one standard error of the difference "
        f"({own['standard_error']:.4f}), and {name} is simpler"
    )
