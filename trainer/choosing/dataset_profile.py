"""Figures of a dataset that the choice of a model depends on."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from conf.contract import (
    HISTORY_ITEMS,
    NUM_RESERVED,
    TARGET_ITEM,
    Manifest,
    RowGroup,
    catalogue_size,
)
from trainer.data.columns import lists_of, numbers_of
from trainer.data.event_features import HISTORIES
from trainer.data.feature_tables import ITEM_FEATURES
from trainer.data.stream import read_row_groups
from trainer.data.trained_on import read_train_events

_ROW_GROUPS = 16
"""Lengths and cold targets are measured on about this many row groups, spread over the part."""


@dataclass(frozen=True)
class Profile:
    """Figures of one dataset."""

    users: int
    """Users with any event."""
    items: int
    events: int
    """Targets of the training part."""
    median_length: int
    """Median events of a history, among users with any event."""
    long_length: int
    """History length that 90% of these users do not exceed."""
    cold_share: float | None
    """Share of the validation targets whose item has no training event; None without targets."""
    event_types: int
    event_features: tuple[str, ...]
    """Features of events in the histories."""
    item_features: tuple[str, ...]
    labels: tuple[str, ...]
    """Labels of the impressions; empty if there are no impressions."""
    logged_negatives: bool
    """Whether negative impressions are items that users were shown, not drawn ones."""

    @property
    def events_per_item(self) -> float:
        """Mean number of training events per item."""
        return self.events / max(self.items, 1)


def profile_of(folder: Path, manifest: Manifest) -> Profile:
    """Return the figures of a dataset; those not in the manifest are measured on some rows.

    Args:
        folder: Folder of the dataset.
        manifest: Its manifest.
    """
    of_all = _lengths(folder, manifest)
    lengths = of_all[of_all > 0]
    active = len(lengths) / max(len(of_all), 1)
    impressions = manifest.config["etl"]["impressions"]
    features = manifest.features.get(ITEM_FEATURES, ())
    return Profile(
        users=round(manifest.counts["users"] * active),
        items=catalogue_size(manifest) - NUM_RESERVED,
        events=manifest.counts.get("train_targets", manifest.counts.get("events", 0)),
        median_length=int(np.median(lengths)) if len(lengths) else 0,
        long_length=int(np.quantile(lengths, 0.9)) if len(lengths) else 0,
        cold_share=_cold_share(folder, manifest),
        event_types=len(manifest.event_types),
        event_features=tuple(feature.name for feature in manifest.features.get(HISTORIES, ())),
        item_features=tuple(f.name for f in features if f.left_out is None),
        labels=tuple(impressions["labels"]) if impressions else (),
        logged_negatives=bool(impressions) and impressions["negatives"] == "logged",
    )


def _lengths(folder: Path, manifest: Manifest) -> np.ndarray:
    """Return the lengths of some histories: [N] int64."""
    found = [np.zeros(0, dtype=np.int64)]
    for _, columns in read_row_groups(folder, _some(manifest, "histories"), [HISTORY_ITEMS]):
        found.append(lists_of(columns, HISTORY_ITEMS).lengths)
    return np.concatenate(found)


def _cold_share(folder: Path, manifest: Manifest) -> float | None:
    """Return the share of validation targets whose item has no training event, if there are any."""
    events = read_train_events(folder, manifest)
    cold = rows = 0
    for _, columns in read_row_groups(folder, _some(manifest, "valid"), [TARGET_ITEM]):
        targets = numbers_of(columns, TARGET_ITEM)
        cold, rows = cold + int((events[targets] == 0).sum()), rows + len(targets)
    return cold / rows if rows else None


def _some(manifest: Manifest, part: str) -> list[RowGroup]:
    groups = manifest.row_groups(part)
    return groups[:: max(1, len(groups) // _ROW_GROUPS)]
