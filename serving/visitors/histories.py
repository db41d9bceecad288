"""Histories of users: what the dataset has of them, and the newer events of a file after it.

Legend of shapes: N users, E events of the file, S events of one user.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from conf.contract import (
    HISTORY_ITEMS,
    HISTORY_TIMES,
    HISTORY_TYPES,
    UNKNOWN_IDX,
    USER_IDX,
    Manifest,
)
from conf.settings.config import Config
from serving.similar.like_user import unknown_context, weights_of_types
from serving.visitors.events import GivenEvents
from serving.visitors.people import People
from trainer.data.batches import histories_of
from trainer.data.columns import Ragged, numbers_of
from trainer.data.event_features import context_columns
from trainer.data.stream import read_row_groups

Events = dict[str, np.ndarray]
"""Columns of the events of one user: [S] each."""


def histories_with(
    config: Config, manifest: Manifest, dataset: Path, people: People, events: GivenEvents
) -> tuple[Ragged, int]:
    """Return the histories of the users, and how many events of the file they had already.

    Args:
        config: Says which of a user's events with one item count.
        manifest: The dataset.
        dataset: Its folder.
        people: N users.
        events: E events, of these users and of erased ones, who are left out.
    """
    stored = _stored(manifest, dataset, people.numbers)
    given, none = _by_user(manifest, people, events), _columns(manifest, *[np.zeros(0, int)] * 3)
    weights, doubled, found = weights_of_types(manifest), 0, []
    for place, number in enumerate(people.numbers):
        old, new = stored.get(number, none), given.get(place, none)
        is_new = _not_there(old, new, is_dated=not config.input.is_ordered_by_lines)
        doubled += int((~is_new).sum())
        new = {name: values[is_new] for name, values in new.items()}
        if config.input.is_ordered_by_lines:
            last = old[HISTORY_TIMES].max(initial=-1)
            new[HISTORY_TIMES] = last + 1 + np.arange(len(new[HISTORY_TIMES]))
        both = {name: np.concatenate([old[name], new[name]]) for name in none}
        found.append(_in_order(both, config.etl.repeated_items, weights))
    return _joined(found, list(none)), doubled


def _stored(manifest: Manifest, dataset: Path, numbers: Sequence[int]) -> dict[int, Events]:
    """Return the events of the dataset's users among them, by number."""
    wanted = {number for number in numbers if number != UNKNOWN_IDX}
    if not wanted:
        return {}
    more = context_columns(manifest, "histories")
    columns = (USER_IDX, HISTORY_ITEMS, HISTORY_TYPES, HISTORY_TIMES, *more)
    found = {}
    for _, block in read_row_groups(dataset, manifest.row_groups("histories"), columns):
        histories = histories_of(block)
        users = numbers_of(block, USER_IDX)
        for row in np.flatnonzero(np.isin(users, list(wanted))):
            own = slice(histories.offsets[row], histories.offsets[row + 1])
            columns_of = {HISTORY_ITEMS: histories.values, **(histories.beside or {})}
            found[int(users[row])] = {name: v[own].copy() for name, v in columns_of.items()}
    return found


def _by_user(manifest: Manifest, people: People, events: GivenEvents) -> dict[int, Events]:
    """Return the events of the file by place of the user, in the order of the file."""
    rows: defaultdict[int, list[int]] = defaultdict(list)
    for row, one in enumerate(events.user_ids):
        if one in people.place_of:
            rows[people.place_of[one]].append(row)
    return {
        place: _columns(manifest, events.item_idx[own], events.types[own], events.times[own])
        for place, own in rows.items()
    }


def _columns(manifest: Manifest, items: np.ndarray, types: np.ndarray, times: np.ndarray) -> Events:
    return {
        HISTORY_ITEMS: items.astype(np.int64),
        HISTORY_TYPES: types.astype(np.int32),
        HISTORY_TIMES: times.astype(np.int64),
        **unknown_context(manifest, types.astype(np.int32)),
    }


def _not_there(old: Mapping[str, np.ndarray], new: Events, *, is_dated: bool) -> np.ndarray:
    """Return which of the new events are not in the history yet: [S] bool.

    With times an event is there if one of the same item, type and time is, also earlier in the
    file. Without times each event of the history stands for one of the file.
    """
    names = (HISTORY_ITEMS, HISTORY_TYPES, HISTORY_TIMES)[: 3 if is_dated else 2]
    there = Counter(zip(*(old[name].tolist() for name in names), strict=True))
    found = np.ones(len(new[HISTORY_ITEMS]), dtype=bool)
    for place, event in enumerate(zip(*(new[name].tolist() for name in names), strict=True)):
        found[place] = there[event] <= 0
        there[event] += 1 if is_dated else -1
    return found


def _in_order(events: Events, keep: str, weights: np.ndarray) -> Events:
    """Return events in the order of their times, of those with one item the ones that count."""
    order = np.argsort(events[HISTORY_TIMES], kind="stable")
    items, types = events[HISTORY_ITEMS][order], events[HISTORY_TYPES][order]
    best: dict[int, int] = {}
    for place, (item, kind) in enumerate(zip(items.tolist(), types.tolist(), strict=True)):
        first = best.setdefault(item, place)
        is_weaker = keep == "strongest" and weights[kind] < weights[types[first]]
        if item != UNKNOWN_IDX and keep != "first" and not is_weaker:
            best[item] = place
    is_kept = np.isin(np.arange(len(items)), list(best.values())) | (items == UNKNOWN_IDX)
    if keep != "keep":
        order = order[is_kept]
    found = {name: values[order] for name, values in events.items()}
    found[HISTORY_ITEMS] = np.maximum(found[HISTORY_ITEMS], UNKNOWN_IDX)  # one unknown item
    return found


def _joined(histories: Sequence[Events], names: Sequence[str]) -> Ragged:
    lengths = [len(one[HISTORY_ITEMS]) for one in histories]
    whole = {name: np.concatenate([one[name] for one in histories]) for name in names}
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Ragged(whole.pop(HISTORY_ITEMS), offsets, whole)
