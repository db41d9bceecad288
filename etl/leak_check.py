"""The leak check as a stage of its own: draw a sample, read the raw log again, compare."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pyspark.sql import SparkSession

from conf.fingerprint import InputFile
from conf.protection import Protection
from conf.schema import Config
from etl.folders import SCRATCH
from etl.inputs import logs_of
from etl.leak_facts import collect_facts
from etl.leaks import draw_sample, find_leaks, needed_items, require_none
from etl.staging import known_events


def check_leaks(
    spark: SparkSession,
    config: Config,
    inputs: Mapping[str, Sequence[InputFile]],
    work: Path,
    *,
    cuts: tuple[int, int] | None,
    protection: Protection,
) -> dict[str, int]:
    """Check a finished dataset for leaks and return how many facts of each kind were checked.

    Args:
        spark: The session.
        config: The run's configuration, without the fields that are not read.
        inputs: Files of each input.
        work: Folder of the dataset.
        cuts: First instants of the validation and of the test part; None: nothing is checked.
        protection: What was done to the ids.

    Raises:
        GateError: When there is a leak.
    """
    spec, as_of = config.etl.leak_check, config.etl.features.as_of
    if cuts is None or spec is None:
        return {}
    sample = draw_sample(
        work,
        num_users=spec.users,
        num_items=spec.items,
        num_impressions=spec.impressions,
        seed=config.run.seed,
    )
    raw = [
        (
            known_events(spark, log, config.etl, protection, work / SCRATCH / "read-again"),
            log.source.time_unit,
        )
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
