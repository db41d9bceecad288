"""Read what the trainer needs of the items table: numbers only, never the raw ids."""

from pathlib import Path

import numpy as np

from conf.contract import ITEM_IDX, TRAIN_EVENTS, Manifest, catalogue_size
from conf.parquet import read_columns


def read_train_events(folder: Path, manifest: Manifest) -> np.ndarray:
    """Return each item's events in the training part: [V] int64, 0 at the reserved numbers."""
    events = np.zeros(catalogue_size(manifest), dtype=np.int64)
    for file in manifest.files["items"]:
        table = read_columns(folder / file.path, [ITEM_IDX, TRAIN_EVENTS])
        events[table[ITEM_IDX].to_numpy()] = table[TRAIN_EVENTS].to_numpy()
    return events
