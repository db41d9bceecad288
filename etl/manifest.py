"""Describe a finished dataset: its columns, and every file with its row groups."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.content import with_content
from conf.contract import (
    HISTORY_ITEMS,
    ITEM_ID,
    ITEM_IDX,
    USER_ID,
    USER_IDX,
    DataFile,
    Feature,
    Manifest,
    Vocabulary,
)
from conf.etl_schema import shown_types
from conf.fingerprint import hash_file
from conf.parquet import describe_parquet
from conf.schema import Config
from conf.workspace import UNDATED, version_id
from etl.columns import DRAW, NUM_SHOWN, SESSION_PLACE
from etl.encode import describe_vocabulary
from etl.features import (
    ENCODERS,
    IMPRESSION_PARTS,
    ITEM_FEATURES,
    USER_FEATURES,
)
from etl.inputs import build_ledgers
from etl.job import Job, Made
from etl.neighbours import ITEM_NEIGHBOURS
from etl.part_columns import describe_columns
from etl.privacy import report_privacy
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
    job: Job,
    made: Made,
    work: Path,
    *,
    fills: Mapping[str, Any],
    features: Mapping[str, tuple[Feature, ...]],
    leak_check: Mapping[str, int],
) -> Manifest:
    """Return the manifest of a finished dataset.

    Args:
        job: What was asked for.
        made: What was made of it.
        work: Folder of the dataset.
        fills: What stands in for missing values.
        features: The features by part.
        leak_check: What the leak check counted.
    """
    config, before = job.config, made.before
    dated = config.input.is_dated
    date = (job.logical_date or day_of(made.newest).isoformat()) if dated else UNDATED
    files = describe_parts(work)
    vocabularies = _vocabularies(job, made, work)
    num_events, shown = count_events(work / "histories"), _count_shown(work / "users", config)
    return with_content(Manifest(
        id=version_id(config.run.name, date, job.request),
        request=job.request,
        base=None if before is None else before.manifest.id,
        logical_date=date,
        as_of=iso_text(made.newest) if dated else str(made.newest),
        config=public_config(config),
        columns=describe_columns(work, vocabularies, features, len(config.etl.event_types)),
        files=files,
        vocabularies=vocabularies,
        event_types=tuple(config.etl.event_types),
        features=dict(features),
        ledger=build_ledgers(
            made.staged, job.inputs, num_events + sum(shown.values()), config.etl.clean.budgets
        ),
        fills=dict(fills),
        leak_check=dict(leak_check),
        privacy=report_privacy(job.protection, made.tables().get("users")),
        counts={**_count(files, num_events, count_events(work / "train")),
                **shown, **_count_sessions(made.events)},
    ))  # fmt: skip


def _vocabularies(job: Job, made: Made, work: Path) -> dict[str, Vocabulary]:
    """Return those of items and users, and of the features that histories tell."""
    known = None if made.before is None else made.before.manifest.vocabularies["item"]
    return {
        "item": describe_vocabulary(work / "items", ITEM_ID, ITEM_IDX, known),
        "user": describe_vocabulary(work / "users", USER_ID, USER_IDX),  # erasure makes gaps
        **made.context.vocabularies(job.request),
    }


def _count_sessions(events: DataFrame) -> dict[str, int]:
    """Return how many sessions there are, where they are told apart."""
    if SESSION_PLACE not in events.columns:
        return {}
    begins = (F.col(SESSION_PLACE) == 0) & (F.col(DRAW) == 0)
    return {"sessions": events.where(begins).count()}


def _count_shown(users: Path, config: Config) -> dict[str, int]:
    """Return how many events only showed an item, where there are such types."""
    if not shown_types(config.etl.event_types):
        return {}
    files = sorted(users.glob("*.parquet"))
    counts = (pq.read_table(path, columns=[NUM_SHOWN])[NUM_SHOWN] for path in files)
    return {"shown": sum(pc.sum(column).as_py() for column in counts)}


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
