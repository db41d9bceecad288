"""The ETL with all features, in a 2 GiB driver, beside the same transformation in Polars."""

import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv

from tests.bench.runs import (
    MILLION,
    Headrace,
    num_items,
    overrides_for,
    ratio_of,
    timed_headrace,
    timed_python,
)

DAYS = 90
FEATURES = (
    "etl.split.kind=temporal",
    "etl.session_gap_minutes=30",
    "etl.features.items.encodings={category: {kind: categorical}, brand: {kind: categorical}, "
    "price: {kind: bucketed, buckets: 10}}",
    "etl.features.items.crosses={category_brand: {of: [category, brand], hash_buckets: 4096}}",
    "etl.features.users.encodings={age_band: {kind: categorical}, region: {kind: categorical}}",
    "etl.features.as_of={windows_days: [1, 7, 28], half_life_days: 14}",
    "etl.features.neighbours={distance: 3, min_count: 5, per_item: 20}",
    "etl.impressions={labels: {seen: [view, cart, purchase], bought: [purchase]}, "
    "negatives: uniform, negatives_per_positive: 1, history_length: 20}",
)
_PARTS = ("train_impressions", "valid_impressions", "test_impressions")


def measure(
    folder: Path, *, sizes: Sequence[int], headrace: Headrace = timed_headrace
) -> dict[str, Any]:
    """Run both on made-up logs of so many events each, one after the other."""
    figures = {
        f"{events} events": _measure_size(folder / f"{events}", events, headrace)
        for events in sizes
    }
    costs = [own["cpu_seconds"] / own["rows_read"] for own in figures.values()]
    return {
        **figures,
        "ratio": ratio_of(costs[-1], costs[0]),
        "wanted_below": 1.15,
        "ratio_of": "CPU seconds an event at the largest size over those at the smallest",
    }


measure_usual = partial(measure, sizes=(MILLION, 4 * MILLION))
measure_large = partial(measure, sizes=(MILLION, 16 * MILLION))


def measure_skew(
    folder: Path, *, events: int = MILLION, headrace: Headrace = timed_headrace
) -> dict[str, Any]:
    """Compare a user of so many events among as many of others with twice as many of others."""
    keep = ("etl.repeated_items=keep", "etl.clean.max_events_per_user_day=null")
    figures = {}
    for name, size in (("skewed", events), ("even", 2 * events)):
        overrides = [*_overrides(folder / name, size), *keep]
        headrace("generate", overrides)
        if name == "skewed":
            _add_busy_user(folder / name / "log", events)
        figures[name] = _etl(headrace, overrides)
        del figures[name]["folder"]
        shutil.rmtree(folder / name)
    return {
        **figures,
        "ratio": ratio_of(figures["skewed"]["cpu_seconds"], figures["even"]["cpu_seconds"]),
        "ratio_of": "CPU seconds with one user of half of the events over those without",
    }


def _measure_size(folder: Path, events: int, headrace: Headrace) -> dict[str, Any]:
    overrides = _overrides(folder, events)
    headrace("generate", overrides)
    ours = _etl(headrace, overrides)
    made = _made(Path(ours.pop("folder")), ours.pop("counts"))
    shutil.rmtree(folder / "workspace")
    script = ["-m", "tests.bench.etl.polars_yardstick", str(folder / "log"), str(folder / "polars")]
    theirs, seconds, cpu = timed_python(script)
    shutil.rmtree(folder)
    is_same = made == theirs
    return {
        **ours,
        "polars": {"seconds": round(seconds, 1), "cpu_seconds": round(cpu, 1)},
        "seconds_over_polars": ratio_of(ours["seconds"], seconds),
        "cpu_over_polars": ratio_of(ours["cpu_seconds"], cpu),
        "same_figures": made if is_same else {"ours": made, "polars": theirs},
        "is_same": is_same,
    }


def _made(folder: Path, counts: Mapping[str, int]) -> dict[str, int]:
    """Return of a dataset what the yardstick tells of its own."""
    columns = ["label_seen", "item_events_28d", "user_events_all", "history_item_idx"]
    totals = dict.fromkeys(("logged", "item_events_28d", "user_events_all", "history_items"), 0)
    for part in _PARTS:
        for file in sorted((folder / part).glob("*.parquet")):
            rows = pq.read_table(file, columns=columns)
            logged = rows.filter(pc.greater(rows["label_seen"], 0))
            totals["logged"] += logged.num_rows
            for name in ("item_events_28d", "user_events_all"):
                totals[name] += round(pc.sum(pc.cast(logged[name], pa.float64())).as_py() or 0)
            lengths = pc.list_value_length(logged["history_item_idx"])
            totals["history_items"] += pc.sum(lengths).as_py() or 0
    category = pq.read_table(folder / "item_features", columns=["item_category"])
    known = {name: counts[name] for name in ("events", "items", "train_rows")}
    return {**known, **totals, "category": pc.sum(category["item_category"]).as_py()}


def _add_busy_user(log: Path, events: int) -> None:
    """Write one more file: all events of one user, spread over all days and items."""
    rng = np.random.default_rng(7)
    first = np.datetime64("2026-03-01")
    times = first + np.sort(rng.integers(0, DAYS * 86_400, events)).astype("timedelta64[s]")
    numbers = rng.integers(1, num_items(events) + 1, events)
    table = pa.table({
        "event_id": [f"busy-{number}" for number in range(events)],
        "user_id": pa.repeat(pa.scalar("u0000001"), events),
        "item_id": [f"i{number:07d}" for number in numbers],
        "event_type": pa.repeat(pa.scalar("view"), events),
        "time": pc.strftime(pa.array(times.astype("datetime64[s]")), "%Y-%m-%dT%H:%M:%SZ"),
        "price": pa.repeat(pa.scalar(1.0), events),
        "session_id": pa.repeat(pa.scalar("busy"), events),
    })  # fmt: skip
    csv.write_csv(table, log / "events/events-busy.csv")


def _overrides(folder: Path, events: int) -> list[str]:
    return [*overrides_for(folder, events), *FEATURES]


def _etl(headrace: Headrace, overrides: Sequence[str]) -> dict[str, Any]:
    result, seconds, cpu = headrace("etl", overrides)
    rows = result["ledger"]["events"]["rows_read"]
    return {
        "rows_read": rows,
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu, 1),
        "rows_per_second": round(rows / seconds),
        "rows_per_cpu_second": round(rows / cpu),
        "folder": result["folder"],
        "counts": result["counts"],
    }
