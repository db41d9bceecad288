"""The Spark session, with settings that make a run's result depend on its input only."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from py4j.protocol import Py4JError
from pyspark import SparkConf, SparkContext
from pyspark.sql import SparkSession

from conf.workspace.folders import current_umask
from conf.workspace.storage import storage_told
from etl.spark.class_archive import WRITES_ARCHIVE, using_archive
from etl.spark.launch import launch_jvm

# SQL settings, which can also be set on a session that is already running.
_SQL_SETTINGS = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.adaptive.enabled": "true",
    "spark.sql.caseSensitive": "true",
    # Else a text that Spark 2 read as another time stops the run.
    "spark.sql.legacy.timeParserPolicy": "CORRECTED",
    # With pruning, Spark does not check the number of columns of a csv line.
    "spark.sql.csv.parser.columnPruning.enabled": "false",
    "spark.sql.files.ignoreCorruptFiles": "false",
    "spark.sql.files.ignoreMissingFiles": "false",
    # Spark has no type for nanoseconds; they are read as whole numbers and divided.
    "spark.sql.legacy.parquet.nanosAsLong": "true",
    "spark.sql.parquet.compression.codec": "snappy",
    # From 33 files on, Spark would list them by a job with a task for each.
    "spark.sql.sources.parallelPartitionDiscovery.threshold": "1000",
}
# Spark reads the times in ORC files in the time zone of the process. The code that it generates for
# reading and judging a row is one method that is too long for Java to compile without the second
# option.
_JAVA_OPTIONS = "-Duser.timezone=UTC -XX:-DontCompileHugeMethods"
_LAUNCH_SETTINGS = {
    "spark.executor.extraJavaOptions": _JAVA_OPTIONS,
    "spark.speculation": "false",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.hadoop.mapreduce.fileoutputcommitter.marksuccessfuljobs": "false",
    # Files of a task appear when the job is done, so that none of a lost task is left.
    "spark.hadoop.mapreduce.fileoutputcommitter.algorithm.version": "1",
}

# A local Spark recovers from a lost shuffle file, but all its later heartbeats fail; by default it
# ends after 60 of them.
_IGNORE_FAILED_HEARTBEATS = {"spark.executor.heartbeat.maxFailures": str(2**31 - 1)}

_EXIT_SECONDS = 30
_WRITE_SECONDS = 600

# In a run on 100,000 events, half of the CPU time goes into optimising code that is soon done.
_SHORT_RUN_BYTES = 32 << 20
_SHORT_RUN_OPTIONS = " -XX:TieredStopAtLevel=1 -XX:+UseSerialGC"

# With a few thousand events, generating and compiling code costs up to a quarter of the run. With
# 100,000 events a run without it costs a quarter more.
_TINY_RUN_BYTES = 1 << 20
_TINY_RUN_SETTINGS = {
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.adaptive.enabled": "false",
}
# Each task costs about 20 milliseconds, whatever it does.
_ONE_TASK = {"spark.sql.shuffle.partitions": "1", "spark.sql.leafNodeDefaultParallelism": "1"}


@contextmanager
def spark_session(
    *,
    name: str,
    master: str | None,
    driver_memory: str,
    shuffle_partitions: int,
    conf: Mapping[str, str],
    log_path: Path,
    input_bytes: int,
    scratch: Sequence[Path] = (),
) -> Iterator[SparkSession]:
    """Yield a session and stop it afterwards, unless it was running before.

    Args:
        name: Name of the application.
        master: Spark master; None if spark-submit sets it.
        driver_memory: Heap of the driver's JVM, if this call starts it.
        shuffle_partitions: Partitions of a shuffle; 1 if this call starts the JVM for a tiny input.
        conf: Other settings, which override ours.
        log_path: File for the stderr of the JVM, if this call starts it.
        input_bytes: Size of what is read, unpacked: in a short run the compilers of the JVM and of
            Spark do not pay off.
        scratch: Folders that the run writes to, the most important first.

    Raises:
        StorageError: When a disk or a file system fails in the block.
    """
    sql = _SQL_SETTINGS | (_TINY_RUN_SETTINGS if input_bytes < _TINY_RUN_BYTES else {})
    sql |= {"spark.sql.shuffle.partitions": str(shuffle_partitions)}
    running = SparkSession.getActiveSession()
    if running is not None:
        session = running.newSession()
        for key, value in {**sql, **_sql_part(conf)}.items():
            session.conf.set(key, value)
        yield session
        return
    # Hadoop sets the rights of each file itself, by this one in place of the process's umask.
    umask = {"spark.hadoop.fs.permissions.umask-mode": f"{current_umask():03o}"}
    short = _SHORT_RUN_OPTIONS if input_bytes < _SHORT_RUN_BYTES else ""
    java = {"spark.driver.extraJavaOptions": _JAVA_OPTIONS + short + using_archive()}
    settings = {**sql, **_LAUNCH_SETTINGS, **umask, **java, "spark.driver.memory": driver_memory}
    settings |= _ONE_TASK if input_bytes < _TINY_RUN_BYTES else {}
    settings |= conf
    is_ours = _has_no_jvm()
    session = _start(name, master, settings, log_path)
    try:
        with storage_told(scratch):  # as long as the JVM can say what it met
            yield session
    finally:
        # A JVM that got the same SIGTERM as this process, or was killed, does not answer.
        with suppress(Py4JError, OSError):
            session.stop()
        if is_ours:
            writes = any(WRITES_ARCHIVE in value for value in settings.values())
            _end_jvm(_WRITE_SECONDS if writes else _EXIT_SECONDS)


def _start(
    name: str, master: str | None, settings: Mapping[str, str], log_path: Path
) -> SparkSession:
    conf = SparkConf().setAppName(name)
    if master is not None:
        conf.setMaster(master)
        if master.startswith("local"):
            os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
            conf.set("spark.driver.host", "127.0.0.1").set("spark.driver.bindAddress", "127.0.0.1")
            settings = {**_IGNORE_FAILED_HEARTBEATS, **settings}
    for key, value in settings.items():
        conf.set(key, value)
    on_interrupt = signal.getsignal(signal.SIGINT)
    if _has_no_jvm():
        SparkContext(conf=conf, gateway=launch_jvm(dict(conf.getAll()), log_path))
    session = SparkSession.builder.config(conf=conf).getOrCreate()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, on_interrupt)  # Spark installs a handler of its own
    session.sparkContext.setLogLevel("ERROR")
    return session


def _has_no_jvm() -> bool:
    return SparkContext._gateway is None and "PYSPARK_GATEWAY_PORT" not in os.environ


def _end_jvm(most_seconds: float) -> None:
    """End the JVM, because later stages in this process need its memory."""
    gateway = SparkContext._gateway
    SparkContext._gateway = SparkContext._jvm = None
    if gateway is None:
        return
    with suppress(Py4JError, OSError):
        gateway.shutdown()
    gateway.proc.stdin.close()  # the JVM exits when its stdin ends
    try:
        gateway.proc.wait(most_seconds)
    except subprocess.TimeoutExpired:
        gateway.proc.kill()


def _sql_part(conf: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in conf.items() if key.startswith("spark.sql.")}
