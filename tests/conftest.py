"""Spark and Ray, which all tests of a process share, and the files of tests that begin first."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# Before torch is imported: threads of test processes that wait in a loop take each other's cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

RAY = """
run: {{name: shared, output: "{folder}"}}
input: {{root: none, events: {{log: {{paths: [none], time_unit: seconds}}}}}}
etl: {{event_types: {{view: {{}}}}}}
ray: {{num_cpus: 2, object_store_mib: 100}}
"""
FIRST = (
    "end2end/test_line.py",
    "end2end",
    "docs/test_walk.py",
    "docs/test_pages.py",
    "etl/cleaning/accounting",
    "etl/dataset",
    "etl/privacy",
)
"""Files and folders, those of the longest tests first: one at the end would run alone."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    tests = Path(__file__).parent
    gone = [name for name in FIRST if not (tests / name).exists()]
    assert not gone, f"FIRST in {__file__} names {gone}, which are not there; correct it"

    def place(item: pytest.Item) -> int:
        if not item.path.is_relative_to(tests):
            return len(FIRST)
        path = item.path.relative_to(tests).as_posix()
        found = (n for n, name in enumerate(FIRST) if f"{path}/".startswith(f"{name}/"))
        return next(found, len(FIRST))

    items.sort(key=place)  # of one place, in the order in which they were found


class OneRay:
    """A Ray that starts when a test first needs it, and stops before one that wants none."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.running: ExitStack | None = None

    def start(self) -> None:
        if self.running is not None:
            return
        from conf.settings.load import load_config
        from trainer.cluster.ray_session import ray_session

        path = self.folder / "run.yaml"
        path.write_text(RAY.format(folder=self.folder))
        stack = ExitStack()
        stack.enter_context(ray_session(load_config(path)))
        self.running = stack  # if Ray does not start, the next test tries it again

    def stop(self) -> None:
        if self.running is not None:
            self.running.close()
            self.running = None


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[SparkSession]":
    """One session for all tests; `run` finds it and leaves it."""
    from etl.spark.session import spark_session

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


@pytest.fixture(scope="session")
def one_ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OneRay]:
    ray = OneRay(tmp_path_factory.mktemp("ray"))
    yield ray
    ray.stop()


@pytest.fixture(scope="module")
def shared_ray(one_ray: OneRay) -> None:
    """One Ray for all tests that train or score in this process."""
    one_ray.start()


@pytest.fixture(scope="module")
def without_ray(one_ray: OneRay) -> None:
    """No Ray in this process, and no variables of one for the processes that it starts."""
    one_ray.stop()
