"""The value of another version's lists, estimated from lists with exploration.

Only what the log can answer counts: places with a propensity, shown after the policy's data ended,
at which the policy's item could have been, see `serving.outcome.support`.

Legend of shapes: M impressions, P places with an item of the policy, R rows of lists.
"""

from typing import Any, NamedTuple

import numpy as np

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
from serving.outcome.rates import LEAST_P, bounds_of_share, ratios, tested
from serving.outcome.support import support_of
from trainer.evaluation.intervals import FEWEST_USERS, Difference, as_bound

OPTION = "--policy"
FEWEST_SUCCESSES = 10
"""Fewest effective successes for an estimate: with fewer, intervals are too narrow."""
_MOST_WEIGHT = 1.01
"""A mean weight above it is no rounding."""
_IMPOSSIBLE = "impossible_propensity"
_FIXES = {
    "without_propensity": "set score.exploration, publish lists, and give the events after that",
    "before_the_policys_data_ended": "give events from after the newest event of the policy's "
    "dataset: it may know what happened before",
    "user_without_the_policys_list": "choose a version that has lists of these users",
    "place_beyond_the_policys_list": "choose a version with longer lists",
    _IMPOSSIBLE: "these lists are wrong: run headrace score, publish its lists, and give the "
    "events after that",
}
"""Why an impression is left out and what to do if all of them are."""
_MORE = "take the events of more days or users, or draw more positions (score.exploration.share)"


class Limits(NamedTuple):
    """Below these there is no estimate."""

    min_support: float
    """Of the share of what the policy shows that the log can answer."""
    min_effective: int
    """Of the effective number of users."""

    @property
    def least_users(self) -> int:
        """Return the fewest effective users of an estimate; an interval needs some."""
        return max(self.min_effective, FEWEST_USERS)


class Cases(NamedTuple):
    """Places of a scenario that were shown and have an item of the policy; what was left out."""

    logged: Logged
    """[P]"""
    left_out: dict[str, int]
    """Impressions by the reason; with the places they add up to all of the scenario."""

    @property
    def counting(self) -> np.ndarray:
        """Return which places count in the estimates: [P] bool."""
        found: np.ndarray = self.logged.support != 0
        return found

    @property
    def places(self) -> Logged:
        """Return the places that count in the estimates."""
        return Logged(*(column[self.counting] for column in self.logged))

    @property
    def supported(self) -> int:
        """Return how many places could have had the policy's item, as an estimate."""
        return max(round(float(self.logged.support.sum())), 0)


class _Reach(NamedTuple):
    """How much of what the policy shows the log has."""

    support: float
    """Share of the places whose item could have been shown."""
    mean_weight: Difference
    """Of the places with support; p is against 1, its value if all items could be drawn."""
    effective_users: float
    effective_successes: float


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
    propensity = shown.listed.propensity
    at = find([policy.user, policy.position], [shown.user, shown.listed.position])
    why = {
        "without_propensity": np.isnan(propensity),
        "before_the_policys_data_ended": shown.time <= knows_until,
        "user_without_the_policys_list": ~np.isin(shown.user, policy.user),
        "place_beyond_the_policys_list": at.num == 0,
        _IMPOSSIBLE: ~((propensity > 0) & (propensity <= 1)),
    }
    is_left, left_out = np.ones(len(propensity), dtype=bool), dict[str, int]()
    for name, holds in why.items():
        left_out[name] = int((is_left & holds).sum())
        is_left &= ~holds
    kept = np.flatnonzero(is_left)
    one, wanted = shown.taken(kept), policy.item[at.row[kept]]
    logged = Logged(
        one.user,
        one.listed.position,
        one.listed.item,
        wanted,
        one.listed.propensity,
        one.reward,
        support_of(one, wanted, lists, versions),
    )
    return Cases(logged, {name: n for name, n in left_out.items() if n})


def judged_policy(name: str, cases: Cases, limits: Limits, most: float) -> dict[str, Any]:
    """Return the estimates, in all and by position, and which part of the log they are of.

    Args:
        name: Id of the policy's version.
        cases: Of `cases_of`.
        limits: Below them nothing is estimated.
        most: Largest possible reward.

    Returns:
        `shown`: impressions of the scenario, the sum of `left_out` (by reason) and of `places`,
        those with an item of the policy; `supported`: the places whose item could have been there
        (an estimate, see `serving.outcome.support`), and their share `support`; all else is of
        these alone: `users`, `matched` (places that have the policy's item), `effective_users`,
        `effective_successes`, `mean_weight`, `logged` (the rate of what was shown), a value with
        bounds for each of `ESTIMATORS`, `lead`, `by_position`.

    Raises:
        InputError: When the log has too little of what the policy would show.
    """
    places, logged = len(cases.logged.user), cases.places
    _require_places(name, cases)
    _require_support(name, cases, limits)
    reach = _reach_of(logged, cases.supported / places)
    _require_users(name, reach, limits)
    _require_weights(name, reach, limits)
    return {
        "policy": name,
        "shown": places + sum(cases.left_out.values()),
        "left_out": cases.left_out,
        "places": places,
        "supported": cases.supported,
        "support": reach.support,
        "users": len(np.unique(logged.user)),
        "matched": int((logged.weights > 0).sum()),
        "effective_users": reach.effective_users,
        "effective_successes": reach.effective_successes,
        "mean_weight": reach.mean_weight.value,
        "logged": _logged_value(logged, most),
        **_told(estimates(logged, _one_group(logged), 1, most), 0),
        "lead": _lead(logged)._asdict(),
        "by_position": _by_position(cases, limits, most),
    }


def _reach_of(logged: Logged, support: float) -> _Reach:
    one = _one_group(logged)
    found = ratios(one, 1, logged.user, logged.weights, logged.support)
    value, variance, freedom = found.value[0], found.variance[0], int(found.users[0]) - 1
    return _Reach(
        support,
        tested(float(value), float(variance), freedom, null=1.0),
        float(effective_users(logged, one, 1)[0]),
        float(effective_successes(logged, one, 1)[0]),
    )


def _require_places(name: str, cases: Cases) -> None:
    """Refuse a log without a place that has an item of the policy, or with wrong propensities."""
    left_out = ", ".join(f"{why} {count:,}" for why, count in cases.left_out.items())
    most = max(cases.left_out, key=lambda why: cases.left_out[why], default="")
    _require(
        len(cases.logged.user) > 0,
        name,
        f"no impression is left ({left_out})",
        _FIXES.get(most, _MORE),
    )
    impossible = cases.left_out.get(_IMPOSSIBLE, 0)
    _require(
        not impossible,
        name,
        f"{impossible:,} impressions have a propensity that is not above 0 and at most 1",
        _FIXES[_IMPOSSIBLE],
    )


def _require_support(name: str, cases: Cases, limits: Limits) -> None:
    """Refuse a policy most of whose items could not have been shown."""
    places = len(cases.logged.user)
    support = cases.supported / places
    _require(
        support > 0 and support >= limits.min_support,
        name,
        f"only {support:.1%} of the {places:,} impressions could have had the "
        f"policy's item, and outcome.min_support is {limits.min_support:.0%}",
        "the lists with exploration must be able to show what the policy shows: choose a policy "
        "that is closer to them, or draw more positions (score.exploration.share)",
    )


def _require_users(name: str, reach: _Reach, limits: Limits) -> None:
    """Refuse a log that is worth too few users or successes for an interval."""
    _require(
        reach.effective_users >= limits.least_users,
        name,
        f"the effective number of users is {reach.effective_users:,.0f}, and "
        f"{_least_users(limits)}",
        _MORE,
    )
    _require(
        reach.effective_successes >= FEWEST_SUCCESSES,
        name,
        f"the effective number of successes is {reach.effective_successes:.1f}, and an interval "
        f"needs {FEWEST_SUCCESSES}",
        _MORE,
    )


def _least_users(limits: Limits) -> str:
    if limits.min_effective < FEWEST_USERS:
        return f"an interval needs {FEWEST_USERS}"
    return f"outcome.min_effective is {limits.min_effective:,}"


def _require_weights(name: str, reach: _Reach, limits: Limits) -> None:
    """Refuse a policy whose items were drawn less often than the propensities say, or more often.

    The mean weight of the places with support is 1 in the mean if all items could be drawn, less
    if rules or histories keep some from their users, and never more.
    """
    mean, high, p = (getattr(reach.mean_weight, key) for key in ("value", "high", "p"))
    upper = mean if high is None else high
    covered = reach.support * min(upper, 1.0)
    _require(
        covered >= limits.min_support,
        name,
        f"the log covers at most {covered:.1%} of what the policy shows (support "
        f"{reach.support:.1%} times mean weight {min(upper, 1.0):.2f}, its upper bound), and "
        f"outcome.min_support is {limits.min_support:.0%}: rules or histories excluded some of its "
        "items",
        "choose a policy that follows the same rules",
    )
    _require(
        mean <= _MOST_WEIGHT or (p is not None and p >= LEAST_P),
        name,
        f"the mean weight is {mean:.2f}, significantly above 1: the propensities are wrong, or the "
        "policy contains items because they were drawn",
        "choose a policy that was not made by the same draw, such as lists without exploration",
    )


def _require(holds: bool, name: str, why: str, fix: str) -> None:
    if not holds:
        raise InputError(f"{OPTION}={name!r} cannot be estimated: {why}; {fix}")


def _one_group(logged: Logged) -> np.ndarray:
    """Return the group of all places: [P] int64."""
    return np.zeros(len(logged.user), dtype=np.int64)


def _logged_value(logged: Logged, most: float) -> dict[str, float | None]:
    """Return what the lists that were shown got at the same places."""
    support = logged.support
    found = ratios(_one_group(logged), 1, logged.user, support * logged.reward, support)
    low, high = bounds_of_share(found, most)
    return {"value": float(found.value[0]), "low": as_bound(low[0]), "high": as_bound(high[0])}


def _lead(logged: Logged) -> Difference:
    """Return by how much the policy is better than what was shown, by the DR estimate."""
    one, support = _one_group(logged), logged.support
    gained = doubly_robust(logged) - support * logged.reward
    found = ratios(one, 1, logged.user, gained, support)
    freedom = float(effective_users(logged, one, 1)[0]) - 1
    return tested(float(found.value[0]), float(found.variance[0]), freedom)


def _by_position(cases: Cases, limits: Limits, most: float) -> dict[int, dict[str, Any]]:
    """Return the estimates of each place; one with too little for an estimate has None."""
    positions, whole = np.unique(cases.logged.position, return_inverse=True)
    number, groups, logged = len(positions), whole[cases.counting], cases.places
    found = estimates(logged, groups, number, most)
    effective = effective_users(logged, groups, number)
    successes = effective_successes(logged, groups, number)
    places = np.bincount(whole, minlength=number)
    supported = np.bincount(whole, cases.logged.support, minlength=number).round().clip(min=0)
    enough = (effective >= limits.least_users) & (successes >= FEWEST_SUCCESSES)
    enough &= (supported > 0) & (supported >= limits.min_support * places)
    return {
        int(position): {
            "places": int(places[at]),
            "supported": int(supported[at]),
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
