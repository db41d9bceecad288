"""Each benchmark on tiny sizes: what it calls is still there, and its ratios are numbers."""

import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from conf.runs.stages import run_etl, run_generate
from conf.settings.load import load_config
from tests.bench.__main__ import BENCHMARKS, ON_REQUEST
from tests.bench.runs import CHECKOUT, ratio_of
from tests.bench.training import large_catalogue

SHORT = {"users": 48, "items": 200, "row_group_rows": 12}
KNOWN: dict[str, Callable[..., dict[str, Any]]] = {**BENCHMARKS, **ON_REQUEST}
QUICK: dict[str, dict[str, Any]] = {
    "stream": {**SHORT, "mean_length": 5, "repeats": 1},
    "train": {**SHORT, "mean_length": 5, "epochs": 2},
    "score": SHORT,
    "top-k": {"users": 32, "items": 500, "rounds": 1},
    "unchanged": {"users": 80, "items": 200, "row_group_rows": 40},
    "index": {"users": 48, "items": 400},
}
OF_THE_ETL: dict[str, dict[str, Any]] = {
    "etl": {"sizes": (3000,)},
    "features": {"sizes": (3000,)},
    "features-skew": {"events": 1500},
}


def require_ratios(found: Any) -> None:
    """Require that each ratio, at any depth, is a finite positive number, and that there is one."""
    ratios = dict(_ratios(found))
    assert ratios, found
    assert all(math.isfinite(ratio) and ratio > 0 for ratio in ratios.values()), ratios


def _ratios(found: dict[str, Any]) -> Iterator[tuple[str, float]]:
    for key, value in found.items():
        if isinstance(value, dict):
            yield from ((f"{key}.{inner}", ratio) for inner, ratio in _ratios(value))
        elif (key.startswith("ratio") or "_over_" in key) and key != "ratio_of":
            yield key, value


@pytest.mark.usefixtures("shared_ray")
@pytest.mark.parametrize("name", QUICK)
def test_benchmark_on_tiny_sizes(tmp_path: Path, name: str) -> None:
    require_ratios(KNOWN[name](tmp_path, **QUICK[name]))


@pytest.mark.slow
@pytest.mark.usefixtures("spark")
@pytest.mark.parametrize("name", OF_THE_ETL)
def test_benchmark_of_the_etl_on_a_tiny_log(tmp_path: Path, name: str) -> None:
    found = KNOWN[name](tmp_path, **OF_THE_ETL[name], headrace=in_this_process)

    require_ratios(found)
    if name == "features":
        assert found["3000 events"]["is_same"], found["3000 events"]["same_figures"]


@pytest.mark.slow
def test_benchmark_of_large_catalogues_on_a_small_one(tmp_path: Path) -> None:
    cases = large_catalogue.CASES[:2]
    require_ratios(KNOWN["large-catalogue"](tmp_path, items=500, cases=cases))


def test_every_benchmark_is_run_or_is_known_to_be_run_elsewhere() -> None:
    elsewhere = {"etl-profile", "peer"}  # have tests of their own
    larger = {"features-16m": "features"}  # the same on a larger log

    assert {*QUICK, *OF_THE_ETL, "large-catalogue", *elsewhere, *larger} == {*KNOWN}
    for name, smaller in larger.items():
        one, other = KNOWN[name], KNOWN[smaller]
        assert isinstance(one, partial) and isinstance(other, partial) and one.func is other.func


def test_a_small_ratio_is_not_rounded_to_nothing() -> None:
    assert ratio_of(1, 30_000) == 3.33e-5 and ratio_of(2, 3) == 0.667


def in_this_process(name: str, overrides: Sequence[str]) -> tuple[dict[str, Any], float, float]:
    """Run a command with the Spark of the tests; return as `timed_headrace` does."""
    config = load_config(CHECKOUT / "conf/demo.yaml", overrides)
    started, before = time.monotonic(), _cpu_seconds()
    result = {"generate": run_generate, "etl": run_etl}[name](config)
    return result, time.monotonic() - started, _cpu_seconds() - before


def _cpu_seconds() -> float:
    """Return the CPU seconds of this process and of Spark's."""
    own = psutil.Process(os.getpid())
    times = [process.cpu_times() for process in (own, *own.children(recursive=True))]
    return float(sum(each.user + each.system for each in times))
