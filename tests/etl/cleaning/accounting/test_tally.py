"""Counts that stay right when Spark runs tasks again."""

import logging
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from etl.cleaning.accounting.tally import Count
from etl.spark.columns import NOT_DECODED, VERDICT
from etl.spark.folders import store
from tests.packaging.checkout import CHECKOUT

ROWS, TASKS, AFTER = 1000, 4, 8
EXPECTED = {"rows": ROWS, "user_id": 100, NOT_DECODED: 200, "bad_not_decoded": 50}
AGAIN = "counting the rows again"


def some_rows(spark: SparkSession) -> DataFrame:
    """Return rows of which every tenth user ends in a space and every fifth text is garbled."""
    number = F.col("id")
    return spark.range(0, ROWS, 1, TASKS).select(
        F.concat("id", F.when(number % 10 == 1, F.lit(" ")).otherwise(F.lit(""))).alias("user_id"),
        (number % 4 == 0).alias(NOT_DECODED),
        F.when(number % 20 == 0, F.lit("quarantined:time_unparsable")).alias(VERDICT),
    )


def losing(
    root: Path, mark: Path
) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Return a function for tasks, of which the first removes what all tasks before it wrote."""
    folder, told = str(root), str(mark)

    def passed(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import os
        from pathlib import Path

        yield from batches
        try:
            os.close(os.open(told, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
        for path in Path(folder).rglob("shuffle_*"):
            path.unlink(missing_ok=True)

    return passed


def lost_and_stored(spark: SparkSession, folder: Path) -> Count:
    """Store rows of which Spark loses some on the way, and makes them again."""
    count = Count(some_rows(spark), are_trimmed=False)
    rows = count.counted_rows()
    local = Path(spark.sparkContext.getConf().get("spark.local.dir") or "")
    lost = rows.repartition(AFTER, "user_id").mapInArrow(
        losing(local, folder / "mark"), rows.schema
    )
    stored = store(lost, folder / "stored")
    assert stored.count() == ROWS and stored.columns == ["user_id", VERDICT]
    return count


def test_rows_are_counted_once_when_tasks_run_again(
    spark: SparkSession, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    count = lost_and_stored(spark, tmp_path)
    assert count.result(tmp_path / "stored") == EXPECTED
    assert AGAIN in caplog.text  # else no task ran again, and this test shows nothing


@pytest.mark.slow
def test_a_local_spark_that_lost_rows_goes_on_for_as_long_as_it_is_needed(tmp_path: Path) -> None:
    """After 60 failed heartbeats, ten minutes by default, Spark used to end."""
    script = f"""
        import time
        from pathlib import Path
        from etl.spark.session import spark_session
        from tests.etl.cleaning.accounting.test_tally import lost_and_stored
        folder, conf = Path({str(tmp_path)!r}), {{"spark.executor.heartbeatInterval": "50ms"}}
        with spark_session(name="t", master="local[2]", driver_memory="1g", shuffle_partitions=2,
                           conf=conf | {{"spark.local.dir": str(folder / "local")}},
                           log_path=folder / "log", input_bytes=1) as spark:
            lost_and_stored(spark, folder)
            while (folder / "log").read_text().count("Ignoring error") <= 60:
                time.sleep(0.1)
            assert spark.range(1000).repartition(3).count() == 1000
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    subprocess.run(command, cwd=CHECKOUT, check=True, timeout=120)
    assert (tmp_path / "log").read_text().count("Ignoring error") > 60  # else nothing is shown


def test_rows_are_not_counted_again_when_every_task_runs_once(
    spark: SparkSession, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    halves = [some_rows(spark), some_rows(spark)]  # tasks of two inputs have numbers of their own
    count = Count(halves[0].unionByName(halves[1]), are_trimmed=False)
    store(count.counted_rows().repartition(2, "user_id"), tmp_path / "stored")
    assert count.result(tmp_path / "stored") == {name: 2 * n for name, n in EXPECTED.items()}
    assert AGAIN not in caplog.text


def test_rows_that_are_lost_on_the_way_are_counted(spark: SparkSession, tmp_path: Path) -> None:
    count = Count(some_rows(spark), are_trimmed=False)
    stored = store(count.counted_rows().where(F.col("user_id") != "7"), tmp_path / "stored")
    assert stored.count() == ROWS - 1
    assert count.result(tmp_path / "stored")["rows"] == ROWS


def test_no_rows_are_counted_as_none(spark: SparkSession, tmp_path: Path) -> None:
    count = Count(some_rows(spark).where(F.lit(False)), are_trimmed=True)
    store(count.counted_rows(), tmp_path / "stored")
    assert count.result(tmp_path / "stored") == {"rows": 0}
