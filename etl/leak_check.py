"""The leak check as a stage of its own: draw a sample, read the raw log again, compare."""

from pathlib import Path

from pyspark.sql import SparkSession

from etl.folders import SCRATCH
from etl.inputs import logs_of
from etl.job import Job
from etl.leak_facts import Facts, collect_facts
from etl.leak_sample import Sample, draw_sample, needed_items
from etl.leaks import find_leaks, require_none
from etl.staging import known_events


def check_leaks(
    spark: SparkSession, job: Job, cuts: tuple[int, int] | None, work: Path
) -> dict[str, int]:
    """Check a finished dataset for leaks and return how many facts of each kind were checked.

    Args:
        spark: The session.
        job: What was asked for.
        cuts: First instants of the validation and of the test part; None: nothing is checked.
        work: Folder of the dataset.

    Raises:
        GateError: When there is a leak.
    """
    spec, as_of = job.config.etl.leak_check, job.config.etl.features.as_of
    if cuts is None or spec is None:
        return {}
    sample = draw_sample(
        work,
        num_users=spec.users,
        num_items=spec.items,
        num_impressions=spec.impressions,
        seed=job.config.run.seed,
    )
    leaks, counts = find_leaks(
        sample,
        _read_again(spark, job, sample, work / SCRATCH / "read-again"),
        cuts,
        windows_days=() if as_of is None else as_of.windows_days,
        half_life_days=1.0 if as_of is None else as_of.half_life_days,
    )
    require_none(leaks)
    return counts


def _read_again(spark: SparkSession, job: Job, sample: Sample, scratch: Path) -> Facts:
    """Return what the raw log says of the sampled users and items."""
    logs = [
        (
            known_events(spark, log, job.readable.etl, job.protection, scratch),
            log.source.time_unit,
        )
        for log in logs_of(job.readable, job.inputs)
    ]
    users, items = list(sample.users.values()), needed_items(sample)
    return collect_facts(logs, users, items, scratch, job.protection.privacy.time_step)
