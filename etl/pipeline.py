"""The whole stage: raw events in, a committed dataset out."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession

from conf.contract import ITEM_ID, USER_ID, Manifest
from conf.privacy.identities import identities_folder
from conf.privacy.protection import protection_of
from conf.runs.inputs.input_files import InputFile, input_sources, names_hidden_in_errors
from conf.runs.scratch import folders_of
from conf.settings.config import Config
from conf.settings.etl import Etl, acts_differ
from conf.settings.features import Features
from conf.workspace.versions import commit
from etl.cleaning.accounting.matches import match_tables
from etl.cleaning.check import check_inputs
from etl.cleaning.confidence import add_confidence, require_some_confidence
from etl.cleaning.inputs import (
    Staged,
    StagedInput,
    keep_core,
    keep_shared_items,
    require_events_on,
    require_sound,
    stage_inputs,
    write_quarantine,
)
from etl.dataset.feature_parts import ENCODERS, Prepared, write_encoders, write_features
from etl.dataset.job import DatasetJob, Made
from etl.dataset.manifest import describe_dataset
from etl.dataset.parts import write_parts
from etl.features.history_features import fit_history_features
from etl.features.predecessor import Predecessor, read_predecessor, require_same_ids
from etl.histories.left_over import left_over_warnings
from etl.histories.numbering import number_items, number_users, users_of
from etl.histories.sequences import collect_histories
from etl.histories.split import find_cuts, place_training_first, split_events
from etl.histories.training import read_training, require_some_training
from etl.impressions.events import number_events
from etl.impressions.rows import NumberedLog
from etl.leaks.check import check_leaks
from etl.privacy.identities import store_identities
from etl.privacy.rows import without_dropped
from etl.reading.files.file_kinds import unpacked_bytes
from etl.report.write import write_report
from etl.spark.columns import (
    CONFIDENCE,
    EVENT_TYPE,
    FIELD,
    PART,
    QUARANTINED,
    TIME,
    VALUE,
)
from etl.spark.folders import SCRATCH, finish, refused_folder, store, work_folder
from etl.spark.session import spark_session

log = logging.getLogger(__name__)


def run(
    config: Config,
    *,
    logical_date: str | None,
    inputs: Mapping[str, Sequence[InputFile]],
    request: str,
    base: str | None = None,
) -> str:
    """Make and commit the dataset of `request`, and return its id.

    Args:
        config: The run's configuration.
        logical_date: Last day (YYYY-MM-DD) whose events are used; None for all events.
        inputs: Files of each input.
        request: Fingerprint of all of the above.
        base: Id of the dataset that this one extends, with its numbers and encodings.

    Raises:
        InputError: When the input breaks its contract or has too many bad rows.
        NoNewDataError: When there is no event on the logical date.
    """
    datasets = Path(config.run.output).absolute() / "datasets"
    num_bytes = sum(file.bytes for files in inputs.values() for file in files)
    sources = input_sources(config)
    unpacked = sum(unpacked_bytes(sources[name], one) for name in inputs for one in inputs[name])
    num_files = sum(len(files) for files in inputs.values())
    log.info("etl: starting Spark for %d files, %.1f MiB", num_files, num_bytes / (1 << 20))
    job = _checked_job(config, inputs, logical_date, request)
    with (
        names_hidden_in_errors(inputs),
        work_folder(datasets, request) as work,
        _session(config, work, unpacked) as spark,
    ):
        before = None
        if base is not None:
            log.info("etl: reading dataset %s, which this one extends", base)
            before = read_predecessor(spark, datasets.parent, base)
            require_same_ids(before, config, job.protection)
        staged, users = _sound_inputs(spark, job, work, before)
        made = _collected(job, staged, users, before, work / SCRATCH)
        manifest = _written(spark, job, made, work)
        _store_identities(job, made, manifest.id, work)
        write_report(
            work, manifest, config=config, staged=staged, inputs=inputs, workspace=datasets.parent
        )
        finish(work, datasets, manifest.id)
    commit(datasets.parent, "datasets", manifest)
    return manifest.id


def _checked_job(
    config: Config,
    inputs: Mapping[str, Sequence[InputFile]],
    logical_date: str | None,
    request: str,
) -> DatasetJob:
    """Return the request of a run after a look at its input files."""
    readable = without_dropped(config)
    with names_hidden_in_errors(inputs):
        warnings = check_inputs(readable, inputs)
    return DatasetJob(
        config, readable, protection_of(config), inputs, logical_date, request, warnings
    )


def _sound_inputs(
    spark: SparkSession, job: DatasetJob, work: Path, before: Predecessor | None
) -> tuple[Staged, DataFrame]:
    """Return the judged inputs, without rare users and items, and the numbered users."""
    etl, scratch, lap = job.config.etl, work / SCRATCH, _stopwatch()
    log.info("etl: reading and judging every row")
    staged = stage_inputs(
        spark,
        job.readable,
        job.inputs,
        logical_date=job.logical_date,
        folder=scratch,
        protection=job.protection,
        warnings=job.warnings,
    )
    log.info("etl: %s (%.1f s)", _told(staged), lap())
    refused = refused_folder(work.parent, job.request)
    require_sound(staged, etl.clean, refused, scratch / "refused", job.protection)
    if job.logical_date is not None and job.config.input.is_dated:
        require_events_on(job.logical_date, staged["events"])
    log.info("etl: numbering users, dropping rare users and items")
    users = store(_number_users(staged, before), scratch / "numbered-users")
    events = keep_core(staged["events"], etl, scratch / "core")
    events = keep_shared_items(events, etl, job.config.privacy.min_users_per_item)
    log.info("etl: %d events left (%.1f s)", events.rows_kept(), lap())
    told = _told_left_over(staged, events, etl, before)
    events = replace(events, warnings=(*events.warnings, *told))
    return match_tables({**staged, "events": events}, job.protection), users


def _collected(
    job: DatasetJob, staged: Staged, users: DataFrame, before: Predecessor | None, scratch: Path
) -> Made:
    """Split and number the events, and collect them into histories."""
    lap, etl = _stopwatch(), job.config.etl
    log.info("etl: splitting the events, numbering items, collecting histories")
    cuts = find_cuts(staged["events"].kept(), etl.split)
    events = store(_split(staged, job.config, cuts), scratch / "split-events")
    known_items = None if before is None else before.items
    table = staged["items"].kept() if etl.catalogue == "table" else None
    items = store(number_items(events, known_items, table), scratch / "numbered-items")
    training = read_training(scratch / "numbered-items")
    require_some_training(training, etl.split.kind, is_extended=before is not None)
    require_some_confidence(training.events, training.weight, etl)
    context = fit_history_features(events, etl, before)

    def collected(name: str) -> DataFrame:
        rows = context.encode(events, scratch / f"{name}-vocabularies")
        return store(collect_histories(rows, items, users), scratch / name)

    histories = examples = collected("collected-histories")
    if not etl.split.is_in_time_order:
        events = store(place_training_first(events), scratch / "reordered-events")
        examples = collected("collected-examples")
    log.info("etl: collected the histories (%.1f s)", lap())
    newest = staged["events"].newest()
    return Made(staged, before, events, users, items, context, histories, examples, cuts, newest)


def _written(spark: SparkSession, job: DatasetJob, made: Made, work: Path) -> Manifest:
    """Write all parts, check them for leaks, and describe them."""
    lap, config, tables = _stopwatch(), job.config, made.tables()
    log.info("etl: writing histories, training rows and targets")
    fills = write_parts(
        made.histories, made.examples, made.items, tables, job.readable, work, before=made.before
    )
    if config.etl.impressions is not None or config.etl.features != Features():
        log.info("etl: encoding features and impressions")
    features = write_features(
        Prepared(made.items, made.examples, tables, fills, made.before),
        _numbered_log(made, config),
        job.readable,
        work,
    )
    write_encoders(work / ENCODERS, made.context.fitted_by_part())
    features |= made.context.described()
    log.info("etl: writing the quarantine")
    write_quarantine(made.staged, work / "quarantine", work / SCRATCH / "quarantine")
    checked = check_leaks(spark, job, made.cuts, work)
    manifest = describe_dataset(job, made, work, fills=fills, features=features, leak_check=checked)
    log.info("etl: wrote %s (%.1f s)", _told_counts(manifest.counts), lap())
    return manifest


def _store_identities(job: DatasetJob, made: Made, dataset_id: str, work: Path) -> None:
    frames = [part.judged for part in made.staged.values()]
    store_identities(
        frames,
        {USER_ID: made.users, ITEM_ID: made.items},
        job.protection,
        scratch=work / SCRATCH / "identities",
        folder=identities_folder(work.parents[1], dataset_id),
    )


def _session(config: Config, work: Path, num_bytes: int) -> AbstractContextManager[SparkSession]:
    spark = config.spark
    return spark_session(
        name=f"headrace etl {config.run.name}",
        master=spark.master,
        driver_memory=spark.driver_memory,
        shuffle_partitions=spark.shuffle_partitions,
        conf=spark.conf,
        log_path=work / SCRATCH / "spark.log",
        input_bytes=num_bytes,
        scratch=folders_of(config),
    )


def _number_users(staged: Staged, before: Predecessor | None) -> DataFrame:
    table = staged["users"].kept() if "users" in staged else None
    known = None if before is None else before.users
    return number_users(staged["events"].judged, table, known)


def _told_left_over(
    staged: Staged, events: StagedInput, etl: Etl, before: Predecessor | None
) -> tuple[str, ...]:
    """Return the warnings about users and items that only the dataset before has."""
    if before is None:
        return ()
    table = staged["users"].kept() if "users" in staged else None
    users = users_of(staged["events"].judged, table)
    items = events.kept().select(ITEM_ID)
    if etl.catalogue == "table":
        items = items.union(staged["items"].kept().select(ITEM_ID))
    warnings = left_over_warnings(users, items, before.users, before.items)
    for warning in warnings:
        log.warning("etl: %s", warning)
    return warnings


def _split(staged: Staged, config: Config, cuts: tuple[int, int] | None) -> DataFrame:
    kept = staged["events"].kept()
    context = [name for name in kept.columns if name == VALUE or name.startswith(FIELD)]
    if config.etl.impressions is None:
        context = [FIELD + name for name in config.etl.history_features]
    if acts_differ(config.etl.event_types.values()):
        kept = add_confidence(kept, config.etl.event_types)
    more = [name for name in (PART, CONFIDENCE) if name in kept.columns]
    chosen = kept.select(USER_ID, ITEM_ID, EVENT_TYPE, TIME, *more, *context)
    return split_events(chosen, config.etl, config.run.seed, cuts)


def _numbered_log(made: Made, config: Config) -> NumberedLog:
    return NumberedLog(
        events=number_events(made.events, made.items, made.users),
        items=made.items,
        event_types=tuple(config.etl.event_types),
        cuts=made.cuts,
        is_dated=config.input.is_dated,
        is_in_time_order=config.etl.split.is_in_time_order,
        ties_together=config.etl.split.ties == "together",
        newest=made.newest,
        seed=config.run.seed,
    )


def _stopwatch() -> Callable[[], float]:
    """Return a function that returns the seconds since its last call."""
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
