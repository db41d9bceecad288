"""A standalone Spark cluster on this machine: a master and two workers."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyspark
import pytest

from tests.packaging.checkout import CHECKOUT

PATIENCE_SECONDS = 120
PYTHON = {"PYSPARK_PYTHON": sys.executable}  # with which Spark's programs find it, too
QUICK = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"  # the runs are over before more would pay


def spark_program(name: str) -> Path:
    return Path(sys.executable).with_name(name)


@contextlib.contextmanager
def cluster_of_two(folder: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """Start a master and two workers with further environment variables; yield its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    url, common = f"spark://127.0.0.1:{port}", ["--host", "127.0.0.1", "--webui-port", "0"]
    env = {"SPARK_LOCAL_DIRS": str(folder / "local")}
    worker = ["worker.Worker", *common, "--cores", "1", "--memory", "1g",
              "--work-dir", str(folder / "work"), url]  # fmt: skip
    started: list[subprocess.Popen[bytes]] = []
    try:
        started.append(
            start(["master.Master", *common, "--port", port], folder / "master.log", env)
        )
        wait_for_port(int(port), started[0])
        for number in range(2):
            started.append(start(worker, folder / f"worker-{number}.log", {**env, **environment}))
        yield url
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def start(arguments: list[str], log: Path, env: dict[str, str]) -> subprocess.Popen[bytes]:
    home = Path(pyspark.__file__).parent
    java = Path(os.environ["JAVA_HOME"], "bin/java") if os.environ.get("JAVA_HOME") else "java"
    command = [str(java), "-Xmx256m", "-cp", f"{home}/jars/*"]
    (core,) = home.glob("jars/spark-core_*.jar")
    spark = {"SPARK_HOME": str(home), "SPARK_SCALA_VERSION": core.name.split("_")[1].split("-")[0]}
    with log.open("wb") as stream:
        return subprocess.Popen(
            [*command, f"org.apache.spark.deploy.{arguments[0]}", *arguments[1:]],
            stdout=stream,
            stderr=stream,
            env={**os.environ, **PYTHON, **spark, **env},
        )


def wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    """Return as soon as somebody listens; fail if the process ends before."""
    for _ in range(10 * PATIENCE_SECONDS):
        assert process.poll() is None, "the master ended"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.1)
    pytest.fail("the master does not listen")


def executors_in(folder: Path) -> list[int]:
    """Return the process ids of the executors that the workers of a cluster's folder started."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended, or is somebody else's
            is_here = (process / "cwd").readlink().is_relative_to(folder / "work")
            if is_here and b"CoarseGrainedExecutorBackend" in (process / "cmdline").read_bytes():
                found.append(int(process.name))
    return sorted(found)


def kill_in_each_job(folder: Path, events: Path, run: subprocess.Popen[str]) -> int:
    """Kill an executor with SIGKILL whenever a job starts that reads the output of another stage.

    Args:
        folder: Folder of the cluster.
        events: Folder of Spark's event log.
        run: The run; this function returns when it ends.

    Returns:
        How often it killed.
    """
    kills, read = 0, 0
    while run.poll() is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.wait(timeout=0.1)
        for path in events.rglob("events_*"):
            with path.open() as stream:
                stream.seek(read)
                new = stream.read()
            new = new[: new.rfind("\n") + 1]
            read += len(new.encode())
            jobs = [line for line in new.splitlines() if '"SparkListenerJobStart"' in line]
            running = executors_in(folder)
            if jobs and len(json.loads(jobs[-1])["Stage Infos"]) > 1 and running:
                os.kill(running[kills % len(running)], signal.SIGKILL)
                kills += 1
    return kills


def run_etl(command: Sequence[str], settings: dict[str, Any], folder: Path, **env: str) -> Any:
    """Run the stage by a command, and return its result."""
    return result_of(start_etl(command, settings, folder, **env))


def start_etl(
    command: Sequence[str], settings: dict[str, Any], folder: Path, **env: str
) -> subprocess.Popen[str]:
    yaml = folder / "run.yaml"
    yaml.write_text(json.dumps(settings))
    return subprocess.Popen(
        [*command, "etl/__main__.py", "--config", str(yaml), "--json"], cwd=CHECKOUT,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, **PYTHON, **env},
    )  # fmt: skip


def result_of(run: subprocess.Popen[str]) -> Any:
    """Wait for the end of a run, and return its result."""
    result, said = run.communicate()
    assert run.returncode == 0, result[-2000:] + said[-4000:]
    return json.loads(result.splitlines()[-1])
