"""Join what was shown with the lists that were to be seen.

Legend of shapes: E events, Q showings, M impressions, R rows of a version's lists.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from conf.workspace.instants import DAY
from serving.outcome.events import NO_LIST, NO_PLACE, SHOWN, Events
from serving.outcome.joining import Found, find
from serving.outcome.listed import Listed
from serving.outcome.timeline import NO_VERSION, Timeline

WHY = (
    "counted", "counted_of_another_list", "shown_again", "duplicates", "other_days",
    "before_the_first_publication", "version_gone", "user_without_list", "unknown_item",
    "not_in_the_list", "another_place", "in_several_scenarios", "unknown_list",
)  # fmt: skip
"""What becomes of a showing."""
(
    COUNTED, OTHER_LIST, AGAIN, COPY, OTHER_DAY, NOT_YET, GONE, NO_USER, UNKNOWN, NOT_LISTED,
    ELSEWHERE, SEVERAL, NO_SUCH_LIST,
) = range(len(WHY))  # fmt: skip
ReadLists = Callable[[int, np.ndarray], Listed]
"""Takes the number of a version and numbers of users, and returns their lists."""


class Days(NamedTuple):
    """Which days count, in microseconds since 1970 UTC."""

    start: int
    end: int
    """The instant after the last day."""


class Showings(NamedTuple):
    """What was shown: an item, or with `outcome.shown: null` all lists of a user on a day."""

    event: np.ndarray
    """[Q] int64, the event that says so."""
    user: np.ndarray
    """[Q] int64"""
    time: np.ndarray
    """[Q] int64, microseconds since 1970 UTC."""
    stretch: np.ndarray
    """[Q] int64"""
    version: np.ndarray
    """[Q] int64, the version that the user was to see, or NO_VERSION."""
    why: np.ndarray
    """[Q] int8, place in WHY; changed as it becomes known."""


class Matched(NamedTuple):
    """Impressions: items of lists that were shown."""

    showing: np.ndarray
    """[M] int64"""
    version: np.ndarray
    """[M] int64"""
    listed: Listed
    """[M] rows"""


def showings_of(events: Events, timeline: Timeline, days: Days, *, has_shown: bool) -> Showings:
    """Return what was shown, each with what is known of it without the lists.

    Args:
        events: [E]
        timeline: Who was to see what.
        days: Which days count.
        has_shown: Whether events say what was shown; else days with events do.
    """
    inside = (events.time >= days.start) & (events.time < days.end)
    chosen = events.kind == SHOWN if has_shown else inside & ~events.is_copy
    event = np.flatnonzero(chosen)
    user, time = events.user[event], events.time[event]
    stretch = timeline.stretch_at(time)
    version = timeline.version_at(stretch, user)
    why = np.full(len(event), COUNTED, dtype=np.int8)
    why[version == NO_VERSION] = NOT_YET
    why[~inside[event]] = OTHER_DAY
    why[events.is_copy[event]] = COPY
    found = Showings(event, user, time, stretch, version, why)
    if has_shown:
        return found
    first = first_of([user, time // DAY, stretch, version], time)
    return Showings(*(column[first] for column in found))


def first_of(columns: list[np.ndarray], times: np.ndarray) -> np.ndarray:
    """Return the earliest row of each combination of numbers, in the order of the rows."""
    order = np.lexsort((np.arange(len(times)), times, *reversed(columns)))
    is_first = np.ones(len(order), dtype=bool)
    if len(order):
        is_first[1:] = np.any([one[order][1:] != one[order][:-1] for one in columns], axis=0)
    return np.sort(order[is_first])


def whole_lists(showings: Showings, version: int, rows: Listed) -> Matched:
    """Return all rows of the lists of the users that were shown a version on some day."""
    here = np.flatnonzero((showings.why == COUNTED) & (showings.version == version))
    order = np.argsort(rows.user, kind="stable")
    first = np.searchsorted(rows.user[order], showings.user[here], side="left")
    count = np.searchsorted(rows.user[order], showings.user[here], side="right") - first
    showings.why[here[count == 0]] = NO_USER
    starts = np.repeat(first - np.cumsum(count) + count, count)
    row = order[starts + np.arange(len(starts))]
    return Matched(np.repeat(here, count), np.full(len(row), version), rows.taken(row))


def shown_rows(showings: Showings, version: int, rows: Listed, events: Events) -> Matched:
    """Return the rows of a version's lists that events say were shown."""
    here = np.flatnonzero((showings.why == COUNTED) & (showings.version == version))
    event = showings.event[here]
    found, why = _match(rows, events, event)
    has_list = np.isin(showings.user[here], rows.user)
    why[(why == NOT_LISTED) & ~has_list] = NO_USER
    showings.why[here] = why
    is_there = why == COUNTED
    chosen = here[is_there]
    return Matched(chosen, np.full(len(chosen), version), rows.taken(found.row[is_there]))


def _match(rows: Listed, events: Events, event: np.ndarray) -> tuple[Found, np.ndarray]:
    """Return the row of each event, and what became of it, as a place in WHY."""
    user, item, place = events.user[event], events.item[event], events.place[event]
    names_list, names_place = events.list_id[event] != NO_LIST, place != NO_PLACE
    whose = np.where(names_list, events.list_id[event], user)
    count, row = np.zeros(len(event), dtype=np.int64), np.full(len(event), -1, dtype=np.int64)
    anywhere = np.zeros(len(event), dtype=np.int64)
    for by_list, key in ((True, rows.list_id), (False, rows.user)):
        of_key = np.flatnonzero(names_list == by_list)
        loose = find([key, rows.item], [whose[of_key], item[of_key]])
        strict = find([key, rows.item, rows.position], [whose[of_key], item[of_key],
                                                        place[of_key]])  # fmt: skip
        use = names_place[of_key]
        anywhere[of_key] = loose.num
        count[of_key] = np.where(use, strict.num, loose.num)
        row[of_key] = np.where(use, strict.row, loose.row)
    why = np.full(len(event), COUNTED, dtype=np.int8)
    why[count > 1] = SEVERAL
    why[count == 0] = NOT_LISTED
    why[(count == 0) & (anywhere > 0)] = ELSEWHERE
    # A list of somebody else is as good as none.
    is_own = find([rows.list_id, rows.user], [events.list_id[event], user]).num > 0
    why[names_list & ~is_own] = NO_SUCH_LIST
    return Found(count, row), why


def of_other_lists(
    showings: Showings,
    events: Events,
    timeline: Timeline,
    read: ReadLists,
    readable: frozenset[int],
) -> list[Matched]:
    """Return what was shown of other lists than those that their users were to see.

    An app may keep a list for longer than it is current. Such events name it by its `list_id`.
    Lists with the same id are equal, so the newest version that has the list decides.
    """
    found = []
    names_list = events.list_id[showings.event] != NO_LIST
    published = {number: timeline.first_shown(number) for number in readable}
    for version in sorted(published, key=lambda number: -published[number]):
        left = (showings.why == NO_SUCH_LIST) | ((showings.why == GONE) & names_list)
        here = np.flatnonzero(left & (showings.time >= published[version]))
        if not len(here):
            continue
        rows = read(version, np.unique(showings.user[here]))
        match, why = _match(rows, events, showings.event[here])
        is_known, is_there = why != NO_SUCH_LIST, why == COUNTED
        showings.why[here[is_known]] = np.where(is_there, OTHER_LIST, why)[is_known]
        chosen = here[is_there]
        rows = rows.taken(match.row[is_there])
        found.append(Matched(chosen, np.full(len(chosen), version), rows))
    return found
