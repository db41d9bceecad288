"""Each benchmark on tiny sizes: what it calls is still there, and its ratios are numbers."""

import math
import os
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from conf.runs.stages import run_etl, run_generate
from conf.settings.load import load_config
from tests.bench import (
    etl_features,
    etl_scale,
    index_rate,
    large_catalogue,
    peer,
    score_rate,
    stream_rate,
    top_k_rate,
    train_rate,
    unchanged_rate,
)
from tests.bench.__main__ import BENCHMARKS, ON_REQUEST
from tests.bench.runs import CHECKOUT, ratio_of

SHORT = {"users": 48, "items": 200, "row_group_rows": 12}
QUICK = {
    "stream": partial(stream_rate.measure, **SHORT, mean_length=5, repeats=1),
    "train": partial(train_rate.measure, **SHORT, mean_length=5, epochs=2),
    "score": partial(score_rate.measure, **SHORT),
    "top-k": partial(top_k_rate.measure, users=32, items=500, rounds=1),
    "unchanged": partial(unchanged_rate.measure, users=80, items=200, group_rows=40),
    "index": partial(index_rate.measure, users=48, items=400),
}
OF_THE_ETL = {
    "etl": partial(etl_scale.measure, sizes=(3000,)),
    "features": partial(etl_features.measure, sizes=(3000,)),
    "features-16m": partial(etl_features.measure, sizes=(3000,)),
    "features-skew": partial(etl_features.measure_skew, events=1500),
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
    require_ratios(QUICK[name](tmp_path))


@pytest.mark.slow
@pytest.mark.usefixtures("spark")
@pytest.mark.parametrize("name", ["etl", "features", "features-skew"])
def test_benchmark_of_the_etl_on_a_tiny_log(tmp_path: Path, name: str) -> None:
    found = OF_THE_ETL[name](tmp_path, headrace=in_this_process)

    require_ratios(found)
    if name == "features":
        assert found["3000 events"]["is_same"], found["3000 events"]["same_figures"]


@pytest.mark.slow
def test_benchmark_of_large_catalogues_on_a_small_one(tmp_path: Path) -> None:
    require_ratios(large_catalogue.measure(tmp_path, items=500, cases=large_catalogue.CASES[:2]))


def test_every_benchmark_is_run_here() -> None:
    needs_data = {"peer": peer.measure}

    elsewhere = {"etl-profile"}  # has a test of its own
    known = {*QUICK, *OF_THE_ETL, "large-catalogue", *elsewhere, *needs_data}
    assert known == {*BENCHMARKS, *ON_REQUEST}


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
