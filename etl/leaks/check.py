"""The leak check: draw a sample, read the raw log again, and compare."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession

from conf.contract import HISTORY_ITEMS, HISTORY_TIMES, ITEM_IDX, TARGET_ITEM, USER_IDX
from conf.errors import GateError
from conf.settings.input import EventSource
from etl.cleaning.inputs import logs_of
from etl.cleaning.staging import known_events
from etl.dataset.job import DatasetJob
from etl.leaks.facts import READ_AS, Facts, Times, collect_facts, ids_of
from etl.leaks.sample import Row, Sample, draw_sample, needed_items
from etl.spark.columns import TIME, TIME_TEXT
from etl.spark.folders import SCRATCH
from etl.spark.notation import PLAIN, Notation, notation_of
from etl.spark.times import MICROS_PER_DAY, MICROS_PER_SECOND, iso_text, parse_time

log = logging.getLogger(__name__)

_NEVER = 1 << 63
_SHOWN = 5
_ROUNDING = 1e-4  # features are float32
Firsts = Mapping[str, Mapping[str, int]]
"""For each user and item the time of the first event, in microseconds since 1970."""


def check_leaks(
    spark: SparkSession, job: DatasetJob, cuts: tuple[int, int] | None, work: Path
) -> dict[str, int]:
    """Check a finished dataset for leaks and return how many facts of each kind were checked.

    Args:
        spark: The session.
        job: The request of the run.
        cuts: Start times of the validation and the test part; None: nothing is checked.
        work: Folder of the dataset.

    Raises:
        GateError: When there is a leak.
    """
    spec, as_of = job.config.etl.leak_check, job.config.etl.features.as_of
    if cuts is None or spec is None:
        return {}
    log.info("etl: reading the log again, to check a sample of rows for leaks")
    sample = draw_sample(
        work,
        num_users=spec.users,
        num_items=spec.items,
        num_impressions=spec.impressions,
        seed=job.config.run.seed,
    )
    facts = _read_again(spark, job, sample, work / SCRATCH / "read-again")
    privacy = job.protection.privacy
    require_same_times(facts, shows_times=not job.protection.hides_texts and privacy.time_step == 1)
    leaks, counts = find_leaks(
        sample,
        facts,
        cuts,
        windows_days=() if as_of is None else as_of.windows_days,
        half_life_days=1.0 if as_of is None else as_of.half_life_days,
    )
    require_none(leaks)
    return counts


def _read_again(spark: SparkSession, job: DatasetJob, sample: Sample, scratch: Path) -> Facts:
    """Return the raw log's facts about the sampled users and items."""
    logs = [
        _with_times(known_events(spark, one, job.readable.etl, job.protection, scratch), one.source)
        for one in logs_of(job.readable, job.inputs)
    ]
    users, items = list(sample.users.values()), needed_items(sample)
    return collect_facts(logs, users, items, scratch, job.protection.privacy.time_step)


def _with_times(rows: DataFrame, source: EventSource) -> tuple[DataFrame, str, Notation]:
    """Return the rows of a log, the unit of their times, and how these are written.

    Where Python may not be able to read a time, the rows have it as the dataset does.
    """
    notation = notation_of(source)
    if notation != PLAIN:
        rows = rows.withColumn(READ_AS, parse_time(TIME_TEXT, source.time_unit, notation))
    return rows, source.time_unit, notation


def find_leaks(
    sample: Sample,
    facts: Facts,
    cuts: tuple[int, int],
    *,
    windows_days: Sequence[int],
    half_life_days: float,
) -> tuple[list[str], dict[str, int]]:
    """Return a description of each leak, and how many facts of each kind were checked.

    Args:
        sample: Rows of the dataset.
        facts: The raw log's facts about the same users and about `needed_items`.
        cuts: Start times of the validation and the test part.
        windows_days: Windows of the counts as of an event; empty if there are none.
        half_life_days: Half-life of the popularity.
    """
    firsts = facts.first_times()
    checks = {
        "vocabulary entries": _about_vocabulary(sample, facts, cuts[0]),
        "training rows": _about_training(sample, firsts, cuts[0]),
        "validation rows": _about_targets(sample, facts, "valid", cuts[0]),
        "test rows": _about_targets(sample, facts, "test", cuts[1]),
        "impressions": _about_impressions(sample, facts, firsts, windows_days, half_life_days),
    }
    leaks: list[str] = []
    counts = {}
    for kind, found in checks.items():
        answers = list(found)
        counts[kind] = len(answers)
        leaks += [answer for answer in answers if answer is not None]
    return leaks, counts


def require_same_times(facts: Facts, *, shows_times: bool = True) -> None:
    """Raise if Python reads times of the log differently from the dataset.

    Args:
        facts: What was read.
        shows_times: Whether the error may show times of the log.

    Raises:
        GateError: Describing the first of them.
    """
    if facts.misread:
        told = (
            f"{text!r} as {iso_text(ours)}, but it is {iso_text(again)}"
            if shows_times
            else f"one of them off by {(ours - again) / MICROS_PER_SECOND:+,g} seconds"
            for text, (ours, again) in sorted(facts.misread.items())[:_SHOWN]
        )
        shown = "; ".join(dict.fromkeys(told))
        raise GateError(
            f"the leak check read {len(facts.misread)} time(s) of the raw log differently from the "
            f"dataset, which has {shown}; no dataset was made. If only local times of some years "
            "differ, Java and Python have time zones of different age: update Java or "
            "tzdata, or turn the check off with etl.leak_check: null"
        )


def require_none(leaks: Sequence[str]) -> None:
    """Raise if there are leaks.

    Raises:
        GateError: Describing the first leaks.
    """
    if leaks:
        shown = "; ".join(leaks[:_SHOWN])
        raise GateError(
            f"the leak check found {len(leaks)} value(s) that depend on later events of the raw "
            f"log: {shown}; no dataset was made"
        )


def _about_vocabulary(sample: Sample, facts: Facts, cut: int) -> Iterator[str | None]:
    for item, events in sample.train_events.items():
        there = Times(facts.of_item[item]).count_before(cut)
        is_newer = events > there
        yield (
            f"item {item!r} has {events} training events, but only {there} before {iso_text(cut)}"
            if is_newer
            else None
        )


def _about_training(sample: Sample, firsts: Firsts, cut: int) -> Iterator[str | None]:
    for row in sample.rows["train"]:
        first = firsts[sample.users[row[USER_IDX]]]
        newer = {
            item
            for item in ids_of(sample.items, row[HISTORY_ITEMS])
            if first.get(item, _NEVER) >= cut
        }
        yield f"train: {_listed(newer)} of {_who(row)} is not before the cut" if newer else None


def _about_targets(sample: Sample, facts: Facts, part: str, cut: int) -> Iterator[str | None]:
    for row in sample.rows[part]:
        events = facts.of_user[sample.users[row[USER_IDX]]]
        times = {at for _, at in events if at < cut}
        newer = [at for at in row[HISTORY_TIMES] if at not in times]
        known = {item for item, at in events if at < cut}
        unknown = ids_of(sample.items, row[HISTORY_ITEMS]) - known
        target = sample.items.get(row[TARGET_ITEM])
        is_early = target is not None and not any(
            item == target and at >= cut for item, at in events
        )
        broken = newer or unknown or is_early
        yield f"{part}: the row of {_who(row)} does not end at the cut" if broken else None


def _about_impressions(
    sample: Sample,
    facts: Facts,
    firsts: Firsts,
    windows_days: Sequence[int],
    half_life_days: float,
) -> Iterator[str | None]:
    @cache
    def times_of(prefix: str, name: str) -> Times:
        return Times(
            facts.of_item[name] if prefix == "item_" else (at for _, at in facts.of_user[name])
        )

    for part, rows in sample.rows.items():
        if not part.endswith("_impressions"):
            continue
        for row in rows:
            user, item = sample.users[row[USER_IDX]], sample.items.get(row[ITEM_IDX])
            newer = {
                other
                for other in ids_of(sample.items, row[HISTORY_ITEMS])
                if firsts[user].get(other, _NEVER) > row[TIME]
            }
            if newer:
                history = f"{_listed(newer)} in the history of {_who(row)}"
                yield f"{part}: {history} is newer than the row"
                continue
            sides = {"user_": times_of("user_", user)}
            if item is not None:
                sides["item_"] = times_of("item_", item)
            yield next(
                (
                    f"{part}: {name} of {_who(row)} is {row[name]:g}, but the log before it allows "
                    f"at most {most:g}"
                    for prefix, times in sides.items()
                    for name, most in _most(prefix, times, row, windows_days, half_life_days)
                    if row.get(name, 0.0) > most + _ROUNDING * max(most, 1.0)
                ),
                None,
            )


def _most(
    prefix: str,
    times: Times,
    row: Row,
    windows: Sequence[int],
    half_life: float,
) -> Iterator[tuple[str, float]]:
    """Yield the largest possible value of each count as of the row."""
    if not windows:
        return
    day = row[TIME] // MICROS_PER_DAY
    start = day * MICROS_PER_DAY
    names = [name for name in row if name.startswith(prefix)]
    for days in windows:
        most = times.count_before(start, start - days * MICROS_PER_DAY)
        yield from ((name, most) for name in names if name.endswith(f"_{days}d"))
    ever = times.count_before(start)
    yield from ((name, ever) for name in names if name.endswith("_all"))
    yield f"{prefix}popularity", times.decayed_before(day, half_life)
    age = day - int(times.days[0]) if len(times.days) else 0
    yield f"{prefix}age_days", max(age, -1)


def _who(row: Row) -> str:
    """Return the name of a user for messages, without the id in the log."""
    return f"user_idx {row[USER_IDX]}"


def _listed(ids: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in sorted(ids)[:_SHOWN])
