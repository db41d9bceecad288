"""The staged inputs of a run, and the checks that they must pass before the run continues."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from conf.errors import InputError, NoNewDataError
from conf.ledger import InputLedger, Match
from conf.privacy.protection import Protection
from conf.runs.inputs.input_files import InputFile
from conf.settings.config import Config
from conf.settings.etl import Clean, Etl
from conf.settings.features import vector_dimensions
from conf.workspace.folders import PRIVATE, close_to_others, own_folder
from etl.cleaning.accounting.ledger import VerdictCount, build_ledger, count_verdicts, why_refused
from etl.cleaning.accounting.losses import (
    UNUSED,
    about_unused_types,
    count_unused_types,
    loss_warnings,
    table_warnings,
)
from etl.cleaning.accounting.tally import ROWS, about_encoding, warnings_about
from etl.cleaning.accounting.undated_files import undated_file_warnings
from etl.cleaning.accounting.unreadable import examples_of
from etl.cleaning.event_ids import id_warnings
from etl.cleaning.kcore import drop_outside_core, find_core
from etl.cleaning.shown import is_act
from etl.cleaning.staging import Log, quarantined_rows, stage_events, stage_table
from etl.cleaning.tables import ID_OF_TABLE
from etl.privacy.anonymity import drop_items_of_few
from etl.spark.columns import BLOCK, DROPPED, LINE_ORDER, QUARANTINED, SHARD, TIME, VERDICT
from etl.spark.shards import write_shards
from etl.spark.times import MICROS_PER_DAY, day_of, day_start

_PARTS = (None, "train", "valid", "test")


@dataclass(frozen=True)
class StagedInput:
    """One input, stored together with the verdicts on its rows."""

    judged: DataFrame
    folder: Path
    """Where it was stored; of the events, before rare users and items were dropped."""
    rows_read: int
    counts: Sequence[VerdictCount]
    warnings: tuple[str, ...] = ()
    """Warnings about its files."""
    unused_types: str = ""
    """Warning about event types that are not used; empty: there are none."""
    match: Match | None = None
    """How its ids fit those of the log; only for tables."""

    def kept(self) -> DataFrame:
        """Return the rows that are kept."""
        return self.judged.where(F.col(VERDICT).isNull())

    def rows_with(self, prefix: str) -> int:
        """Return how many rows have a verdict with this prefix."""
        return sum(c.rows for c in self.counts if (c.verdict or "").startswith(prefix))

    def rows_kept(self) -> int:
        """Return how many rows are kept."""
        return sum(c.rows for c in self.counts if c.verdict is None)

    def newest(self) -> int:
        """Return the newest TIME of the events that are kept, of which there has to be one."""
        return max(c.newest for c in self.counts if c.verdict is None and c.newest is not None)


Staged = Mapping[str, StagedInput]


def stage_inputs(
    spark: SparkSession,
    config: Config,
    inputs: Mapping[str, Sequence[InputFile]],
    *,
    logical_date: str | None,
    folder: Path,
    protection: Protection,
    warnings: Mapping[str, tuple[str, ...]],
) -> Staged:
    """Read, judge and store every input.

    Args:
        spark: The session.
        config: The run's configuration, without the fields that are not read.
        inputs: Files of each input.
        logical_date: Last day whose events are used; None for all events.
        folder: Where the judged rows are stored.
        protection: How ids and texts are protected before they are stored.
        warnings: Warnings about the files of each input; they go into its ledger.
    """
    num_files = sum(len(log.files) for log in logs_of(config, inputs))
    is_undated = config.input.is_ordered_by_lines and num_files > 1
    stored = _stored(spark, config, inputs, logical_date, folder, protection)
    verdicts = count_verdicts({name: judged for name, (judged, _) in stored.items()})
    staged = {
        name: StagedInput(
            judged,
            folder / name,
            counts[ROWS],
            verdicts[name],
            (
                *warnings.get(name, ()),
                *warnings_about(counts),
                *id_warnings(verdicts[name], counts[ROWS]),
                *(undated_file_warnings(judged) if is_undated and name == "events" else ()),
            ),
        )
        for name, (judged, counts) in stored.items()
    }
    return {**staged, "events": _with_unused_types(staged["events"], config.etl, protection)}


def _stored(
    spark: SparkSession,
    config: Config,
    inputs: Mapping[str, Sequence[InputFile]],
    logical_date: str | None,
    folder: Path,
    protection: Protection,
) -> dict[str, tuple[DataFrame, Mapping[str, int]]]:
    """Return the stored rows of each input with their verdicts, and what was counted."""
    frames = {
        "events": stage_events(
            spark,
            logs_of(config, inputs),
            config.etl,
            logical_date=logical_date,
            folder=folder / "events",
            protection=protection,
        )
    }
    for name, source in (("items", config.input.items), ("users", config.input.users)):
        if source is not None:
            frames[name] = stage_table(
                spark,
                source,
                inputs[name],
                id_name=ID_OF_TABLE[name],
                clean=config.etl.clean,
                vectors=vector_dimensions(getattr(config.etl.features, name)),
                folder=folder / name,
                protection=protection,
            )
    return frames


def _with_unused_types(events: StagedInput, etl: Etl, protection: Protection) -> StagedInput:
    num_rows = events.rows_with(UNUSED)
    if num_rows == 0:
        return events
    found = [] if protection.hides_texts else count_unused_types(events.judged)
    return replace(events, unused_types=about_unused_types(found, num_rows, etl.event_types))


def logs_of(config: Config, inputs: Mapping[str, Sequence[InputFile]]) -> list[Log]:
    """Return the event logs with their files, as configured; those of a given part by part.

    Where the order of lines is the time, this order of the logs is a part of it.
    """
    logs = [Log(name, log, inputs[f"events.{name}"]) for name, log in config.input.events.items()]
    return sorted(logs, key=lambda log: _PARTS.index(log.source.part))


def require_sound(
    staged: Staged, clean: Clean, refused: Path, scratch: Path, protection: Protection
) -> None:
    """Refuse inputs that are empty or have too many bad rows, and write the bad rows to a file.

    Raises:
        InputError: Listing all problems and where the bad rows are.
    """
    errors = [
        why_refused(name, part.counts, part.rows_read, clean.max_bad_share, clean.budgets)
        for name, part in staged.items()
    ]
    texts = [str(error) for error in errors if error is not None]
    if not texts:
        return
    refused_parts = [part for part, error in zip(staged.values(), errors, strict=True) if error]
    for part in refused_parts:
        texts += examples_of(part.judged, part.counts, protection)
        texts += about_encoding(part.warnings)
    texts += [part.unused_types for part in staged.values() if part.unused_types]
    write_quarantine(staged, refused / "quarantine", scratch)
    if any((refused / "quarantine").iterdir()):
        texts.append(f"the quarantined rows are in {refused / 'quarantine'}")
    raise InputError("; ".join(texts))


def require_events_on(day: str, events: StagedInput) -> None:
    """Refuse events without any on the logical date.

    Raises:
        NoNewDataError: Naming the newest day with events.
    """
    start = day_start(date.fromisoformat(day))
    on_day = F.col(TIME).between(start, start + MICROS_PER_DAY - 1)
    found = events.kept().agg(F.max(TIME), F.count(F.when(on_day, 1))).head()
    assert found is not None  # an aggregate without groups has one row
    if found[1] == 0:
        newest = "none" if found[0] is None else str(day_of(found[0]))
        raise NoNewDataError(
            f"input.events has no event on {day} after cleaning; newest day with events: {newest}"
        )


def keep_core(events: StagedInput, etl: Etl, folder: Path) -> StagedInput:
    """Drop the users and items that have too few events.

    Raises:
        InputError: When no events are left.
    """
    least = (etl.min_events_per_user, etl.min_events_per_item)
    if max(least) <= 1:
        return events
    core = find_core(events.kept().where(is_act(etl.event_types)), *least, folder)
    judged = drop_outside_core(events.judged, core)
    left = _counted_again(events, judged)
    if left.rows_kept() == 0:
        raise InputError(
            f"none of {left.rows_with(DROPPED + 'below_core')} events is left after applying "
            f"etl.min_events_per_user={least[0]} and etl.min_events_per_item={least[1]}; "
            "lower them or read more events"
        )
    return left


def keep_shared_items(events: StagedInput, etl: Etl, min_users: int) -> StagedInput:
    """Drop the items that have events of too few distinct users.

    Raises:
        InputError: When no events are left.
    """
    if min_users <= 1:
        return events
    judged = drop_items_of_few(events.judged, min_users, is_act(etl.event_types))
    left = _counted_again(events, judged)
    if left.rows_kept() == 0:
        raise InputError(
            f"no item has events of privacy.min_users_per_item={min_users} distinct "
            "users; lower it or read more events"
        )
    return left


def _counted_again(events: StagedInput, judged: DataFrame) -> StagedInput:
    return replace(events, judged=judged, counts=count_verdicts({"events": judged})["events"])


def write_quarantine(staged: Staged, folder: Path, scratch: Path) -> None:
    """Write the quarantined rows of all inputs to one file, if there are any."""
    own_folder(folder, PRIVATE)
    if not any(part.rows_with(QUARANTINED) for part in staged.values()):
        return
    rows = quarantined_rows({name: part.judged for name, part in staged.items()})
    order = ["input", *LINE_ORDER]
    order += [name for name in rows.columns if name not in order]  # two logs may read one line
    # Always 0, but not a literal: with one, Spark's writer sorts again and loses the row order.
    one_file = rows.withColumn(SHARD, F.pmod(BLOCK, F.lit(1)))
    write_shards(one_file, order, folder, scratch, leave_out=LINE_ORDER[1:])
    close_to_others(folder)


def build_ledgers(
    staged: Staged,
    inputs: Mapping[str, Sequence[InputFile]],
    events_written: int,
    config: Config,
) -> dict[str, InputLedger]:
    """Return the ledger of every input."""
    logs = [log.name for log in logs_of(config, inputs)]

    def warnings(name: str, part: StagedInput) -> tuple[str, ...]:
        if name != "events":
            return (*part.warnings, *table_warnings(part.counts))
        unused = [part.unused_types] if part.unused_types else []
        return (*part.warnings, *loss_warnings(part.counts, logs, config.etl), *unused)

    ledgers = {
        name: build_ledger(
            part.counts,
            _names_of_files(inputs, name),
            rows_read=part.rows_read,
            rows_kept=events_written if name == "events" else part.rows_kept(),
            budgets=config.etl.clean.budgets,
        ).with_warnings(warnings(name, part))
        for name, part in staged.items()
    }
    return {
        name: ledger.model_copy(update={"match": staged[name].match})
        for name, ledger in ledgers.items()
    }


def _names_of_files(inputs: Mapping[str, Sequence[InputFile]], name: str) -> list[str]:
    """Return the names of a table's files, or of the files of all logs."""
    return [
        file.name for key, files in inputs.items() if key.split(".")[0] == name for file in files
    ]
