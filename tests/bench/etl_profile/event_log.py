"""Figures of each SQL execution from Spark's event log, one file of JSON lines."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_SQL = "org.apache.spark.sql.execution.ui.SparkListenerSQL"
_NUMBERS = re.compile(r"#\d+L?|\[(?:plan_)?id=#?\d+\]|\b(?:subquery|dynamicpruning)#?\d+")
_PATHS = re.compile(r"\[(file:[^\]]*)\]")
_EXECUTION = "spark.sql.execution.id"
_NANO, _MILLI = 1e-9, 1e-3

Row = dict[str, Any]


def read_event_log(folder: Path) -> Row:
    """Return totals of the run under `totals`, and one row an execution under `executions`.

    Task CPU is that of the tasks' own threads; `no_execution` has that of jobs outside all
    executions. Seconds of jobs are those with at least one job running.
    """
    (path,) = (one for one in folder.iterdir() if one.suffix != ".json")
    log = _Log()
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            log.add(json.loads(line))
    return log.result()


class _Log:
    def __init__(self) -> None:
        self._executions: dict[int, Row] = {}
        self._stages: dict[int, int | None] = {}  # stage to execution
        self._jobs: dict[int, tuple[int | None, int]] = {}  # job to execution and start
        self._spans: dict[int | None, list[tuple[int, int]]] = defaultdict(list)
        self._tasks: dict[int | None, Row] = defaultdict(_no_tasks)
        self._stages_run = 0

    def add(self, event: Row) -> None:
        kind = event["Event"]
        if kind.startswith(_SQL):
            self._add_sql(kind.removeprefix(_SQL), event)
        elif kind == "SparkListenerJobStart":
            execution = _execution_of(event)
            self._jobs[event["Job ID"]] = (execution, event["Submission Time"])
        elif kind == "SparkListenerJobEnd":
            execution, start = self._jobs[event["Job ID"]]
            self._spans[execution].append((start, event["Completion Time"]))
        elif kind == "SparkListenerStageSubmitted":
            self._stages[event["Stage Info"]["Stage ID"]] = _execution_of(event)
            self._stages_run += 1
        elif kind == "SparkListenerTaskEnd" and event.get("Task Metrics"):
            tasks = self._tasks[self._stages.get(event["Stage ID"])]
            for name, value in _metrics(event["Task Metrics"]):
                tasks[name] += value

    def _add_sql(self, kind: str, event: Row) -> None:
        number = event.get("executionId", -1)
        if kind == "ExecutionStart":
            self._executions[number] = {
                "execution": number,
                "name": event["description"],
                "start": event["time"],
                "plan": event["physicalPlanDescription"],
                "paths": _paths(event["sparkPlanInfo"]),
                "replans": 0,
            }
        elif kind == "AdaptiveExecutionUpdate" and number in self._executions:
            self._executions[number]["replans"] += 1
        elif kind == "ExecutionEnd" and number in self._executions:
            self._executions[number]["end"] = event["time"]

    def result(self) -> Row:
        plans: dict[str, int] = {}
        seen: set[str] = set()
        rows = []
        for number, one in sorted(self._executions.items()):
            plan = _NUMBERS.sub("#", one["plan"])
            seconds = (one.get("end", one["start"]) - one["start"]) * _MILLI
            in_jobs = _covered(self._spans[number]) * _MILLI
            rows.append({
                "execution": number,
                "name": one["name"],
                "seconds": seconds,
                "seconds_of_jobs": in_jobs,
                "jobs": len(self._spans[number]),
                "replans": one["replans"],
                "plan_characters": len(one["plan"]),
                "same_plan_as": plans.get(plan),
                "reads": sorted(map(_short, one["paths"])),
                "reads_again": sorted(map(_short, one["paths"] & seen)),
                **self._tasks[number],
            })  # fmt: skip
            plans.setdefault(plan, number)
            seen |= one["paths"]
        totals = {
            "executions": len(rows),
            "jobs": len(self._jobs),
            "stages": self._stages_run,
            **{name: sum(tasks[name] for tasks in self._tasks.values()) for name in _no_tasks()},
            "plan_characters": sum(row["plan_characters"] for row in rows),
            "replans": sum(row["replans"] for row in rows),
            "no_execution": dict(self._tasks[None]),
        }
        return {"totals": totals, "executions": rows}


def _execution_of(event: Row) -> int | None:
    text = (event.get("Properties") or {}).get(_EXECUTION)
    return None if text is None else int(text)


def _no_tasks() -> Row:
    floats = dict.fromkeys(("task_seconds", "task_cpu_seconds", "task_gc_seconds"), 0.0)
    return {"tasks": 0, **floats, **dict.fromkeys(("rows_read", "bytes_read", "rows_written"), 0)}


def _metrics(found: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    cpu = found["Executor CPU Time"] + found["Executor Deserialize CPU Time"]
    yield "tasks", 1
    yield "task_seconds", found["Executor Run Time"] * _MILLI
    yield "task_cpu_seconds", cpu * _NANO
    yield "task_gc_seconds", found["JVM GC Time"] * _MILLI
    yield "rows_read", found["Input Metrics"]["Records Read"]
    yield "bytes_read", found["Input Metrics"]["Bytes Read"]
    yield "rows_written", found["Output Metrics"]["Records Written"]


def _paths(plan: Row) -> set[str]:
    """Return the paths that the scans of a plan read."""
    location = str(plan.get("metadata", {}).get("Location", ""))
    paths = {path for text in _PATHS.findall(location) for path in text.split(", ")}
    return paths.union(*(_paths(child) for child in plan.get("children", ())))


def _short(path: str) -> str:
    return "/".join(path.rstrip("/").split("/")[-2:])


def _covered(spans: list[tuple[int, int]]) -> int:
    """Return the length of the union of intervals."""
    total, reached = 0, 0
    for start, end in sorted(spans):
        total += max(end - max(start, reached), 0)
        reached = max(reached, end)
    return total
