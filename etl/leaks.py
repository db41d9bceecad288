"""Prove on a sample that nothing in a dataset is newer than it may be; fail the run if it is.

The raw log is read again and what a sample of users and items may know is worked out anew, in
plain Python. It holds for the temporal split; leave-one-out has no common cut.
"""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.dataset as ds

from conf.contract import (
    HISTORY_ITEMS,
    HISTORY_TIMES,
    ITEM_ID,
    ITEM_IDX,
    TARGET_ITEM,
    TRAIN_EVENTS,
    USER_ID,
    USER_IDX,
)
from conf.errors import GateError
from etl.columns import TIME
from etl.leak_facts import Facts, count_before, decayed_before, ids_of
from etl.times import MICROS_PER_DAY, iso_text

_PARTS = ("train", "valid", "test")
_IMPRESSIONS = tuple(f"{part}_impressions" for part in _PARTS)
_SHOWN = 5
_ROUNDING = 1e-4  # features are float32

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Sample:
    """Rows of a dataset that are checked, and the raw ids of all numbers in them."""

    users: Mapping[int, str]
    items: Mapping[int, str]
    train_events: Mapping[str, int]
    """For each sampled item of the vocabulary, its training events as the dataset has them."""
    rows: Mapping[str, Sequence[Row]]
    """For each part, the rows of the sampled users."""


def draw_sample(
    folder: Path, *, num_users: int, num_items: int, num_impressions: int, seed: int
) -> Sample:
    """Draw users that have a target, and items, and read what the dataset says of them.

    Args:
        folder: Folder of the dataset.
        num_users: Most users.
        num_items: Most items of the vocabulary.
        num_impressions: Most impressions of those users in each part.
        seed: Seed of the draw.
    """
    draw = random.Random(seed)
    targets = {
        row[USER_IDX] for part in ("valid", "test") for row in _read(folder / part, [USER_IDX])
    }
    chosen = sorted(draw.sample(sorted(targets), min(num_users, len(targets))))
    users = {row[USER_IDX]: row[USER_ID] for row in _read(folder / "users", [USER_IDX, USER_ID],
             USER_IDX, chosen)}  # fmt: skip
    rows = {part: _read(folder / part, None, USER_IDX, chosen) for part in _PARTS}
    for part in _IMPRESSIONS:
        found = _read(folder / part, None, USER_IDX, chosen)
        rows[part] = draw.sample(found, min(num_impressions, len(found)))
    vocabulary = _read(folder / "items", [ITEM_IDX, ITEM_ID, TRAIN_EVENTS])
    entries = draw.sample(vocabulary, min(num_items, len(vocabulary)))
    return Sample(
        users=users,
        items={row[ITEM_IDX]: row[ITEM_ID] for row in vocabulary},
        train_events={row[ITEM_ID]: row[TRAIN_EVENTS] for row in entries},
        rows=rows,
    )


def needed_items(sample: Sample) -> list[str]:
    """Return the ids of the items whose raw events the check needs."""
    numbers = {row[ITEM_IDX] for part, rows in sample.rows.items() if part.endswith("impressions")
               for row in rows}  # fmt: skip
    return sorted({*sample.train_events, *ids_of(sample.items, numbers)})


def find_leaks(
    sample: Sample,
    facts: Facts,
    cuts: tuple[int, int],
    *,
    windows_days: Sequence[int],
    half_life_days: float,
) -> tuple[list[str], dict[str, int]]:
    """Return what is newer than it may be, in words, and how many facts of each kind were checked.

    Args:
        sample: What the dataset says.
        facts: What the raw log says of the same users and of `needed_items`.
        cuts: First instants of the validation and of the test part.
        windows_days: Windows of the counts as of an event; empty where there are none.
        half_life_days: Half-life of the popularity.
    """
    checks = {
        "vocabulary entries": _about_vocabulary(sample, facts, cuts[0]),
        "training rows": _about_training(sample, facts, cuts[0]),
        "validation rows": _about_targets(sample, facts, "valid", cuts[0]),
        "test rows": _about_targets(sample, facts, "test", cuts[1]),
        "impressions": _about_impressions(sample, facts, windows_days, half_life_days),
    }
    leaks: list[str] = []
    counts = {}
    for kind, found in checks.items():
        answers = list(found)
        counts[kind] = len(answers)
        leaks += [answer for answer in answers if answer is not None]
    return leaks, counts


def require_none(leaks: Sequence[str]) -> None:
    """Raise where there are leaks.

    Raises:
        GateError: Naming the first of them.
    """
    if leaks:
        shown = "; ".join(leaks[:_SHOWN])
        raise GateError(
            f"the leak check found {len(leaks)} value(s) that the raw log cannot have given by "
            f"then: {shown}; no dataset was made"
        )


def _about_vocabulary(sample: Sample, facts: Facts, cut: int) -> Iterator[str | None]:
    for item, events in sample.train_events.items():
        there = count_before(facts.of_item[item], cut)
        is_newer = events > there
        yield (
            f"item {item!r} has {events} training events, but {there} before {iso_text(cut)}"
            if is_newer
            else None
        )


def _about_training(sample: Sample, facts: Facts, cut: int) -> Iterator[str | None]:
    for row in sample.rows["train"]:
        events = facts.of_user[sample.users[row[USER_IDX]]]
        known = {item for item, at in events if at < cut}
        newer = ids_of(sample.items, row[HISTORY_ITEMS]) - known
        yield f"train: {_listed(newer)} of {_who(row)} not before the cut" if newer else None


def _about_targets(sample: Sample, facts: Facts, part: str, cut: int) -> Iterator[str | None]:
    for row in sample.rows[part]:
        events = facts.of_user[sample.users[row[USER_IDX]]]
        times = {at for _, at in events if at < cut}
        newer = [at for at in row[HISTORY_TIMES] if at not in times]
        known = {item for item, at in events if at < cut}
        unknown = ids_of(sample.items, row[HISTORY_ITEMS]) - known
        target = sample.items.get(row[TARGET_ITEM])
        is_early = target is not None and not any(
            item == target and at >= cut for item, at in events
        )
        broken = newer or unknown or is_early
        yield f"{part}: the row of {_who(row)} does not end at the cut" if broken else None


def _about_impressions(
    sample: Sample, facts: Facts, windows_days: Sequence[int], half_life_days: float
) -> Iterator[str | None]:
    for part, rows in sample.rows.items():
        if not part.endswith("_impressions"):
            continue
        for row in rows:
            user, item = sample.users[row[USER_IDX]], sample.items.get(row[ITEM_IDX])
            known = {other for other, at in facts.of_user[user] if at <= row[TIME]}
            newer = ids_of(sample.items, row[HISTORY_ITEMS]) - known
            if newer:
                yield f"{part}: {_listed(newer)} in the history of {_who(row)} is newer"
                continue
            sides = {"user_": facts.of_user[user]}
            if item is not None:
                sides["item_"] = facts.of_item[item]
            yield next(
                (f"{part}: {name} of {_who(row)} is {row[name]:g}, the log before it allows "
                 f"{most:g}" for prefix, events in sides.items()
                 for name, most in _most(prefix, events, row, windows_days, half_life_days)
                 if row.get(name, 0.0) > most + _ROUNDING * max(most, 1.0)),
                None,
            )  # fmt: skip


def _most(
    prefix: str,
    events: Iterable[tuple[str, int]],
    row: Row,
    windows: Sequence[int],
    half_life: float,
) -> Iterator[tuple[str, float]]:
    """Yield for each count as of the row the most that it can be."""
    if not windows:
        return
    events = list(events)
    day_start = row[TIME] // MICROS_PER_DAY * MICROS_PER_DAY
    names = [name for name in row if name.startswith(prefix)]
    for days in windows:
        most = count_before(events, day_start, day_start - days * MICROS_PER_DAY)
        yield from ((name, most) for name in names if name.endswith(f"_{days}d"))
    ever = count_before(events, day_start)
    yield from ((name, ever) for name in names if name.endswith("_all"))
    yield f"{prefix}popularity", decayed_before(events, day_start, half_life * MICROS_PER_DAY)
    first = min((at for _, at in events), default=day_start)
    age = (day_start - first // MICROS_PER_DAY * MICROS_PER_DAY) / MICROS_PER_DAY
    yield f"{prefix}age_days", max(age, -1.0)


def _who(row: Row) -> str:
    """Return what a user is called in a message: never by an id of the log."""
    return f"user_idx {row[USER_IDX]}"


def _read(
    folder: Path, columns: list[str] | None, key: str | None = None, keys: Sequence[int] = ()
) -> list[Row]:
    if not folder.is_dir():
        return []
    chosen = None if key is None else pc.field(key).isin(list(keys))
    files = sorted(str(path) for path in folder.glob("*.parquet"))
    if not files:
        return []
    rows: list[Row] = ds.dataset(files).to_table(columns=columns, filter=chosen).to_pylist()
    return rows


def _listed(ids: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in sorted(ids)[:_SHOWN])
