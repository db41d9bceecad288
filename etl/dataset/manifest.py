"""Describe a finished dataset: its columns, and every file with its row groups."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.contract import (
    CUT_PARTS,
    HISTORY_ITEMS,
    HISTORY_TYPES,
    ITEM_COUNTS,
    ITEM_ID,
    ITEM_IDX,
    PADDING_IDX,
    TARGET_ITEM,
    UNKNOWN_IDX,
    USER_COUNTS,
    USER_ID,
    USER_IDX,
    Column,
    DataFile,
    Feature,
    Manifest,
    PrivacyReport,
    Vocabulary,
)
from conf.ledger import InputLedger
from conf.masking.origins import public_config
from conf.privacy.file_names import sealed_names
from conf.settings.config import Config
from conf.settings.etl import shown_types
from conf.workspace.hashes import hash_file, with_content
from conf.workspace.parquet import describe_parquet
from conf.workspace.versions import UNDATED, version_id
from etl.cleaning.inputs import build_ledgers
from etl.dataset.feature_parts import (
    ENCODERS,
    IMPRESSION_PARTS,
    IMPRESSIONS,
    ITEM_FEATURES,
    USER_FEATURES,
)
from etl.dataset.job import DatasetJob, Made
from etl.dataset.line_order import line_order_warnings
from etl.dataset.odd_ids import odd_id_warnings
from etl.dataset.seen import Seen, read_seen
from etl.dataset.ties import Ties, read_ties
from etl.features.history_features import HISTORIES
from etl.features.neighbours import ITEM_NEIGHBOURS, NEIGHBOUR_IDX
from etl.histories.numbering import describe_vocabulary
from etl.impressions.events import LABEL
from etl.privacy.rows import report_privacy
from etl.spark.columns import DRAW, NUM_SHOWN, SESSION_PLACE
from etl.spark.times import day_of, iso_text

PARTS = ("train", "valid", "test", "histories", "items", "users", "quarantine")
OPTIONAL_PARTS = (
    ITEM_FEATURES, USER_FEATURES, ITEM_NEIGHBOURS, *IMPRESSION_PARTS, ITEM_COUNTS, USER_COUNTS,
    ENCODERS,
)  # fmt: skip

_FEATURES_OF = {
    ITEM_FEATURES: ITEM_FEATURES,
    USER_FEATURES: USER_FEATURES,
    **dict.fromkeys(IMPRESSION_PARTS, IMPRESSIONS),
    **dict.fromkeys(("train", "valid", "test", HISTORIES), HISTORIES),
}
STREAMED = (*_FEATURES_OF, ITEM_NEIGHBOURS, ITEM_COUNTS, USER_COUNTS)
_ITEMS = (HISTORY_ITEMS, TARGET_ITEM, ITEM_IDX, NEIGHBOUR_IDX)
_RESERVED = {"padding": PADDING_IDX, "unknown": UNKNOWN_IDX}


def describe_parts(root: Path) -> dict[str, tuple[DataFile, ...]]:
    """Return the files of each part of a dataset, sorted by name."""
    parts = [*PARTS, *(part for part in OPTIONAL_PARTS if (root / part).is_dir())]
    return {
        part: tuple(_describe_file(root, path) for path in sorted((root / part).glob("*.*")))
        for part in parts
    }


def _describe_file(root: Path, path: Path) -> DataFile:
    if path.suffix == ".parquet":
        return describe_parquet(root, path)
    size = path.stat().st_size
    return DataFile(
        path=path.relative_to(root).as_posix(), bytes=size, sha256=hash_file(path), rows=0
    )


def describe_dataset(
    job: DatasetJob,
    made: Made,
    work: Path,
    *,
    fills: Mapping[str, Any],
    features: Mapping[str, tuple[Feature, ...]],
    leak_check: Mapping[str, int],
) -> Manifest:
    """Return the manifest of a finished dataset.

    Args:
        job: The request of the run.
        made: The results of its steps.
        work: Folder of the dataset.
        fills: Fill values for missing values.
        features: The features by part.
        leak_check: Number of facts of each kind that the leak check checked.
    """
    config, before, dated = job.config, made.before, job.config.input.is_dated
    date = (job.logical_date or day_of(made.newest).isoformat()) if dated else UNDATED
    files = describe_parts(work)
    vocabularies = _vocabularies(job, made, work)
    ties, shown = read_ties(work / "histories"), _count_shown(work / "users", config)
    seen = read_seen(work / "test")
    return with_content(
        Manifest(
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
            ledger=_ledgers(job, made, work, ties=ties, seen=seen, num_shown=sum(shown.values())),
            fills=dict(fills),
            cuts=_told_cuts(made.cuts),
            leak_check=dict(leak_check),
            privacy=_report_privacy(job, made),
            counts={
                **_count(files, ties, seen, count_events(work / "train")),
                **shown,
                **_count_sessions(made.events),
            },
        )
    )


def _report_privacy(job: DatasetJob, made: Made) -> PrivacyReport | None:
    report, keys = report_privacy(job.protection, made.tables().get("users")), job.protection.keys
    names = {
        file.name: file.hidden
        for files in job.inputs.values()
        for file in files
        if file.hidden is not None
    }
    if report is None or keys is None or not names:
        return report
    return report.model_copy(update={"file_names": sealed_names(names, keys)})


def _ledgers(
    job: DatasetJob, made: Made, work: Path, *, ties: Ties, seen: Seen, num_shown: int
) -> dict[str, InputLedger]:
    """Return the ledgers; that of the events has the warnings about their order and ids."""
    etl, is_dated = job.config.etl, job.config.input.is_dated
    ledgers = build_ledgers(made.staged, job.inputs, ties.events + num_shown, job.config)
    told = (
        *ties.warnings(is_dated=is_dated, ties=etl.split.ties),
        *line_order_warnings(work, is_dated=is_dated),
        *seen.warnings(),
        *odd_id_warnings(work, ties.events),
    )
    return {**ledgers, "events": ledgers["events"].with_warnings(told)}


def _told_cuts(cuts: tuple[int, int] | None) -> dict[str, str]:
    """Return the start times of the validation and the test part as texts."""
    return {} if cuts is None else dict(zip(CUT_PARTS, map(iso_text, cuts), strict=True))


def _vocabularies(job: DatasetJob, made: Made, work: Path) -> dict[str, Vocabulary]:
    """Return the vocabularies of items, users and the features in histories."""
    known = None if made.before is None else made.before.manifest.vocabularies["item"]
    return {
        "item": describe_vocabulary(work / "items", ITEM_ID, ITEM_IDX, known),
        "user": describe_vocabulary(work / "users", USER_ID, USER_IDX),  # erasure removes ids
        **made.context.vocabularies(job.request),
    }


def _count_sessions(events: DataFrame) -> dict[str, int]:
    """Return the number of sessions; empty if sessions are not configured."""
    if SESSION_PLACE not in events.columns:
        return {}
    begins = (F.col(SESSION_PLACE) == 0) & (F.col(DRAW) == 0)
    return {"sessions": events.where(begins).count()}


def _count_shown(users: Path, config: Config) -> dict[str, int]:
    """Return the number of impressions; empty if there are no such event types."""
    if not shown_types(config.etl.event_types):
        return {}
    files = sorted(users.glob("*.parquet"))
    counts = (pq.read_table(path, columns=[NUM_SHOWN])[NUM_SHOWN] for path in files)
    return {"shown": sum(pc.sum(column).as_py() for column in counts)}


def _count(
    files: Mapping[str, Sequence[DataFile]], ties: Ties, seen: Seen, num_in_windows: int
) -> dict[str, int]:
    rows = {part: sum(file.rows for file in members) for part, members in files.items()}
    return {
        "users": rows["users"],
        "items": rows["items"],
        "events": ties.events,
        "tied_events": ties.tied,
        "train_rows": rows["train"],
        "train_targets": num_in_windows - rows["train"],
        "valid": rows["valid"],
        "test": rows["test"],
        "test_seen": seen.seen,
        "quarantined": rows["quarantine"],
    }


def count_events(folder: Path) -> int:
    """Return the number of events in the histories of Parquet files."""
    lengths = (
        pc.sum(pc.list_value_length(batch.column(0)), min_count=0).as_py()
        for path in sorted(folder.glob("*.parquet"))
        for batch in pq.ParquetFile(path).iter_batches(columns=[HISTORY_ITEMS])
    )
    return int(sum(lengths))


def describe_columns(
    root: Path,
    vocabularies: Mapping[str, Vocabulary],
    features: Mapping[str, Sequence[Feature]],
    num_event_types: int,
) -> dict[str, tuple[Column, ...]]:
    """Return the columns of each part that the trainer streams, as in its files.

    Args:
        root: Folder of the dataset.
        vocabularies: Vocabularies of items and users.
        features: The features by part.
        num_event_types: Number of event types in use.
    """
    sizes = {
        USER_IDX: vocabularies["user"].size,
        HISTORY_TYPES: num_event_types,
        **dict.fromkeys(_ITEMS, vocabularies["item"].size),
    }
    columns = {}
    for part in STREAMED:
        files = sorted((root / part).glob("*.parquet"))
        if files:
            known = {
                feature.name: feature for feature in features.get(_FEATURES_OF.get(part, ""), ())
            }
            schema = pq.read_schema(files[0])
            columns[part] = tuple(_column(field, sizes, known) for field in schema)
    return columns


def _column(field: pa.Field, sizes: Mapping[str, int], features: Mapping[str, Feature]) -> Column:
    dtype = str(field.type).replace("element: ", "").replace("item: ", "").replace(" not null", "")
    feature = features.get(field.name)
    if feature is not None:
        is_list = pa.types.is_list(field.type) and feature.kind != "vector"
        kind = "sequence" if is_list else feature.kind
        reserved = {} if feature.cardinality is None else _RESERVED
        return Column(
            name=field.name,
            kind=kind,
            dtype=dtype,
            cardinality=feature.cardinality,
            reserved_ids=reserved,
        )
    is_id = field.name == USER_IDX or field.name in _ITEMS
    return Column(
        name=field.name,
        kind=_kind(field),
        dtype=dtype,
        cardinality=sizes.get(field.name),
        reserved_ids=_RESERVED if is_id else {},
    )


def _kind(field: pa.Field) -> str:
    if field.name == TARGET_ITEM or field.name.startswith(LABEL):
        return "label"
    if pa.types.is_list(field.type):
        return "sequence"
    return "id" if field.name in (USER_IDX, ITEM_IDX, NEIGHBOUR_IDX) else "numeric"
