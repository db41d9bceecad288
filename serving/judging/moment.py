"""The dataset as lists made before its held-out events would see it: its clock and its counts.

Legend of shapes: E events of a row group, U users, V catalogue.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from conf.contract import (
    HISTORY_ITEMS,
    HISTORY_TIMES,
    HISTORY_TYPES,
    ITEM_COUNTS,
    SESSION_PLACE,
    UNKNOWN_IDX,
    USER_COUNTS,
    USER_IDX,
    Manifest,
    catalogue_size,
)
from conf.workspace.instants import newest_instant
from trainer.data.columns import lists_of, numbers_of
from trainer.data.stream import read_row_groups
from trainer.data.trained_on import events_before, lengths_before
from trainer.models.popularity import MICROSECONDS_PER_DAY
from trainer.prediction.context import Context, Known

Part = Literal["valid", "test"]
_FROM_PART: dict[Part, tuple[str, ...]] = {"valid": ("valid", "test"), "test": ("test",)}
_WITHOUT_ORDER = ("random", "given")
"""Splits whose held-out events are not the last ones of their users."""


def manifest_at(manifest: Manifest, part: Part) -> Manifest:
    """Return a dataset's manifest as of the instant before a held-out part.

    A temporal split has one such instant: it becomes `as_of`, and its day the logical date. With
    other splits every user has another one, and both stay those of the dataset. The counts at the
    end of the dataset are taken out, since they include held-out events.
    """
    files = {
        name: found
        for name, found in manifest.files.items()
        if name not in (ITEM_COUNTS, USER_COUNTS)
    }
    cut = manifest.cuts.get(f"{part}_from")
    if cut is None:
        return manifest.model_copy(update={"files": files})
    moment = datetime.fromisoformat(cut)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    last = (moment - timedelta(microseconds=1)).astimezone(UTC)
    changes = {
        "files": files,
        "as_of": last.isoformat(),
        "logical_date": last.date().isoformat(),
    }
    return manifest.model_copy(update=changes)


def with_counts_before(context: Context, folder: Path, manifest: Manifest, part: Part) -> Context:
    """Return a ranker's context with the counts of `etl.features.as_of` before a held-out part.

    They are those that the ETL would write on the day after the newest event if the log had no
    held-out events. Without an order of time, or with events that histories lack
    (`etl.event_types.NAME.shown_only`), they cannot be counted and stay missing.

    Args:
        context: The context without these counts.
        folder: Folder of the dataset.
        manifest: Result of `manifest_at`.
        part: The held-out part.
    """
    spec, etl = manifest.config["etl"].get("features", {}).get("as_of"), manifest.config["etl"]
    wanted = [
        field.name for field in context.fields if field.is_count and field.name != SESSION_PLACE
    ]
    shown = [name for name, one in etl["event_types"].items() if one.get("shown_only")]
    if not wanted or spec is None or shown or etl["split"]["kind"] in _WITHOUT_ORDER:
        return context
    counting = _Counting.of(manifest, spec["windows_days"], spec["half_life_days"])
    for events in _events(folder, manifest, part):
        counting.add(events)
    counts = counting.counts()
    known = {name: counts[name] for name in wanted if name in counts}
    without = tuple(name for name in context.without_value if name not in known)
    return replace(context, known={**context.known, **known}, without_value=without)


class _Events(NamedTuple):
    """Events with a known item, before the held-out part: [E] int64 each."""

    user: np.ndarray
    item: np.ndarray
    kind: np.ndarray
    day: np.ndarray
    """Days since 1970 UTC."""


def _events(folder: Path, manifest: Manifest, part: Part) -> Iterator[_Events]:
    ends = lengths_before(folder, manifest, _FROM_PART[part])
    newest, groups = newest_instant(manifest), manifest.row_groups("histories")
    columns = (USER_IDX, HISTORY_ITEMS, HISTORY_TYPES, HISTORY_TIMES)
    for _, block in read_row_groups(folder, groups, columns):
        items, times = lists_of(block, HISTORY_ITEMS), lists_of(block, HISTORY_TIMES).values
        chosen = events_before(block, ends) & (items.values > UNKNOWN_IDX)
        if newest is not None:
            chosen &= times <= newest
        yield _Events(
            np.repeat(numbers_of(block, USER_IDX), items.lengths)[chosen].astype(np.int64),
            items.values[chosen].astype(np.int64),
            lists_of(block, HISTORY_TYPES).values[chosen].astype(np.int64),
            times[chosen] // MICROSECONDS_PER_DAY,
        )


@dataclass(frozen=True)
class _Counting:
    """Sums up events by user and by item."""

    day: int
    """The day that the counts are of; its own events do not count."""
    kinds: Mapping[str, int | None]
    """Number of each kind of event; None: all."""
    windows_days: Sequence[int]
    half_life_days: float
    sums: Mapping[str, np.ndarray]
    """By field, [V] or [U] float64."""
    first: Mapping[str, np.ndarray]
    """By prefix, day of the first event: [V] or [U] float64."""

    @classmethod
    def of(
        cls, manifest: Manifest, windows_days: Sequence[int], half_life_days: float
    ) -> "_Counting":
        """Return it before the first event."""
        newest = newest_instant(manifest)
        assert newest is not None  # a rule of the configuration: such counts need times
        types = manifest.event_types
        kinds: dict[str, int | None] = {"events": None}
        kinds |= {name: number for number, name in enumerate(types) if len(types) > 1}
        sizes = {"item_": catalogue_size(manifest), "user_": manifest.vocabularies["user"].size}
        spans = [*(f"{days}d" for days in windows_days), "all"]
        names = [*(f"{kind}_{span}" for kind in kinds for span in spans), "popularity"]
        sums = {prefix + name: np.zeros(size) for prefix, size in sizes.items() for name in names}
        first = {prefix: np.full(size, np.inf) for prefix, size in sizes.items()}
        day = newest // MICROSECONDS_PER_DAY + 1
        return cls(day, kinds, windows_days, half_life_days, sums, first)

    def add(self, events: _Events) -> None:
        """Count the events of a row group."""
        spans = {f"{days}d": events.day >= self.day - days for days in self.windows_days}
        spans["all"] = np.ones(len(events.day), dtype=bool)
        decayed = 2.0 ** ((events.day - self.day) / self.half_life_days)
        for prefix, keys in (("item_", events.item), ("user_", events.user)):
            np.minimum.at(self.first[prefix], keys, events.day)
            np.add.at(self.sums[f"{prefix}popularity"], keys, decayed)
            for kind, number in self.kinds.items():
                is_kind = (
                    np.ones(len(keys), dtype=bool) if number is None else events.kind == number
                )
                for span, is_in in spans.items():
                    np.add.at(self.sums[f"{prefix}{kind}_{span}"], keys[is_in & is_kind], 1.0)

    def counts(self) -> dict[str, Known]:
        """Return the fields as the ranker's impressions have them."""
        ages = {
            f"{prefix}age_days": np.where(np.isfinite(first), self.day - first, -1.0)
            for prefix, first in self.first.items()
        }
        return {
            name: Known("item" if name.startswith("item_") else "user", _as_field(values))
            for name, values in {**self.sums, **ages}.items()
        }


def _as_field(values: np.ndarray) -> np.ndarray:
    """Return counts with their mask, scaled as `trainer.data.feature_tables` does: [V, 2]."""
    counts = values.astype(np.float32)
    scaled = np.sign(counts) * np.log1p(np.abs(counts))
    return np.stack([scaled, np.ones(len(counts), dtype=np.float32)], axis=1)
