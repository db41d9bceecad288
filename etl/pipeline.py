"""The stage from top to bottom: raw events in, a committed dataset out."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from conf.contract import ITEM_ID, USER_ID, DataFile, Manifest
from conf.errors import ConfigError
from conf.etl_schema import Split
from conf.fingerprint import InputFile
from conf.schema import Config
from conf.workspace import UNDATED, commit, version_id
from etl.check import check_inputs
from etl.columns import EVENT_TYPE, QUARANTINED, TIME
from etl.encode import describe_vocabulary, number_items, number_users
from etl.folders import SCRATCH, finish, refused_folder, work_folder
from etl.inputs import (
    Staged,
    build_ledgers,
    keep_core,
    require_events_on,
    require_sound,
    stage_inputs,
    write_quarantine,
)
from etl.manifest import count_events, describe_columns, describe_parts, public_config
from etl.parts import write_parts
from etl.sequences import collect_histories
from etl.session import spark_session
from etl.split import add_places, leave_one_out, split_by_time, time_at_shares
from etl.staging import store
from etl.times import day_of, day_start, iso_text

log = logging.getLogger(__name__)

_SHORT_RUN_BYTES = 32 << 20


def run(
    config: Config,
    *,
    logical_date: str | None,
    inputs: Mapping[str, Sequence[InputFile]],
    request: str,
) -> str:
    """Make and commit the dataset of `request`; return its id.

    Args:
        config: The run's configuration.
        logical_date: Day (YYYY-MM-DD) up to which events count; None for all of them.
        inputs: Files of each input.
        request: Fingerprint of all of the above.

    Raises:
        InputError: When the input breaks its contract or too much of it is bad.
        NoNewDataError: When no event is of the logical date.
    """
    datasets = Path(config.run.output).absolute() / "datasets"
    warnings = check_inputs(config, inputs)
    num_bytes = sum(file.bytes for files in inputs.values() for file in files)
    with work_folder(datasets, request) as work, _session(config, work, num_bytes) as spark:
        scratch, lap = work / SCRATCH, _stopwatch()
        staged = stage_inputs(spark, config, inputs, logical_date, scratch, warnings)
        log.info("etl: %s (%.1f s)", _told(staged), lap())
        refused = refused_folder(datasets, request)
        require_sound(staged, config.etl.clean.max_bad_share, refused, scratch / "refused")
        if logical_date is not None and config.input.is_dated:
            require_events_on(logical_date, staged["events"])
        users = store(_number_users(staged), scratch / "numbered-users")
        staged = {**staged, "events": keep_core(staged["events"], config.etl, scratch / "core")}
        log.info("etl: %d events in the core (%.1f s)", staged["events"].rows_kept(), lap())
        events = store(_split(staged, config), scratch / "split-events")
        items = store(number_items(events), scratch / "numbered-items")
        collected = collect_histories(events, items, users)
        histories = store(collected, scratch / "collected-histories")
        log.info("etl: split, numbered and collected into histories (%.1f s)", lap())
        write_parts(histories, items, _kept_tables(staged), config, work)
        write_quarantine(staged, work / "quarantine", scratch / "quarantine")
        manifest = _describe(
            config,
            work,
            staged,
            inputs,
            newest=_newest_time(events),
            logical_date=logical_date,
            request=request,
        )
        log.info("etl: wrote the shards: %s (%.1f s)", _told_counts(manifest.counts), lap())
        finish(work, datasets, manifest.id)
    commit(datasets.parent, "datasets", manifest)
    return manifest.id


def _session(config: Config, work: Path, num_bytes: int) -> AbstractContextManager[SparkSession]:
    spark = config.spark
    return spark_session(
        name=f"headrace etl {config.run.name}", master=spark.master,
        driver_memory=spark.driver_memory, shuffle_partitions=spark.shuffle_partitions,
        conf=spark.conf, log_path=work / SCRATCH / "spark.log",
        is_short=num_bytes < _SHORT_RUN_BYTES,
    )  # fmt: skip


def _number_users(staged: Staged) -> DataFrame:
    table = staged["users"].kept() if "users" in staged else None
    return number_users(staged["events"].judged, table)


def _split(staged: Staged, config: Config) -> DataFrame:
    kept = staged["events"].kept().select(USER_ID, ITEM_ID, EVENT_TYPE, TIME)
    placed = kept.transform(add_places, config.run.seed)
    if config.etl.split.kind == "leave_one_out":
        return leave_one_out(placed)
    return split_by_time(placed, *_cuts(kept, config.etl.split))


def _cuts(kept: DataFrame, split: Split) -> tuple[int, int]:
    """Return the first instants of the validation and of the test part."""
    days = (split.valid_from, split.test_from)
    if None in days:
        row = time_at_shares(kept, split.valid_share, split.test_share).head()
        assert row is not None  # an aggregate without groups has one row
        by_share = (row["valid_from"], row["test_from"])
    else:
        by_share = (None, None)
    valid, test = (
        share if day is None else day_start(day) for day, share in zip(days, by_share, strict=True)
    )
    if valid > test:
        raise ConfigError(
            f"etl.split: the validation part begins at {iso_text(valid)}, behind the test part's "
            f"{iso_text(test)}; valid_from has to come first"
        )
    return valid, test


def _newest_time(events: DataFrame) -> int:
    row = events.agg(F.max(TIME)).head()
    assert row is not None  # an aggregate without groups has one row
    return int(row[0])


def _kept_tables(staged: Staged) -> dict[str, DataFrame]:
    return {name: part.kept() for name, part in staged.items() if name != "events"}


def _describe(
    config: Config,
    work: Path,
    staged: Staged,
    inputs: Mapping[str, Sequence[InputFile]],
    *,
    newest: int,
    logical_date: str | None,
    request: str,
) -> Manifest:
    dated = config.input.is_dated
    date = (logical_date or day_of(newest).isoformat()) if dated else UNDATED
    files = describe_parts(work)
    vocabularies = {"item": describe_vocabulary(work / "items", ITEM_ID),
                    "user": describe_vocabulary(work / "users", USER_ID)}  # fmt: skip
    event_types = tuple(config.etl.event_types)
    num_events = count_events(work / "histories")
    return Manifest(
        id=version_id(config.run.name, date, request),
        request=request,
        logical_date=date,
        as_of=iso_text(newest) if dated else str(newest),
        config=public_config(config),
        columns=describe_columns(
            vocabularies["user"].size, vocabularies["item"].size, len(event_types)
        ),
        files=files,
        vocabularies=vocabularies,
        event_types=event_types,
        ledger=build_ledgers(staged, inputs, num_events),
        counts=_count(files, num_events, count_events(work / "train")),
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


def _stopwatch() -> Callable[[], float]:
    """Return a function that tells the seconds since its last call."""
    marks = [time.monotonic()]

    def lap() -> float:
        marks.append(time.monotonic())
        return marks[-1] - marks[-2]

    return lap


def _told(staged: Staged) -> str:
    return ", ".join(
        f"{name}: {part.rows_read} rows read, {part.rows_kept()} kept, "
        f"{part.rows_with(QUARANTINED)} quarantined"
        for name, part in staged.items()
    )


def _told_counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())
