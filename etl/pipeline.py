"""The stage from top to bottom: raw events in, a committed dataset out."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from conf.contract import ITEM_ID, USER_ID
from conf.fingerprint import InputFile
from conf.identities import identities_folder
from conf.protection import Protection, protection_of
from conf.schema import Config
from conf.workspace import commit
from etl.columns import EVENT_TYPE, FIELD, QUARANTINED, SESSION_PLACE, TIME, VALUE
from etl.encode import number_items, number_users
from etl.features import Prepared, write_features
from etl.folders import SCRATCH, finish, refused_folder, work_folder
from etl.going_on import Base, read_base
from etl.identities import store_identities
from etl.impressions import number_events
from etl.inputs import (
    Staged,
    keep_core,
    keep_shared_items,
    logs_of,
    require_events_on,
    require_sound,
    stage_inputs,
    write_quarantine,
)
from etl.leak_facts import collect_facts
from etl.leaks import draw_sample, find_leaks, needed_items, require_none
from etl.manifest import describe_dataset
from etl.parts import write_parts
from etl.privacy import report_privacy, without_dropped
from etl.ranking_rows import Log
from etl.report import write_report
from etl.sequences import collect_histories
from etl.session import spark_session
from etl.split import place_training_first
from etl.splitting import find_cuts, split_events
from etl.staging import known_events, store

log = logging.getLogger(__name__)

_SHORT_RUN_BYTES = 32 << 20


def run(
    config: Config,
    *,
    logical_date: str | None,
    inputs: Mapping[str, Sequence[InputFile]],
    request: str,
    base: str | None = None,
) -> str:
    """Make and commit the dataset of `request`; return its id.

    Args:
        config: The run's configuration.
        logical_date: Day (YYYY-MM-DD) up to which events count; None for all of them.
        inputs: Files of each input.
        request: Fingerprint of all of the above.
        base: Id of the dataset whose numbers and encodings it goes on from.

    Raises:
        InputError: When the input breaks its contract or too much of it is bad.
        NoNewDataError: When no event is of the logical date.
    """
    datasets = Path(config.run.output).absolute() / "datasets"
    protection, readable = protection_of(config), without_dropped(config)
    num_bytes = sum(file.bytes for files in inputs.values() for file in files)
    with work_folder(datasets, request) as work, _session(config, work, num_bytes) as spark:
        scratch, lap = work / SCRATCH, _stopwatch()
        before = None if base is None else read_base(spark, datasets.parent, base)
        staged = stage_inputs(spark, readable, inputs, logical_date, scratch, protection)
        log.info("etl: %s (%.1f s)", _told(staged), lap())
        refused = refused_folder(datasets, request)
        require_sound(staged, config.etl.clean, refused, scratch / "refused")
        if logical_date is not None and config.input.is_dated:
            require_events_on(logical_date, staged["events"])
        users = store(_number_users(staged, before), scratch / "numbered-users")
        staged = {**staged, "events": keep_core(staged["events"], config.etl, scratch / "core")}
        least = config.privacy.min_users_per_item
        staged = {**staged, "events": keep_shared_items(staged["events"], least)}
        log.info("etl: %d events in the core (%.1f s)", staged["events"].rows_kept(), lap())
        cuts = find_cuts(staged["events"].kept(), config.etl.split)
        events = store(_split(staged, config, cuts), scratch / "split-events")
        known_items = None if before is None else before.items
        items = store(number_items(events, known_items), scratch / "numbered-items")
        collected = collect_histories(events, items, users)
        histories = store(collected, scratch / "collected-histories")
        examples = histories
        if config.etl.split.kind == "random":
            reordered = collect_histories(place_training_first(events), items, users)
            examples = store(reordered, scratch / "collected-examples")
        log.info("etl: split, numbered and collected into histories (%.1f s)", lap())
        fills = write_parts(histories, examples, items, _kept_tables(staged), readable, work)
        newest = _newest_time(events)
        features = write_features(
            Prepared(items, examples, _kept_tables(staged), before),
            _numbered_log(events, items, users, config, cuts, newest),
            config,
            work,
        )
        write_quarantine(staged, work / "quarantine", scratch / "quarantine")
        manifest = describe_dataset(
            config,
            work,
            staged,
            inputs,
            newest=newest,
            num_sessions=_count_sessions(events),
            fills=fills,
            features=features,
            leak_check=_checked(spark, readable, inputs, work, cuts, protection),
            logical_date=logical_date,
            request=request,
            base=None if before is None else before.manifest,
            privacy=report_privacy(protection, _kept_tables(staged).get("users")),
        )
        frames, numbered = [p.judged for p in staged.values()], {USER_ID: users, ITEM_ID: items}
        identities = identities_folder(datasets.parent, manifest.id)
        store_identities(
            frames, numbered, protection, scratch=scratch / "identities", folder=identities
        )
        log.info("etl: wrote the shards: %s (%.1f s)", _told_counts(manifest.counts), lap())
        write_report(
            work, manifest, config=config, staged=staged, inputs=inputs, workspace=datasets.parent
        )
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


def _number_users(staged: Staged, before: Base | None) -> DataFrame:
    table = staged["users"].kept() if "users" in staged else None
    known = None if before is None else before.users
    return number_users(staged["events"].judged, table, known)


def _split(staged: Staged, config: Config, cuts: tuple[int, int] | None) -> DataFrame:
    kept = staged["events"].kept()
    context = (name for name in kept.columns if name == VALUE or name.startswith(FIELD))
    more = context if config.etl.impressions is not None else ()
    chosen = kept.select(USER_ID, ITEM_ID, EVENT_TYPE, TIME, *more)
    return split_events(chosen, config.etl, config.run.seed, cuts)


def _checked(
    spark: SparkSession,
    config: Config,
    inputs: Mapping[str, Sequence[InputFile]],
    work: Path,
    cuts: tuple[int, int] | None,
    protection: Protection,
) -> dict[str, int]:
    """Check for leaks and return how much was checked."""
    spec, as_of = config.etl.leak_check, config.etl.features.as_of
    if cuts is None or spec is None:
        return {}
    sample = draw_sample(work, spec.users, spec.items, config.run.seed)
    raw = [
        (known_events(spark, log, config.etl, protection), log.source.time_unit)
        for log in logs_of(config, inputs)
    ]
    facts = collect_facts(
        raw, list(sample.users.values()), needed_items(sample), protection.privacy.time_step
    )
    leaks, counts = find_leaks(
        sample,
        facts,
        cuts,
        windows_days=() if as_of is None else as_of.windows_days,
        half_life_days=1.0 if as_of is None else as_of.half_life_days,
    )
    require_none(leaks)
    return counts


def _numbered_log(
    events: DataFrame,
    items: DataFrame,
    users: DataFrame,
    config: Config,
    cuts: tuple[int, int] | None,
    newest: int,
) -> Log:
    return Log(
        events=number_events(events, items, users),
        items=items,
        event_types=tuple(config.etl.event_types),
        cuts=cuts,
        is_dated=config.input.is_dated,
        newest=newest,
        seed=config.run.seed,
    )


def _newest_time(events: DataFrame) -> int:
    row = events.agg(F.max(TIME)).head()
    assert row is not None  # an aggregate without groups has one row
    return int(row[0])


def _count_sessions(events: DataFrame) -> dict[str, int]:
    """Return how many sessions there are, where they are told apart."""
    if SESSION_PLACE not in events.columns:
        return {}
    return {"sessions": events.where(F.col(SESSION_PLACE) == 0).count()}


def _kept_tables(staged: Staged) -> dict[str, DataFrame]:
    return {name: part.kept() for name, part in staged.items() if name != "events"}


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
