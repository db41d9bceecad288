"""Run the product's commands on a made-up log, and measure what they cost."""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).parents[2]
MILLION = 1_000_000
MOST_ITEMS = 20_000
Headrace = Callable[[str, Sequence[str]], tuple[dict[str, Any], float, float]]
"""Runs a command with overrides of the demo's configuration; returns as `timed_headrace` does."""


def ratio_of(ours: float, baseline: float) -> float:
    """Return how many times the baseline ours is, with three digits."""
    return float(f"{ours / baseline:.3g}")


def num_items(events: int) -> int:
    """Return the size of the catalogue of a log of so many events."""
    return min(MOST_ITEMS, max(events // 50, 1))


def overrides_for(folder: Path, events: int) -> list[str]:
    """Return what the demo's configuration is changed by for a log of so many events."""
    return [
        f"input.root={folder / 'log'}",
        f"run.output={folder / 'workspace'}",
        f"generate.num_events={events}",
        f"generate.num_users={events // 40}",
        f"generate.num_items={num_items(events)}",
        "spark.driver_memory=2g",
    ]


def timed_headrace(
    name: str, overrides: Sequence[str], *, path: str = "conf/demo.yaml"
) -> tuple[dict[str, Any], float, float]:
    """Run `headrace NAME`; return as `timed_python` does."""
    config = ["--config", path, "--json"]
    return timed_python(["-m", "conf.command.cli", name, *config, *overrides])


def timed_python(command: Sequence[str]) -> tuple[dict[str, Any], float, float]:
    """Run Python; return the JSON that it prints, the seconds and the CPU seconds of its tree."""
    started, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, *command], cwd=CHECKOUT, text=True, stdout=subprocess.PIPE, check=True
    )
    seconds, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    result: dict[str, Any] = json.loads(done.stdout)
    return result, seconds, cpu
