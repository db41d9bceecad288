"""Impressions with what was acted on, and what became of every event.

An impression is one item of a list for one user on one day (UTC), at its first showing. Each
publication during the day starts this over, so both groups of a canary are counted from its first
instant on. An act counts for the last impression of its item before it, in each scenario.

Legend of shapes: E events, M impressions, A acts.
"""

from typing import NamedTuple

import numpy as np

from conf.workspace.instants import DAY, HOUR
from serving.outcome.events import ACT, NO_LIST, OTHER, SHOWN, TOO_SMALL, Events
from serving.outcome.joining import last_before
from serving.outcome.listed import Listed
from serving.outcome.showings import (
    AGAIN,
    COUNTED,
    GONE,
    NOT_LISTED,
    OTHER_LIST,
    UNKNOWN,
    WHY,
    Days,
    Matched,
    ReadLists,
    Showings,
    first_of,
    of_other_lists,
    showings_of,
    shown_rows,
    whole_lists,
)
from serving.outcome.timeline import Timeline

Ledger = dict[str, dict[str, int]]


class Impressions(NamedTuple):
    """What was shown, and what it was worth."""

    user: np.ndarray
    """[M] int64"""
    time: np.ndarray
    """[M] int64, microseconds since 1970 UTC."""
    version: np.ndarray
    """[M] int64, number in the timeline."""
    stretch: np.ndarray
    """[M] int64"""
    is_other: np.ndarray
    """[M] bool, of another list than the user was to see."""
    reward: np.ndarray
    """[M] float64, worth of the most valuable act on it; 0: none."""
    listed: Listed
    """[M] rows of the lists."""

    def taken(self, chosen: np.ndarray) -> "Impressions":
        """Return some of the impressions, given by their places or as a mask."""
        columns = {name: getattr(self, name)[chosen] for name in self._fields[:-1]}
        return self._replace(**columns, listed=self.listed.taken(chosen))


def join(
    events: Events,
    timeline: Timeline,
    days: Days,
    read: ReadLists,
    *,
    readable: frozenset[int],
    catalogue: np.ndarray,
    within_hours: float,
    has_shown: bool,
) -> tuple[Impressions, Ledger]:
    """Return what was shown and acted on, and the ledger.

    Args:
        events: [E]
        timeline: Who was to see what.
        days: Days of the impressions.
        read: Returns the lists of users in a version.
        readable: Numbers of the versions that are there.
        catalogue: Numbers of the items of the dataset.
        within_hours: `outcome.within_hours`
        has_shown: Whether events say what was shown; else whole lists count on days with events.

    Returns:
        The impressions, and counts by what became of `events`, of `shown` (or of `days`), and of
        `acts`; each sums up to its `read`.
    """
    showings = showings_of(events, timeline, days, has_shown=has_shown)
    is_there = np.isin(showings.version, list(readable))
    showings.why[(showings.why == COUNTED) & ~is_there] = GONE
    parts = []
    for version in np.unique(showings.version[showings.why == COUNTED]).tolist():
        here = (showings.why == COUNTED) & (showings.version == version)
        rows = read(version, np.unique(showings.user[here]))
        if has_shown:
            parts.append(shown_rows(showings, version, rows, events))
        else:
            parts.append(whole_lists(showings, version, rows))
    if has_shown:
        parts += of_other_lists(showings, events, timeline, read, readable)
        is_unknown = ~np.isin(events.item[showings.event], catalogue)
        showings.why[(showings.why == NOT_LISTED) & is_unknown] = UNKNOWN
    found = _impressions(showings, parts)
    rewards, acts = _acted(events, found, days, round(within_hours * HOUR))
    what = "shown" if has_shown else "days"
    ledger = {"events": _kinds(events), what: _counts(showings.why, WHY), "acts": acts}
    return found._replace(reward=rewards), ledger


def _impressions(showings: Showings, parts: list[Matched]) -> Impressions:
    """Return the impressions of all versions, each at its first showing of a day."""
    none = np.zeros(0, dtype=np.int64)
    showing = np.concatenate([none, *(part.showing for part in parts)])
    version = np.concatenate([none, *(part.version for part in parts)])
    columns = zip(*(part.listed for part in parts), strict=True)
    listed = (
        Listed(*map(np.concatenate, columns)) if parts else Listed(*[none] * len(Listed._fields))
    )
    time = showings.time[showing]
    stretch = showings.stretch[showing]
    key = [showings.user[showing], time // DAY, stretch, version, listed.scenario, listed.position]
    first = first_of(key, time)
    again = np.setdiff1d(np.arange(len(showing)), first)
    showings.why[showing[again]] = AGAIN
    showing = showing[first]
    return Impressions(
        user=showings.user[showing],
        time=showings.time[showing],
        version=version[first],
        stretch=stretch[first],
        is_other=showings.why[showing] == OTHER_LIST,
        reward=np.zeros(len(first)),
        listed=listed.taken(first),
    )


_ACTS = ("counted", "nothing_shown_before", "duplicates", "other_days", "below_min_value")


def _acted(
    events: Events, shown: Impressions, days: Days, window: int
) -> tuple[np.ndarray, dict[str, int]]:
    """Return the worth of the most valuable act on each impression [M], and counts of the acts."""
    act = np.flatnonzero((events.kind == ACT) | (events.kind == TOO_SMALL))
    time = events.time[act]
    why = np.full(len(act), _ACTS.index("nothing_shown_before"), dtype=np.int8)
    why[events.kind[act] == TOO_SMALL] = _ACTS.index("below_min_value")
    why[(time < days.start) | (time >= days.end + window)] = _ACTS.index("other_days")
    why[events.is_copy[act]] = _ACTS.index("duplicates")
    open_ = why == _ACTS.index("nothing_shown_before")
    names_list = events.list_id[act] != NO_LIST
    rewards = np.zeros(len(shown.user))
    for scenario in np.unique(shown.listed.scenario):
        rows = np.flatnonzero(shown.listed.scenario == scenario)
        for by_list in (True, False):
            asked = np.flatnonzero(open_ & (names_list == by_list))
            key = shown.listed.list_id if by_list else shown.user
            whose = events.list_id if by_list else events.user
            last = last_before(
                [key[rows], shown.user[rows], shown.listed.item[rows]],
                shown.time[rows],
                [whose[act[asked]], events.user[act[asked]], events.item[act[asked]]],
                time[asked],
            )
            has = last >= 0
            has[has] = time[asked][has] - shown.time[rows][last[has]] <= window
            np.maximum.at(rewards, rows[last[has]], events.worth[act[asked[has]]])
            why[asked[has]] = _ACTS.index("counted")
    return rewards, _counts(why, _ACTS)


def _kinds(events: Events) -> dict[str, int]:
    counts = np.bincount(events.kind, minlength=TOO_SMALL + 1)
    return {
        "read": len(events.kind),
        "shown": int(counts[SHOWN]),
        "acts": int(counts[ACT] + counts[TOO_SMALL]),
        "other_types": int(counts[OTHER]),
    }


def _counts(why: np.ndarray, names: tuple[str, ...]) -> dict[str, int]:
    """Return how many there are in all, and of each kind that there is; `counted` comes always."""
    counts = np.bincount(why, minlength=len(names)).tolist()
    told = {name: count for name, count in zip(names, counts, strict=True)
            if count or name == "counted"}  # fmt: skip
    return {"read": len(why), **told}
