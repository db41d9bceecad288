"""Five days made one after another, killed at random moments: the result is that of whole runs."""

import hashlib
import json
import random
import signal
import subprocess
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.end2end.accidents.test_kills import kill_family
from tests.end2end.conftest import CHECKOUT, Shop, command, make_shop

pytestmark = pytest.mark.slow

SEED = 20
DAYS = [date(2026, 3, 16) + timedelta(days=n) for n in range(5)]
STOPS_PER_DAY = 4
SETTINGS = ("etl.vocabulary=extend", "etl.row_group_rows=60", "train.epochs=3", "run.seed=3")
POINTED = ("id", "logical_date", "previous", "withdrawn")


def run_day(shop: Shop, day: date) -> float:
    """Run the line for a day; return the seconds that it took."""
    started = time.monotonic()
    shop.run("run", "--date", day.isoformat())
    return time.monotonic() - started


def stop_day(shop: Shop, day: date, number: signal.Signals, after_seconds: float) -> bool:
    """Start the line for a day and stop it; return whether it was still running."""
    process = subprocess.Popen(
        command(*shop.arguments("run", "--json", "--date", day.isoformat())),
        cwd=CHECKOUT,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        _, told = process.communicate(timeout=after_seconds)
    except subprocess.TimeoutExpired:
        family = psutil.Process(process.pid).children(recursive=True)
        if number == signal.SIGKILL:
            kill_family(process)  # type: ignore[arg-type]
        else:
            process.send_signal(number)
        _, told = process.communicate(timeout=60)
        psutil.wait_procs(family, timeout=60)
        if number == signal.SIGTERM and process.returncode != 0:
            # All is published: the signal came while the process ended.
            is_over = "score: " in told and told.rstrip().endswith(" s)")
            allowed = (128 + number, -number) if is_over else (128 + number,)
            assert process.returncode in allowed, told
        return process.returncode != 0
    assert process.returncode == 0, told
    return False


def state_of(workspace: Path) -> dict[str, Any]:
    """Return pointers, ids, contents, and the hashes of all files that a manifest names."""
    state: dict[str, Any] = {}
    for kind, name in (
        ("datasets", "manifest.json"),
        ("models", "bundle.json"),
        ("lists", "lists.json"),
    ):
        pointer = json.loads((workspace / kind / "CURRENT.json").read_text())
        state[kind] = {key: pointer[key] for key in POINTED}
        for path in sorted((workspace / kind).glob(f"*/{name}")):
            manifest = json.loads(path.read_text())
            files = [file["path"] for part in manifest["files"].values() for file in part]
            state[path.parent.name] = {
                "content": manifest.get("content"),
                "ledger": manifest.get("ledger"),
                "counts": manifest.get("counts"),
                **{file: _told_by(path.parent / file) for file in sorted(files)},
            }
    return state


def _told_by(path: Path) -> object:
    """Return a file's hash; of metrics what is no cost, of a card, which shows costs, nothing."""
    if path.name == "metrics.json":
        return _without_costs(json.loads(path.read_text()))
    return None if path.name == "card.html" else hash_of(path)


def _without_costs(value: Any) -> Any:
    """Return figures without those that differ between two runs of the same."""
    if isinstance(value, dict):
        return {
            key: _without_costs(inner)
            for key, inner in value.items()
            if not any(cost in key for cost in ("second", "memory"))
        }
    return [_without_costs(inner) for inner in value] if isinstance(value, list) else value


def hash_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_backfill_stopped_at_random_moments_ends_like_an_unbroken_one(tmp_path: Path) -> None:
    whole = make_shop(tmp_path, SETTINGS)
    seconds = {day: run_day(whole, day) for day in DAYS}
    broken, chance = whole.at(tmp_path / "broken"), random.Random(SEED)
    stops = []
    for day in DAYS:
        for _ in range(STOPS_PER_DAY):
            number = chance.choice([signal.SIGKILL] * 3 + [signal.SIGTERM])
            after = chance.uniform(0.02, 0.95) * seconds[day]
            if stop_day(broken, day, number, after):
                stops.append((day.isoformat(), number.name, round(after, 1)))
        run_day(broken, day)

    print(f"{len(stops)} stops: {stops}")
    assert len(stops) > len(DAYS) * STOPS_PER_DAY // 2
    assert {name for _, name, _ in stops} == {"SIGKILL", "SIGTERM"}
    assert state_of(broken.workspace) == state_of(whole.workspace)
    for kind in ("datasets", "models", "lists"):
        names = [
            sorted(path.name for path in (shop.workspace / kind).iterdir())
            for shop in (broken, whole)
        ]
        assert names[0] == names[1]  # nothing is left of the stopped runs
