"""Profile ETL runs; `python -m tests.bench etl-profile [CONFIG]` prints the result as JSON."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from conf.settings.load import load_config
from tests.bench.etl_profile.event_log import Row, read_event_log
from tests.bench.runs import CHECKOUT, timed_headrace

DEMO = "conf/demo.yaml"
TINY_ROWS = 12
_MOST_NAMES = 15
# The CPU time of a thread is lost when it ends.
_KEEP_COMPILERS = "-XX:-UseDynamicNumberOfCompilerThreads"
_ACTION_FIGURES = ("driver", "compilers", "gc", "rules", "codegen")


def measure(folder: Path, config: str | None = None) -> dict[str, Any]:
    """Profile the demo's log and one of 12 rows, or the run of a configuration."""
    if config is not None:
        return profiled(folder, config, [f"run.output={folder / 'workspace'}"])
    tiny, demo = tiny_overrides(folder / "tiny"), demo_overrides(folder / "demo")
    timed_headrace("generate", demo)
    return {
        f"{TINY_ROWS} rows": profiled(folder / "tiny", DEMO, tiny),
        "demo": profiled(folder / "demo", DEMO, demo),
    }


def demo_overrides(folder: Path) -> list[str]:
    return [f"input.root={folder / 'log'}", f"run.output={folder / 'workspace'}"]


def tiny_overrides(folder: Path) -> list[str]:
    """Write a log of 12 rows in the demo's form; return the changes that read it."""
    users, items = 3, 4
    events = [
        f"e{user}{item},u{user},i{item},view,2026-03-0{item + 1}T00:00:00Z,1.5,s{user}"
        for user in range(users)
        for item in range(items)
    ]
    assert len(events) == TINY_ROWS
    log = folder / "log"
    (log / "events").mkdir(parents=True)
    header = "event_id,user_id,item_id,event_type,time,price,session_id"
    _write(log / "events/events.csv", header, *events)
    shop = [f"i{item},Title {item},c{item % 2},b{item},1.5" for item in range(items)]
    _write(log / "items.csv", "item_id,title,category,brand,price", *shop)
    _write(log / "users.csv", "user_id,age_band,region", *(f"u{u},20-29,r" for u in range(users)))
    return demo_overrides(folder)


def profiled(folder: Path, config: str, overrides: Sequence[str]) -> dict[str, Any]:
    """Run the ETL in a process of its own, and return where its time went.

    Args:
        folder: Folder for the event log.
        config: Path of the configuration, from the checkout.
        overrides: Changes to it.
    """
    load_config(CHECKOUT / config, overrides)  # fails before Spark starts
    out = folder / "events"
    out.mkdir(parents=True)
    command = [sys.executable, "-m", "tests.bench.etl_profile.watched", str(out), config]
    subprocess.run(
        [*command, *overrides],
        cwd=CHECKOUT,
        check=True,
        stdout=sys.stderr,
        env={**os.environ, "JAVA_TOOL_OPTIONS": _KEEP_COMPILERS},
    )
    seen, log = json.loads((out / "seen.json").read_text()), read_event_log(out)
    return {
        "seconds": seen["seconds"],
        "seconds_to_session": seen["seconds_to_session"],
        "rows_read": {name: one["rows_read"] for name, one in seen["result"]["ledger"].items()},
        "content": seen["result"]["content"],
        "cpu_seconds": _cpu(seen, log["totals"]),
        "jvm": seen["jvm"],
        "spark": log["totals"],
        "executions": _with_actions(log["executions"], seen["actions"]),
        "after_actions": seen["after_actions"],
        "rules": seen["rules"],
    }


def _cpu(seen: Mapping[str, Any], totals: Row) -> dict[str, Any]:
    """Return CPU seconds of the run by process, and those of the JVM by thread."""
    jvm, launcher = seen["jvm_cpu_seconds"], seen["launcher_cpu_seconds"]
    return {
        "all": seen["python_cpu_seconds"] + seen["children_cpu_seconds"],
        "python": seen["python_cpu_seconds"],
        "launcher": launcher,
        "jvm": jvm,
        "jvm_after_session": max(seen["children_cpu_seconds"] - jvm - launcher, 0.0),
        "jvm_until_session": seen["threads_at_start"],
        "jvm_by_thread": seen["threads"],
        "jvm_by_thread_name": dict(list(seen["thread_names"].items())[:_MOST_NAMES]),
        "tasks": totals["task_cpu_seconds"],
    }


def _with_actions(executions: list[Row], actions: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Add what the driver did for each action to the first execution of the action.

    The figures with `before_` are those since the action before: frames are built and analysed.
    """
    left = {action["name"]: action for action in actions}
    rows = []
    for row in executions:
        action = left.pop(row["name"], None)
        if action is not None:
            figures = {f"{key}_seconds": action["inside"][key] for key in _ACTION_FIGURES}
            before = {f"before_{key}_seconds": action["before"][key] for key in _ACTION_FIGURES}
            cpu = sum(action["inside"][k] + action["before"][k] for k in _THREADS)
            row = {**row, "cpu_seconds": cpu, **figures, **before}
        rows.append(row)
    return rows


_THREADS = ("driver", "compilers", "gc", "tasks", "other", "ended")


def _write(path: Path, *lines: str) -> None:
    path.write_text("\n".join(lines) + "\n")
