"""The value of another version's lists, estimated from lists with exploration.

Only what the log can answer counts: places with a propensity, shown after the policy's data ended,
at which the policy's item could have been. The item that was drawn or kept could be there with its
propensity. Another one could only be where a place was open to chance, and only if it is not fixed
at another place of the same list: exploration draws items that are not in the list.

Legend of shapes: M impressions, R rows of lists.
"""

from typing import Any, NamedTuple

import numpy as np
from scipy import special

from conf.errors import InputError
from serving.outcome.estimators import (
    ESTIMATORS,
    Estimate,
    Logged,
    doubly_robust,
    effective_successes,
    effective_users,
    estimates,
)
from serving.outcome.impressions import Impressions
from serving.outcome.joining import find
from serving.outcome.listed import Listed
from serving.outcome.rates import bounds_of_share, critical, ratios

OPTION = "--policy"
FEWEST_SUCCESSES = 10
"""Fewest effective successes for an estimate: with fewer, intervals are too narrow."""
_CERTAIN = 1 - 1e-6


class Limits(NamedTuple):
    """Below these there is no estimate."""

    min_support: float
    min_effective: int


class Cases(NamedTuple):
    """Places of a scenario that the log can say something about, and what was left out."""

    logged: Logged
    supported: np.ndarray
    """[M] bool, whether the policy's item could have been there."""
    left_out: dict[str, int]


def cases_of(
    shown: Impressions, policy: Listed, lists: Listed, versions: np.ndarray, knows_until: int
) -> Cases:
    """Return the places that were shown, with the policy's items.

    Args:
        shown: [M] impressions of a scenario.
        policy: The policy's lists of that scenario.
        lists: [R] the whole lists that the impressions are of.
        versions: [R] the version that each row of them is in.
        knows_until: Microseconds; the policy may know what happened up to then.
    """
    has = np.isfinite(shown.listed.propensity)
    early = has & (shown.time <= knows_until)
    at = find([policy.user, policy.position], [shown.user, shown.listed.position])
    has_policy = np.isin(shown.user, policy.user)
    left_out = {
        "without_propensity": int((~has).sum()),
        "before_the_policys_data_ended": int(early.sum()),
        "user_without_the_policys_list": int((has & ~early & ~has_policy).sum()),
        "place_beyond_the_policys_list": int((has & ~early & has_policy & (at.num == 0)).sum()),
    }
    kept = np.flatnonzero(has & ~early & (at.num > 0))
    one, wanted = shown.taken(kept), policy.item[at.row[kept]]
    propensity = one.listed.propensity
    kept_items = np.flatnonzero(~lists.is_explored)  # they cannot be drawn
    fixed = lists.taken(kept_items)
    elsewhere = find(
        [versions[kept_items], fixed.user, fixed.item], [one.version, one.user, wanted]
    ).num
    is_same = one.listed.item == wanted
    supported = is_same | ((propensity < _CERTAIN) & (elsewhere == 0))
    logged = Logged(one.user, one.listed.position, one.listed.item, wanted, propensity, one.reward)
    return Cases(logged, supported, {name: n for name, n in left_out.items() if n})


def judged_policy(name: str, cases: Cases, limits: Limits, most: float) -> dict[str, Any]:
    """Return the estimates, in all and by position.

    Args:
        name: Id of the policy's version.
        cases: Of `cases_of`.
        limits: Below them nothing is estimated.
        most: Largest possible reward.

    Raises:
        InputError: When the log has too little of what the policy would show.
    """
    places, support = len(cases.supported), _share(cases.supported)
    left_out = ", ".join(f"{why} {count:,}" for why, count in cases.left_out.items())
    _require(
        places > 0,
        name,
        f"no place of the lists that were shown is left ({left_out})",
        "give events of lists with a propensity, from after the newest event of the policy's "
        "dataset: it may know what happened before",
    )
    _require(
        support >= limits.min_support,
        name,
        f"only {support:.1%} of the {places:,} places have an item that could have been shown "
        f"there, and outcome.min_support is {limits.min_support:.0%}",
        "the lists with exploration must be able to show what the policy shows: choose a policy "
        "that is closer to them, or let more places be drawn (score.exploration.share)",
    )
    logged = Logged(*(column[cases.supported] for column in cases.logged))
    one = np.zeros(len(logged.user), dtype=np.int64)
    reached = ratios(one, 1, logged.user, logged.weights)
    _, upper = _bounds_of_mean(reached.value[0], reached.variance[0], int(reached.users[0]))
    effective = float(effective_users(logged, one, 1)[0])
    successes = float(effective_successes(logged, one, 1)[0])
    _require(
        effective >= limits.min_effective,
        name,
        f"the effective number of users is {effective:,.0f}, and outcome.min_effective is "
        f"{limits.min_effective:,}",
        _MORE,
    )
    _require(
        upper >= limits.min_support,
        name,
        f"the mean weight of the places is {reached.value[0]:.2f} (at most {upper:.2f}), though it "
        "is 1 if all of the policy's items could be drawn; rules or histories keep them from the "
        "users",
        "choose a policy whose lists keep to the same rules",
    )
    _require(
        successes >= FEWEST_SUCCESSES,
        name,
        f"the places that count are worth {successes:.1f} successes, and an interval needs "
        f"{FEWEST_SUCCESSES}",
        _MORE,
    )
    return {
        "policy": name,
        "places": places,
        "support": support,
        "users": int(reached.users[0]),
        "matched": int((logged.weights > 0).sum()),
        "effective_users": effective,
        "effective_successes": successes,
        "mean_weight": float(reached.value[0]),
        "left_out": cases.left_out,
        "logged": _logged_value(logged, most),
        **_told(estimates(logged, one, 1, most), 0),
        "lead": _lead(logged),
        "by_position": _by_position(logged, limits, most),
    }


_MORE = (
    "take the events of more days or users, or let more places be drawn (score.exploration.share)"
)


def _require(holds: bool, name: str, why: str, fix: str) -> None:
    if not holds:
        raise InputError(f"{OPTION}={name!r} cannot be estimated: {why}; {fix}")


def _share(chosen: np.ndarray) -> float:
    return float(chosen.mean()) if len(chosen) else 0.0


def _bounds_of_mean(value: float, variance: float, users: int) -> tuple[float, float]:
    half = float(critical(np.array(users - 1)) * np.sqrt(variance))
    return value - half, value + half


def _logged_value(logged: Logged, most: float) -> dict[str, float | None]:
    """Return what the lists that were shown got at the same places."""
    one = np.zeros(len(logged.user), dtype=np.int64)
    found = ratios(one, 1, logged.user, logged.reward)
    low, high = bounds_of_share(found, most)
    return {"value": float(found.value[0]), "low": float(low[0]), "high": float(high[0])}


def _lead(logged: Logged) -> dict[str, float]:
    """Return by how much the policy is better than what was shown, by the DR estimate."""
    one = np.zeros(len(logged.user), dtype=np.int64)
    found = ratios(one, 1, logged.user, doubly_robust(logged) - logged.reward)
    freedom = effective_users(logged, one, 1) - 1
    value, error = float(found.value[0]), float(np.sqrt(found.variance[0]))
    half = float(critical(freedom)[0]) * error
    p = 2 * float(special.stdtr(freedom[0], -abs(value) / error)) if error > 0 else 1.0
    return {"value": value, "low": value - half, "high": value + half, "p": p}


def _by_position(logged: Logged, limits: Limits, most: float) -> dict[int, dict[str, Any]]:
    """Return the estimates of each place; one with too little for an interval has None."""
    positions, groups = np.unique(logged.position, return_inverse=True)
    number = len(positions)
    found = estimates(logged, groups, number, most)
    effective = effective_users(logged, groups, number)
    successes = effective_successes(logged, groups, number)
    places = np.bincount(groups, minlength=number)
    enough = (effective >= limits.min_effective) & (successes >= FEWEST_SUCCESSES)
    return {
        int(position): {
            "places": int(places[at]),
            "effective_users": float(effective[at]),
            **(_told(found, at) if enough[at] else dict.fromkeys(ESTIMATORS)),
        }
        for at, position in enumerate(positions)
    }


def _told(found: dict[str, Estimate], at: int) -> dict[str, dict[str, float]]:
    return {
        name: {key: float(column[at]) for key, column in one._asdict().items()}
        for name, one in found.items()
    }
