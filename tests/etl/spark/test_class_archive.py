"""A run maps the archive of Spark's classes if there is one, and does without a damaged one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.packaging.checkout import CHECKOUT

PROGRAM = """
import os, sys
from pathlib import Path
from etl.spark.class_archive import archive_file
from etl.spark.session import spark_session
folder, file = Path(sys.argv[1]), archive_file()
conf = {"spark.local.dir": str(folder)}
with spark_session(name="classes", master="local[1]", driver_memory="900m", shuffle_partitions=1,
                   conf=conf, log_path=folder / "spark.log", input_bytes=int(sys.argv[2])) as spark:
    java = spark.sparkContext._gateway.proc.pid
    beans = spark.sparkContext._jvm.java.lang.management.ManagementFactory
    print("mapped", str(file) in Path(f"/proc/{java}/maps").read_text())
    print("rows", spark.range(3).count())
    print("utc", spark.sparkContext._jvm.java.util.TimeZone.getDefault().getID())
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="the system has no /proc")
def test_a_run_uses_the_archive_of_an_earlier_one(tmp_path: Path) -> None:
    def python(*arguments: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, *arguments], cwd=CHECKOUT, text=True, capture_output=True,
            env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()  # nothing of Java's own is in it

    def run(input_bytes: int = 0) -> list[str]:
        return python("-c", PROGRAM, str(tmp_path), str(input_bytes))

    def expected(is_mapped: bool) -> list[str]:
        return [f"mapped {is_mapped}", "rows 3", "utc UTC"]

    assert run() == expected(False)
    (told,) = python("-m", "etl.archive_classes")
    archive = Path(told)
    assert list((tmp_path / "headrace").iterdir()) == [archive]
    assert run() == expected(True)
    assert run(input_bytes=1 << 30) == expected(True)  # with another garbage collector

    archive.chmod(0o600)
    archive.write_bytes(b"no archive")
    assert run() == expected(False)
