"""Run one ETL and watch its session: `python -m tests.bench.etl_profile.watched OUT CONFIG ...`.

The run has a process of its own, so its CPU seconds are those of the run. Every action on a frame
gets the place in the ETL's code that it comes from as its description in Spark's event log.
"""

import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from types import FrameType
from typing import Any
from unittest import mock

import psutil
from pyspark.sql import DataFrameWriter, SparkSession

import etl.pipeline
from conf.runs.stages import run_etl
from conf.settings.load import load_config
from etl.spark.session import spark_session
from tests.bench.etl_profile.clocks import Clocks
from tests.bench.runs import CHECKOUT

_ACTIONS = ("collect", "count", "head", "isEmpty", "take", "toArrow", "toLocalIterator", "toPandas")
_PASSED_OVER = {"etl/spark/folders.py", "etl/spark/shards.py"}  # their callers say more
_EVENT_LOG = {
    "spark.eventLog.enabled": "true",
    "spark.eventLog.compress": "false",
    "spark.eventLog.rolling.enabled": "false",
    "spark.sql.maxMetadataStringLength": "2000",  # all of the paths that are read
}


class Watch:
    """What was seen of one session."""

    def __init__(self, session: SparkSession) -> None:
        self._session, self._clocks = session, Clocks(session)
        self._is_inside = False
        self.actions: list[dict[str, Any]] = []
        self.at_start = self._clocks.thread_seconds()
        self._last, self._last_time = self._clocks.work(), time.time()

    def watched(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """Return an action that is described and measured, unless it is a part of another."""

        @wraps(method)
        def action(*args: Any, **kwargs: Any) -> Any:
            if self._is_inside:
                return method(*args, **kwargs)
            self._is_inside = True
            try:
                return self._measured(method, *args, **kwargs)
            finally:
                self._is_inside = False

        return action

    def _measured(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        place = _place()
        target = Path(str(args[1])).name if method.__name__ == "parquet" else ""
        name = f"{len(self.actions)} {place} {method.__name__} {target}".strip()
        self._session.sparkContext.setJobDescription(name)
        before = self._step()
        try:
            return method(*args, **kwargs)
        finally:
            self.actions.append({"name": name, "before": before, "inside": self._step()})

    def _step(self) -> dict[str, float]:
        """Return what was used since the last step."""
        now, now_time = self._clocks.work(), time.time()
        used = {"seconds": now_time - self._last_time}
        used |= {key: now[key] - self._last[key] for key in now}
        self._last, self._last_time = now, now_time
        return used

    def result(self) -> dict[str, Any]:
        """Return the figures at the end of the session."""
        clocks = self._clocks
        return {
            "actions": self.actions,
            "after_actions": self._step(),
            "threads_at_start": self.at_start,
            "threads": clocks.thread_seconds(),
            "thread_names": clocks.named_seconds(),
            "jvm_cpu_seconds": clocks.cpu_seconds(),
            "launcher_cpu_seconds": clocks.launcher_seconds(),
            "jvm": dict(clocks.beans()),
            "rules": clocks.rules_text(),
        }


def main(out: Path, config_path: str, overrides: list[str]) -> None:
    seen: dict[str, Any] = {}

    @contextmanager
    def watched_session(**settings: Any) -> Iterator[SparkSession]:
        log = {"spark.eventLog.dir": out.absolute().as_uri()}
        settings["conf"] = {**settings["conf"], **_EVENT_LOG, **log}
        with spark_session(**settings) as session:
            seen["seconds_to_session"] = time.time() - psutil.Process().create_time()
            watch = Watch(session)
            with _all_watched(watch, type(session.range(1))):
                yield session
            seen.update(watch.result())

    with mock.patch.object(etl.pipeline, "spark_session", watched_session):
        result = run_etl(load_config(Path(config_path), overrides))
    used = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    seen["python_cpu_seconds"], seen["children_cpu_seconds"] = (
        part.ru_utime + part.ru_stime for part in used
    )
    seen["seconds"] = time.time() - psutil.Process().create_time()
    seen["result"] = {key: result[key] for key in ("content", "counts", "ledger")}
    (out / "seen.json").write_text(json.dumps(seen))


@contextmanager
def _all_watched(watch: Watch, frame: type) -> Iterator[None]:
    places = [(frame, name) for name in _ACTIONS if hasattr(frame, name)]
    places.append((DataFrameWriter, "parquet"))
    patches = [mock.patch.object(o, name, watch.watched(getattr(o, name))) for o, name in places]
    for patch in patches:
        patch.start()
    try:
        yield
    finally:
        for patch in patches:
            patch.stop()


def _place() -> str:
    """Return file, line and function of the ETL's code that runs an action."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(CHECKOUT / "etl"):
            file = path.relative_to(CHECKOUT).as_posix()
            if file not in _PASSED_OVER:
                return f"{file.removeprefix('etl/')}:{frame.f_lineno} {frame.f_code.co_name}"
        frame = frame.f_back
    return "?"


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
