from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from etl.spark.session import spark_session


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """One session for all tests; `run` finds it and leaves it."""
    folder: Path = tmp_path_factory.mktemp("spark")
    with spark_session(
        name="tests",
        master="local[2]",
        driver_memory="1g",
        shuffle_partitions=2,
        conf={"spark.local.dir": str(folder)},
        log_path=folder / "spark.log",
        input_bytes=1 << 20,  # of a log that is not tiny; the tests' own runs set that of theirs
    ) as session:
        yield session
