"""Which events a model is trained on: the training part, or with a refit also held-out events.

The model and its number of epochs are chosen before; a refit measures nothing.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from conf.contract import (
    HISTORY_CONTEXT,
    HISTORY_ITEMS,
    HISTORY_TIMES,
    HISTORY_TYPES,
    HISTORY_WEIGHTS,
    ITEM_IDX,
    NUM_RESERVED,
    TRAIN_EVENTS,
    TRAIN_WEIGHT,
    USER_IDX,
    WEIGHT_STEPS,
    Manifest,
    catalogue_size,
)
from conf.errors import ConfigError, InputError
from conf.workspace.instants import first_held_out
from conf.workspace.parquet import read_columns
from trainer.data.columns import Columns, Ragged, lists_of, numbers_of
from trainer.data.event_features import context_columns, has_confidences
from trainer.data.stream import read_row_groups

_BY_USER = ("leave_one_out", "leave_last_n")
COLUMNS = (USER_IDX, HISTORY_ITEMS, HISTORY_TYPES, HISTORY_TIMES)
NO_END = int(np.iinfo(np.int64).max)
"""Number of events to use of a history that counts as a whole."""


def require_refit(kind: str, manifest: Manifest) -> None:
    """Refuse `train.refit=with_valid` unless test events directly follow validation events.

    Raises:
        ConfigError: When the dataset's split is not by each user's last events.
    """
    split = manifest.config["etl"]["split"]["kind"]
    if kind == "with_valid" and split not in _BY_USER:
        raise ConfigError(
            f"train.refit='with_valid' needs a split whose test part is each user's last events "
            f"({', '.join(_BY_USER)}), but the split of dataset {manifest.id} is {split!r}; use "
            "train.refit=everything, which trains on all events, or train.refit=none"
        )


def require_confidence(folder: Path, manifest: Manifest) -> None:
    """Refuse a training part whose events all have the confidence 0: they say nothing.

    Raises:
        InputError: When there are training events, and the sum of their confidences is 0.
    """
    if not has_confidences(manifest) or read_train_weights(folder, manifest).any():
        return
    events = int(read_train_events(folder, manifest).sum())
    if events:
        raise InputError(
            f"all {events:,} training events of dataset {manifest.id} have the confidence 0, so "
            "there is nothing to learn from; correct weight and confidence in etl.event_types, and "
            "run headrace etl again (train.algorithm=ranking learns from impressions instead)"
        )


def why_nothing_is_held_out(manifest: Manifest) -> str:
    """Return cause and fix of a validation or test part without rows."""
    split = manifest.config["etl"]["split"]
    dropped = [
        f"etl.split.{key}=drop" for key in ("cold_users", "cold_items") if split.get(key) == "drop"
    ]
    or_dropped = f", or {' and '.join(dropped)} dropped all targets; keep them" if dropped else ""
    if HISTORY_WEIGHTS in context_columns(manifest, "histories"):
        or_dropped = (
            ", or all targets have the confidence 0 and do not count (see etl.event_types)"
            f"{or_dropped}"
        )
    if split["kind"] == "temporal":
        return (
            f"no event lies in its time{or_dropped}; move etl.split.valid_from and test_from to "
            "days of the log, or set them to null"
        )
    if split["kind"] == "given":
        return f"no event was kept from the logs of input.events with its part{or_dropped}"
    targets = 1 if split["kind"] == "leave_one_out" else split.get("num_targets", 1)
    apart = " at different times" if split.get("ties") == "together" else ""
    return (
        f"no user has the {2 * targets + 1} events{apart} that the split {split['kind']} needs"
        f"{or_dropped}; give a longer log, or another etl.split"
    )


def histories_end(folder: Path, manifest: Manifest, kind: str) -> np.ndarray:
    """Return how many events of each history to train on: [users] int64 by USER_IDX.

    It is `NO_END` for users whose events all count: with `everything`, or without a
    test target.
    """
    if kind == "everything":
        return np.full(manifest.vocabularies["user"].size, NO_END)
    return lengths_before(folder, manifest, ("test",))


def events_before(columns: Columns, ends: np.ndarray) -> np.ndarray:
    """Return whether each event of these histories is before its user's end: [events] bool.

    Args:
        columns: Row group of `histories/` with USER_IDX and HISTORY_ITEMS.
        ends: [users] by USER_IDX.
    """
    users, items = numbers_of(columns, USER_IDX), lists_of(columns, HISTORY_ITEMS)
    place = np.arange(len(items.values)) - np.repeat(items.offsets[:-1], items.lengths)
    found: np.ndarray = place < np.repeat(ends[users], items.lengths)
    return found


def with_single_events(lengths: np.ndarray, folder: Path, manifest: Manifest) -> np.ndarray:
    """Add the users whose training part is one event, which no training row holds.

    With a split at two instants that drops targets, a user without a target may have no training
    event at all, so such users stay without one.

    Args:
        lengths: [users] number of events in the training rows, by USER_IDX.
        folder: Folder of the dataset.
        manifest: Manifest of the dataset; its split is in time order.

    Returns:
        [users] int64 number of events in the training part.
    """
    split = manifest.config["etl"]["split"]
    before = lengths_before(folder, manifest, ("valid", "test"))
    single = np.minimum(before, 1)
    if split["kind"] not in _BY_USER and "drop" in (
        split.get("cold_users"),
        split.get("cold_items"),
    ):
        single[before == NO_END] = 0
    else:
        single[_begins_later(folder, manifest)] = 0
    found: np.ndarray = np.where(lengths > 0, lengths, single)
    return found


def _begins_later(folder: Path, manifest: Manifest) -> np.ndarray:
    """Return whether a user's first event is after the training part: [users] bool by USER_IDX.

    Such an event has no history, so it is no target, and the user has none.
    """
    found, cut = np.zeros(manifest.vocabularies["user"].size, dtype=bool), first_held_out(manifest)
    if cut is None:
        return found
    groups = manifest.row_groups("histories")
    for _, columns in read_row_groups(folder, groups, (USER_IDX, HISTORY_TIMES)):
        users, times = numbers_of(columns, USER_IDX), lists_of(columns, HISTORY_TIMES)
        has_events = times.lengths > 0
        found[users[has_events]] = times.values[times.offsets[:-1][has_events]] >= cut
    return found


def lengths_before(folder: Path, manifest: Manifest, parts: Sequence[str]) -> np.ndarray:
    """Return how many events each user has before the first target of these parts.

    Returns:
        [users] int64 by USER_IDX; `NO_END` for users without such a target.
    """
    lengths = np.full(manifest.vocabularies["user"].size, NO_END)
    groups = [group for part in parts for group in manifest.row_groups(part)]
    for _, columns in read_row_groups(folder, groups, (USER_IDX, HISTORY_ITEMS)):
        users, histories = numbers_of(columns, USER_IDX), lists_of(columns, HISTORY_ITEMS)
        np.minimum.at(lengths, users, histories.lengths)
    return lengths


def item_events(folder: Path, manifest: Manifest, ends: np.ndarray) -> np.ndarray:
    """Return each item's number of events before the users' ends: [V] int64, V the catalogue."""
    events = np.zeros(catalogue_size(manifest), dtype=np.int64)
    groups = manifest.row_groups("histories")
    for _, columns in read_row_groups(folder, groups, (USER_IDX, HISTORY_ITEMS)):
        items = lists_of(columns, HISTORY_ITEMS).values
        events += np.bincount(items[events_before(columns, ends)], minlength=len(events))
    events[:NUM_RESERVED] = 0
    return events


def item_weights(folder: Path, manifest: Manifest, ends: np.ndarray) -> np.ndarray:
    """Return each item's sum of confidences before the users' ends: [V] float64."""
    if not has_confidences(manifest):
        return item_events(folder, manifest, ends).astype(np.float64)
    sums = np.zeros(catalogue_size(manifest), dtype=np.float64)
    groups = manifest.row_groups("histories")
    for _, columns in read_row_groups(folder, groups, (USER_IDX, HISTORY_ITEMS, HISTORY_WEIGHTS)):
        items, weights = lists_of(columns, HISTORY_ITEMS), lists_of(columns, HISTORY_WEIGHTS)
        counts = events_before(columns, ends)
        sums += np.bincount(items.values[counts], in_steps(weights.values[counts]), len(sums))
    sums[:NUM_RESERVED] = 0
    return sums / WEIGHT_STEPS


def in_steps(confidences: np.ndarray) -> np.ndarray:
    """Return confidences as whole numbers of 1 / WEIGHT_STEPS: sums of them are exact."""
    steps: np.ndarray = np.rint(confidences.astype(np.float64) * WEIGHT_STEPS)
    return steps


def windows_of(columns: Columns, manifest: Manifest, ends: np.ndarray) -> Columns:
    """Cut histories, up to their users' ends, into rows like those of the training part."""
    etl = manifest.config["etl"]
    weights = [etl["event_types"][name]["weight"] for name in manifest.event_types]
    return cut_windows(
        columns,
        window_length=etl["window_length"],
        weights=weights,
        most=ends,
        only_newest=etl["windows"] == "last",
    )


def count_windows(columns: Columns, manifest: Manifest, ends: np.ndarray) -> int:
    """Return how many rows `windows_of` makes of histories."""
    etl = manifest.config["etl"]
    counts = _num_windows(columns, etl["window_length"], ends, only_newest=etl["windows"] == "last")
    return int(counts.sum())


def cut_windows(
    columns: Columns,
    *,
    window_length: int,
    weights: Sequence[float],
    most: np.ndarray | None = None,
    only_newest: bool = False,
) -> Columns:
    """Cut whole histories into rows like those of the training part.

    Args:
        columns: `COLUMNS` of some users, and any confidences and feature columns of the events.
        window_length: Largest number of targets in one row; adjacent rows share one event.
        weights: Weight of each event type, for events without a confidence.
        most: [users] number of events of each user to use, by USER_IDX; None: all.
        only_newest: Whether only the newest row of each history is wanted.

    Returns:
        Users, items, weights, types, times and the feature columns; no rows for users with fewer
        than two events.
    """
    users, items = numbers_of(columns, USER_IDX), lists_of(columns, HISTORY_ITEMS)
    lengths = _lengths(columns, most)  # [U]
    counts = _num_windows(columns, window_length, most, only_newest=only_newest)  # [U]
    owner = np.repeat(np.arange(len(users)), counts)  # [R]
    number = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)  # [R]
    ends = lengths[owner] - number * window_length  # [R] positions in the history
    starts = np.maximum(ends - window_length - 1, 0)
    sizes = ends - starts
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], sizes)
    places = np.repeat(items.offsets[owner] + starts, sizes) + within
    types = lists_of(columns, HISTORY_TYPES).values[places]
    if HISTORY_WEIGHTS in columns:
        confidence = lists_of(columns, HISTORY_WEIGHTS).values[places]
    else:
        confidence = np.asarray(weights, dtype=np.float32)[types]
    return {
        USER_IDX: users[owner],
        HISTORY_ITEMS: Ragged(items.values[places], offsets),
        HISTORY_WEIGHTS: Ragged(confidence, offsets),
        HISTORY_TYPES: Ragged(types, offsets),
        **{
            name: Ragged(lists_of(columns, name).values[places], offsets)
            for name in columns
            if name == HISTORY_TIMES or name.startswith(HISTORY_CONTEXT)
        },
    }


def _num_windows(
    columns: Columns, window_length: int, most: np.ndarray | None, *, only_newest: bool
) -> np.ndarray:
    """Return how many rows `cut_windows` makes of each history: [U] int64."""
    counts: np.ndarray = -(-np.maximum(_lengths(columns, most) - 1, 0) // window_length)
    return np.minimum(counts, 1) if only_newest else counts


def _lengths(columns: Columns, most: np.ndarray | None) -> np.ndarray:
    """Return how many events of each history are used: [U] int64."""
    lengths = lists_of(columns, HISTORY_ITEMS).lengths
    return lengths if most is None else np.minimum(lengths, most[numbers_of(columns, USER_IDX)])


def read_train_events(folder: Path, manifest: Manifest) -> np.ndarray:
    """Return each item's number of training events: [V] int64, 0 at the reserved numbers."""
    events = np.zeros(catalogue_size(manifest), dtype=np.int64)
    for file in manifest.files["items"]:
        table = read_columns(folder / file.path, [ITEM_IDX, TRAIN_EVENTS])
        events[table[ITEM_IDX].to_numpy()] = table[TRAIN_EVENTS].to_numpy()
    return events


def read_train_weights(folder: Path, manifest: Manifest) -> np.ndarray:
    """Return each item's sum of confidences in the training part: [V] float64."""
    if not has_confidences(manifest):
        return read_train_events(folder, manifest).astype(np.float64)
    sums = np.zeros(catalogue_size(manifest), dtype=np.float64)
    for file in manifest.files["items"]:
        table = read_columns(folder / file.path, [ITEM_IDX, TRAIN_WEIGHT])
        sums[table[ITEM_IDX].to_numpy()] = table[TRAIN_WEIGHT].to_numpy()
    return sums
