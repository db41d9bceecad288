"""Histories of one event for each item, so that any model says what goes with an item.

Legend of shapes: N items.
"""

import numpy as np

from conf.contract import (
    HISTORY_CONTEXT,
    HISTORY_TIMES,
    HISTORY_TYPES,
    HISTORY_WEIGHTS,
    PRESENT_SUFFIX,
    UNKNOWN_IDX,
    Manifest,
)
from conf.workspace.instants import newest_instant
from trainer.data.columns import Ragged
from trainer.data.event_features import HISTORIES, context_columns


def histories_of_items(items: np.ndarray, manifest: Manifest) -> Ragged:
    """Return a history for each item in which it is the only event: [N].

    The event is of the type with the largest weight, at the time of the dataset's newest event.
    What else is known of events is unknown of this one.

    Args:
        items: [N] numbers of items.
        manifest: The dataset.
    """
    weights = weights_of_types(manifest)
    strongest = int(weights.argmax()) if len(weights) else 0
    beside: dict[str, np.ndarray] = {
        HISTORY_TYPES: np.full(len(items), strongest, dtype=np.int32),
        HISTORY_TIMES: np.full(len(items), _newest(manifest), dtype=np.int64),
    }
    beside |= unknown_context(manifest, beside[HISTORY_TYPES])
    return Ragged(items.astype(np.int64), np.arange(len(items) + 1, dtype=np.int64), beside)


def unknown_context(manifest: Manifest, types: np.ndarray) -> dict[str, np.ndarray]:
    """Return the further columns of events of which only the types are known: [N] each.

    Args:
        manifest: The dataset.
        types: [N]
    """
    dtypes = {column.name: column.dtype for column in manifest.columns.get(HISTORIES, ())}
    return {
        name: weights_of_types(manifest)[types].astype(np.float32)
        if name == HISTORY_WEIGHTS
        else _unknown(name, dtypes[name], len(types))
        for name in context_columns(manifest, HISTORIES)
    }


def _unknown(name: str, dtype: str, count: int) -> np.ndarray:
    """Return the values of a column of events of which nothing is known: [N]."""
    is_code = name.startswith(HISTORY_CONTEXT) and not name.endswith(PRESENT_SUFFIX)
    if is_code and "int" in dtype:
        return np.full(count, UNKNOWN_IDX, dtype=np.int32)
    return np.zeros(count, dtype=np.int32 if "int" in dtype else np.float32)


def weights_of_types(manifest: Manifest) -> np.ndarray:
    """Return the weight of each type of event: [types] float64."""
    kinds = manifest.config.get("etl", {}).get("event_types", {})
    return np.array([kinds.get(name, {}).get("weight", 1.0) for name in manifest.event_types])


def _newest(manifest: Manifest) -> int:
    """Return the time of the newest event, in the unit of the histories."""
    instant = newest_instant(manifest)
    return int(manifest.as_of) if instant is None else instant
