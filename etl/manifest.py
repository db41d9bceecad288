"""Describe a finished dataset: its columns, and every file with its row groups."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from conf.contract import (
    HISTORY_ITEMS,
    HISTORY_TIMES,
    HISTORY_TYPES,
    HISTORY_WEIGHTS,
    ITEM_ID,
    ITEM_IDX,
    PADDING_IDX,
    TARGET_ITEM,
    UNKNOWN_IDX,
    USER_ID,
    USER_IDX,
    Column,
    DataFile,
    Feature,
    Manifest,
    PrivacyReport,
)
from conf.fingerprint import InputFile, hash_file
from conf.parquet import describe_parquet
from conf.schema import Config
from conf.workspace import UNDATED, version_id
from etl.encode import describe_vocabulary
from etl.features import (
    ENCODERS,
    IMPRESSION_PARTS,
    ITEM_FEATURES,
    ITEM_NEIGHBOURS,
    USER_FEATURES,
)
from etl.inputs import Staged, build_ledgers
from etl.times import day_of, iso_text

PARTS = ("train", "valid", "test", "histories", "items", "users", "quarantine")
OPTIONAL_PARTS = (
    ITEM_FEATURES, USER_FEATURES, ITEM_NEIGHBOURS, *IMPRESSION_PARTS, ENCODERS,
)  # fmt: skip
_SECRET_WORDS = ("secret", "password", "token", "credential", "access.key")


def describe_parts(root: Path) -> dict[str, tuple[DataFile, ...]]:
    """Return for each part of a dataset its files, in the order of their names."""
    parts = [*PARTS, *(part for part in OPTIONAL_PARTS if (root / part).is_dir())]
    return {part: tuple(_describe_file(root, path) for path in sorted((root / part).glob("*.*")))
            for part in parts}  # fmt: skip


def _describe_file(root: Path, path: Path) -> DataFile:
    if path.suffix == ".parquet":
        return describe_parquet(root, path)
    size = path.stat().st_size
    return DataFile(
        path=path.relative_to(root).as_posix(), bytes=size, sha256=hash_file(path), rows=0
    )


def describe_dataset(
    config: Config,
    work: Path,
    staged: Staged,
    inputs: Mapping[str, Sequence[InputFile]],
    *,
    newest: int,
    num_sessions: Mapping[str, int],
    fills: Mapping[str, Any],
    features: Mapping[str, tuple[Feature, ...]],
    leak_check: Mapping[str, int],
    logical_date: str | None,
    request: str,
    base: Manifest | None,
    privacy: PrivacyReport | None,
) -> Manifest:
    """Return the manifest of a finished dataset.

    Args:
        config: The run's configuration.
        work: Folder of the dataset.
        staged: The inputs with their verdicts.
        inputs: Files of each input.
        newest: Time of the newest event that is kept.
        num_sessions: How many sessions there are, where they are told apart.
        fills: What stands in for missing values.
        features: The features by part.
        leak_check: What the leak check counted.
        logical_date: Day up to which events count; None for the newest event's.
        request: Fingerprint of all that it is made from.
        base: Manifest of the dataset that it goes on from.
        privacy: What was done for the people in it.
    """
    dated = config.input.is_dated
    date = (logical_date or day_of(newest).isoformat()) if dated else UNDATED
    files = describe_parts(work)
    before = {} if base is None else base.vocabularies
    vocabularies = {
        "item": describe_vocabulary(work / "items", ITEM_ID, ITEM_IDX, before.get("item")),
        "user": describe_vocabulary(work / "users", USER_ID, USER_IDX),  # erasure makes gaps
    }
    event_types = tuple(config.etl.event_types)
    num_events = count_events(work / "histories")
    return Manifest(
        id=version_id(config.run.name, date, request),
        request=request,
        base=None if base is None else base.id,
        logical_date=date,
        as_of=iso_text(newest) if dated else str(newest),
        config=public_config(config),
        columns=describe_columns(
            vocabularies["user"].size, vocabularies["item"].size, len(event_types)
        ),
        files=files,
        vocabularies=vocabularies,
        event_types=event_types,
        features=dict(features),
        ledger=build_ledgers(staged, inputs, num_events, config.etl.clean.budgets),
        fills=dict(fills),
        leak_check=dict(leak_check),
        privacy=privacy,
        counts={**_count(files, num_events, count_events(work / "train")), **num_sessions},
    )


def _count(
    files: Mapping[str, Sequence[DataFile]], num_events: int, num_in_windows: int
) -> dict[str, int]:
    rows = {part: sum(file.rows for file in members) for part, members in files.items()}
    return {
        "users": rows["users"],
        "items": rows["items"],
        "events": num_events,
        "train_rows": rows["train"],
        "train_targets": num_in_windows - rows["train"],
        "valid": rows["valid"],
        "test": rows["test"],
        "quarantined": rows["quarantine"],
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
