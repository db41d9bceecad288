"""Describe a finished dataset: its columns, and every file with its row groups."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from conf.contract import (
    HISTORY_ITEMS,
    HISTORY_TIMES,
    HISTORY_TYPES,
    HISTORY_WEIGHTS,
    PADDING_IDX,
    TARGET_ITEM,
    UNKNOWN_IDX,
    USER_IDX,
    Column,
    DataFile,
)
from conf.parquet import describe_parquet
from conf.schema import Config

PARTS = ("train", "valid", "test", "histories", "items", "users", "quarantine")
_SECRET_WORDS = ("secret", "password", "token", "credential", "access.key")


def describe_parts(root: Path) -> dict[str, tuple[DataFile, ...]]:
    """Return for each part of a dataset its files, in the order of their names."""
    return {
        part: tuple(
            describe_parquet(root, path) for path in sorted((root / part).glob("*.parquet"))
        )
        for part in PARTS
    }


def describe_columns(
    num_users: int, num_items: int, num_event_types: int
) -> dict[str, tuple[Column, ...]]:
    """Return for each part that a trainer or scorer streams its columns.

    Args:
        num_users: Size of the users' vocabulary, reserved numbers included.
        num_items: Size of the items' vocabulary, likewise.
        num_event_types: Event types in use.
    """
    reserved = {"padding": PADDING_IDX, "unknown": UNKNOWN_IDX}
    user = Column(name=USER_IDX, kind="id", dtype="int64", cardinality=num_users,
                  reserved_ids=reserved)  # fmt: skip
    items = Column(name=HISTORY_ITEMS, kind="sequence", dtype="list<int32>",
                   cardinality=num_items, reserved_ids=reserved)  # fmt: skip
    types = Column(name=HISTORY_TYPES, kind="sequence", dtype="list<int32>",
                   cardinality=num_event_types)  # fmt: skip
    weights = Column(name=HISTORY_WEIGHTS, kind="sequence", dtype="list<float>")
    times = Column(name=HISTORY_TIMES, kind="sequence", dtype="list<int64>")
    target = Column(name=TARGET_ITEM, kind="label", dtype="int32", cardinality=num_items,
                    reserved_ids=reserved)  # fmt: skip
    history = (user, items, types, times)
    return {
        "train": (user, items, weights, types),
        "valid": (*history, target),
        "test": (*history, target),
        "histories": history,
    }


def count_events(folder: Path) -> int:
    """Return the events in the histories of Parquet files."""
    lengths = (
        pc.sum(pc.list_value_length(batch.column(0)), min_count=0).as_py()
        for path in sorted(folder.glob("*.parquet"))
        for batch in pq.ParquetFile(path).iter_batches(columns=[HISTORY_ITEMS])
    )
    return int(sum(lengths))


def public_config(config: Config) -> dict[str, Any]:
    """Return the configuration as JSON can hold it, secrets masked."""
    tree = config.model_dump(mode="json")
    tree["spark"]["conf"] = _masked(config.spark.conf)
    return tree


def _masked(settings: Mapping[str, str]) -> dict[str, str]:
    def is_secret(key: str) -> bool:
        return any(word in key.lower() for word in _SECRET_WORDS)

    return {key: "***" if is_secret(key) else value for key, value in settings.items()}
