"""The figures of what was shown: by version and scenario, and versions against each other.

Legend of shapes: M impressions, G groups of them.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import special

from serving.outcome.impressions import Impressions
from serving.outcome.rates import LEAST_P, Ratios, bounds_of_share, difference, ratios
from serving.outcome.timeline import Timeline
from trainer.evaluation.intervals import as_bound

Row = dict[str, Any]


def version_rows(
    shown: Impressions,
    timeline: Timeline,
    scenarios: Sequence[str],
    channels: Sequence[str],
    segments: tuple[np.ndarray, Sequence[str]] | None,
    most: float,
) -> list[Row]:
    """Return the figures of each version and scenario, in the order of publication.

    Args:
        shown: [M]
        timeline: Has the versions.
        scenarios: Names of the scenarios; empty: the default lists.
        channels: Names of the channels by bit.
        segments: [U] number of each user's segment, and their names; None: there are none.
        most: Largest possible reward.

    Returns:
        For each: `version`, `scenario` (None: the default lists), `canary` (share of the users that
        saw it as a canary, None if it was the version of all or of the others), `users`, `shown`
        and `acted` (impressions), `rate` with `low` and `high`, and the same figures
        `by_position`, `by_channel` and, with segments, `by_segment`.
    """
    found = []
    for version, name in enumerate(timeline.versions):
        for number, scenario in enumerate(scenarios):
            chosen = np.flatnonzero((shown.version == version) & (shown.listed.scenario == number))
            if not len(chosen):
                continue
            part = shown.taken(chosen)
            own = np.unique(part.stretch[~part.is_other])
            row: Row = {
                "version": name,
                "scenario": scenario or None,
                "canary": timeline.canary_share(version, own),
            }
            row |= _one(part, np.zeros(len(chosen), dtype=np.int64), 1, most)[0]
            row["by_position"] = _by_position(part, most)
            row["by_channel"] = _by_channel(part, channels, most)
            if segments is not None:
                of_user, names = segments
                counted = _one(part, of_user[part.user], len(names), most)
                row["by_segment"] = {
                    name: one for name, one in zip(names, counted, strict=True) if one["shown"]
                }
            found.append(row)
    return found


def _by_position(shown: Impressions, most: float) -> dict[int, Row]:
    places, groups = np.unique(shown.listed.position, return_inverse=True)
    counted = _one(shown, groups, len(places), most)
    return {int(place): one for place, one in zip(places, counted, strict=True)}


def _by_channel(shown: Impressions, channels: Sequence[str], most: float) -> dict[str, Row]:
    """Return the figures by source, by channel of candidates, and of what was drawn."""
    found = {}
    for bit, name in enumerate(channels):
        chosen = np.flatnonzero(shown.listed.channels >> bit & 1)
        if len(chosen):
            part = shown.taken(chosen)
            found[name] = _one(part, np.zeros(len(chosen), dtype=np.int64), 1, most)[0]
    return found


def _one(shown: Impressions, groups: np.ndarray, num_groups: int, most: float) -> list[Row]:
    """Return the figures of each group."""
    rates = ratios(groups, num_groups, shown.user, shown.reward)
    low, high = bounds_of_share(rates, most)
    acted = np.bincount(groups, shown.reward > 0, minlength=num_groups)
    return [
        {
            "users": int(rates.users[at]),
            "shown": int(rates.rows[at]),
            "acted": int(acted[at]),
            "rate": as_bound(rates.value[at]),
            "low": as_bound(low[at]),
            "high": as_bound(high[at]),
        }
        for at in range(num_groups)
    ]


def comparison_rows(
    shown: Impressions,
    timeline: Timeline,
    scenarios: Sequence[str],
    most: float,
    readable: frozenset[str],
) -> list[Row]:
    """Return canaries against the versions that the other users were to see at the same time.

    Users count by the group that they are assigned to, whatever list they saw (intention to treat):
    what an app shows of other lists depends on the user, and leaving it out would make the groups
    differ in more than chance. Stretches with the same two versions and the same share are one
    comparison: the users of both sides are the same in all of them. Without the lists of one side
    there is none.

    Args:
        shown: [M]
        timeline: Has the versions.
        scenarios: As for `version_rows`.
        most: Largest possible reward.
        readable: Ids of the versions that are there.
    """
    stretches: dict[tuple[str, str, float], list[int]] = {}
    for number, one in enumerate(timeline.stretches):
        if one.canary in readable and one.base in readable:
            stretches.setdefault((one.canary, one.base, one.share), []).append(number)
    found = []
    for (canary, base, share), numbers in stretches.items():
        here = np.isin(shown.stretch, numbers)
        for scenario, name in enumerate(scenarios):
            chosen = here & (shown.listed.scenario == scenario)
            members = timeline.members(numbers[0])[shown.user]
            ours = shown.taken(np.flatnonzero(chosen & members))
            theirs = shown.taken(np.flatnonzero(chosen & ~members))
            if len(ours.user) or len(theirs.user):
                found.append(
                    {
                        "canary": canary,
                        "base": base,
                        "share": share,
                        "scenario": name or None,
                        **_compared(ours, theirs, share, most),
                    }
                )
    return found


def _compared(canary: Impressions, base: Impressions, share: float, most: float) -> Row:
    rates: list[Ratios] = []
    row: Row = {}
    for name, side in (("of_canary", canary), ("of_base", base)):
        one = np.zeros(len(side.user), dtype=np.int64)
        rates.append(ratios(one, 1, side.user, side.reward))
        row[name] = _one(side, one, 1, most)[0]
    row["difference"] = difference(*rates)._asdict()
    row["sizes_p"] = _sizes_p(int(rates[0].users[0]), int(rates[1].users[0]), share)
    return row


def _sizes_p(canary: int, others: int, share: float) -> float:
    """Return how likely group sizes at least as odd are by chance, by the binomial distribution."""
    whole = canary + others
    below = special.bdtr(canary, whole, share)
    above = special.bdtrc(canary - 1, whole, share) if canary else 1.0
    return min(1.0, 2 * float(min(below, above)))


def size_warnings(rows: Sequence[Row]) -> list[str]:
    """Return a sentence for each comparison whose groups have not the sizes that they should."""
    return [
        f"{row['canary']} was seen by {row['of_canary']['users']:,} of "
        f"{row['of_canary']['users'] + row['of_base']['users']:,} users, but its share is "
        f"{row['share']:.1%} (p {row['sizes_p']:.1g}); the groups may differ in more than the "
        "version: check that all programs show the canary"
        for row in rows
        if row["sizes_p"] < LEAST_P
    ]
