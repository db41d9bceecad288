"""What rules read besides the dataset: the fresher table of items, and lists of items.

It is read once, where the run was started, and handed to the workers.

Legend of shapes: I items without the reserved numbers.
"""

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from conf.contract import NUM_RESERVED, Manifest
from conf.errors import InputError
from conf.privacy.log_ids import as_in_dataset, has_labels
from conf.runs.inputs.input_files import InputFile
from conf.settings.config import Config
from conf.settings.lists.items_now import ItemsNow
from conf.settings.lists.rules import Pin
from serving.rules.reading.item_lists import read_item_list
from serving.rules.reading.now_rows import TYPES, converted, read_rows
from serving.rules.shown import ShownVersion

log = logging.getLogger(__name__)
NOW, _RULES = "score.items_now", "score.rules."
AsId = Callable[[str], str]
Counts = dict[str, dict[str, int]]
"""For the ledger, by dotted name."""
_MOST_NAMED = 5


class Given(NamedTuple):
    """What rules read besides the dataset."""

    now: pa.Table | None = None
    """Fields of the fresher table, a row for each item; None: there is no such table."""
    has_row: np.ndarray | None = None
    """[I] bool, items with a row in it."""
    lists: Mapping[str, np.ndarray] = {}
    """[I] bool, the items of each list, by its dotted name."""
    pins: Mapping[str, int] = {}
    """Number of each pin's item, by the pin's name; without items that the dataset lacks."""
    shown: Sequence[ShownVersion] = ()
    """Lists that were published before, for `score.rules.fatigue`."""
    item_ids: pa.Array | None = None
    """Ids of the dataset's items, null for the reserved numbers; None: no lists are looked up."""
    counts: Mapping[str, Mapping[str, int]] = {}
    """For the ledger, by dotted name."""


NOTHING_GIVEN = Given()


def read_given(
    config: Config,
    manifest: Manifest,
    item_ids: pa.Array,
    files: Mapping[str, Sequence[InputFile]],
    told: Callable[[str], str] = str,
) -> Given:
    """Read all files of the rules.

    Args:
        config: The configuration.
        manifest: The dataset.
        item_ids: Ids of its items, null for the reserved numbers.
        files: By dotted name.
        told: Turns a warning about keys of `score.rules` into one about those of the user's file.

    Raises:
        InputError: When a file breaks its rules.
    """
    pins = {} if config.score.rules is None else config.score.rules.pins
    if not pins and not any(name == NOW or name.startswith(_RULES) for name in files):
        return Given()
    as_id = as_in_dataset(config, manifest, "item", "reading ids of items for lists")
    place = {name: n for n, name in enumerate(item_ids.to_pylist()[NUM_RESERVED:])}
    numbers, of_pins = _pins(pins, as_id, place, told)
    lists, of_lists = _lists(files, as_id, place, told)
    counts, section = {**of_pins, **of_lists}, config.score.items_now
    if section is None:
        return Given(lists=lists, pins=numbers, counts=counts)
    reading = _Reading(section, is_secret=has_labels(manifest, "item"))
    for number, file in enumerate(files[NOW]):
        reading.add(number, file.path, as_id)
    now, has_row = reading.finished(place)
    return Given(now, has_row, lists, numbers, counts={**counts, NOW: dict(reading.counts)})


def _pins(
    pins: Mapping[str, Pin], as_id: AsId, place: Mapping[str, int], told: Callable[[str], str]
) -> tuple[dict[str, int], Counts]:
    """Return the number of each pin's item, without unknown items, and what is counted."""
    found, counts = {}, {}
    for name, pin in pins.items():
        number = place.get(as_id(pin.item))
        if number is not None:
            found[name] = number + NUM_RESERVED
            continue
        key = f"{_RULES}pins.{name}"
        log.warning("score: %s", told(f"the item of {key} is not in the dataset"))
        counts[key] = {"unknown_items": 1}
    return found, counts


def _lists(
    files: Mapping[str, Sequence[InputFile]],
    as_id: AsId,
    place: Mapping[str, int],
    told: Callable[[str], str],
) -> tuple[dict[str, np.ndarray], Counts]:
    """Return the items of each list by its dotted name, [I] bool, and what is counted."""
    lists, counts = {}, {}
    for name, found in files.items():
        if not name.startswith(_RULES):
            continue
        ids = {as_id(text) for text in read_item_list(name, found[0].path)}
        if not ids & place.keys():
            what = f"{name} names {len(ids)} items, none of which is in the dataset"
            log.warning("score: %s", told(what))
        lists[name] = np.zeros(len(place), dtype=bool)
        lists[name][[place[one] for one in ids if one in place]] = True
        counts[name] = {"listed_ids": len(ids), "unknown_ids": len(ids - place.keys())}
    return lists, counts


class _Reading:
    """The fresher table while its files are read."""

    def __init__(self, section: ItemsNow, *, is_secret: bool) -> None:
        self.section, self.is_secret = section, is_secret
        self.rows: dict[str, tuple[Any, ...]] = {}
        self.seen_at: dict[str, str] = {}
        self.counts: Counter[str] = Counter(
            rows_read=0, rows_broken=0, rows_without_id=0, equal_duplicates=0
        )
        self.bad: Counter[str] = Counter()
        self.conflicts: list[str] = []

    def add(self, number: int, path: Path, as_id: AsId) -> None:
        """Read one file."""
        for row_number, row in enumerate(read_rows(path, self.section), start=1):
            self.counts["rows_read"] += 1
            if row is None:
                self.counts["rows_broken"] += 1
            elif row[0] is None or not str(row[0]).strip():
                self.counts["rows_without_id"] += 1
            else:
                where = f"row {row_number} of file {number + 1}"
                self._keep(as_id(str(row[0])), str(row[0]), self._values(row[1:]), where)

    def _values(self, row: Sequence[Any]) -> tuple[Any, ...]:
        values = []
        for value, (name, field) in zip(row, self.section.fields.items(), strict=True):
            try:
                values.append(converted(value, field.type))
            except (ValueError, TypeError, OverflowError):
                self.bad[name] += 1
                values.append(None)
        return tuple(values)

    def _keep(self, key: str, raw_id: str, values: tuple[Any, ...], where: str) -> None:
        first = self.rows.setdefault(key, values)
        before = self.seen_at.setdefault(key, where)
        if before == where:
            return
        if first == values:
            self.counts["equal_duplicates"] += 1
        else:
            named = "an item" if self.is_secret else f"item {raw_id!r}"
            self.conflicts.append(f"{named} in {before} and in {where}")

    def finished(self, place: Mapping[str, int]) -> tuple[pa.Table, np.ndarray]:
        """Return the fields of each item, and which items have a row.

        Raises:
            InputError: When rows contradict each other, or too few items have one.
        """
        if self.conflicts:
            told = "; ".join(self.conflicts[:_MOST_NAMED])
            raise InputError(
                f"{NOW}: {len(self.conflicts)} row(s) have other values than an earlier row of the "
                f"same item: {told}; keep one row for each item"
            )
        has_row = np.zeros(len(place), dtype=bool)
        columns: list[list[Any]] = [[None] * len(place) for _ in self.section.fields]
        for key, values in self.rows.items():
            if key in place:
                has_row[place[key]] = True
                for column, value in zip(columns, values, strict=True):
                    column[place[key]] = value
        self.counts["unknown_items"] = len(self.rows) - int(has_row.sum())
        self.counts["missing_items"] = int((~has_row).sum())
        self.counts.update({f"bad_values_{name}": count for name, count in self.bad.items()})
        self._warn()
        self._require_share(has_row)
        arrays = [
            pa.array(column, TYPES[field.type])
            for column, field in zip(columns, self.section.fields.values(), strict=True)
        ]
        return pa.Table.from_arrays(arrays, names=list(self.section.fields)), has_row

    def _warn(self) -> None:
        for name, count in self.counts.items():
            if count and name not in ("rows_read", "missing_items", "unknown_items"):
                log.warning("score: %s: %s: %d", NOW, name.replace("_", " "), count)

    def _require_share(self, has_row: np.ndarray) -> None:
        share = float(has_row.mean()) if len(has_row) else 1.0
        if share < self.section.min_share:
            raise InputError(
                f"{NOW}: {int(has_row.sum()):,} of the {len(has_row):,} items of the dataset have "
                f"a row ({share:.4g}), but {NOW}.min_share={self.section.min_share:g}; deliver the "
                "whole table, check the ids, or lower the share"
            )
