"""ETL events a second at one and at four million generated events, within a 2 GiB driver."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).parents[2]
SIZES = {"1 million": 1_000_000, "4 million": 4_000_000}


def measure(folder: Path) -> dict[str, Any]:
    """Run generator and ETL through the real command, the sizes one after the other."""
    figures: dict[str, Any] = {}
    for name, events in SIZES.items():
        overrides = _overrides(folder / name.replace(" ", "-"), events)
        _headrace("generate", overrides)
        started = time.monotonic()
        result = _headrace("etl", overrides)
        seconds = time.monotonic() - started
        rows = result["ledger"]["events"]["rows_read"]
        figures[name] = {
            "rows_read": rows,
            "seconds": round(seconds, 1),
            "rows_per_second": round(rows / seconds),
        }
        shutil.rmtree(folder / name.replace(" ", "-"))
    small, large = (figures[name]["rows_per_second"] for name in SIZES)
    return {
        **figures,
        "ratio": round(large / small, 3),
        "wanted": 0.9,
        "ratio_of": "events a second at 4 million over those at 1 million",
    }


def _overrides(folder: Path, events: int) -> list[str]:
    return [
        f"input.root={folder / 'log'}",
        f"run.output={folder / 'workspace'}",
        f"generate.num_events={events}",
        f"generate.num_users={events // 40}",
        "generate.num_items=20000",
        "spark.driver_memory=2g",
    ]


def _headrace(name: str, overrides: list[str]) -> dict[str, Any]:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "conf.cli",
            name,
            "--config",
            "conf/demo.yaml",
            "--json",
            *overrides,
        ],
        cwd=CHECKOUT,
        text=True,
        stdout=subprocess.PIPE,
        check=True,
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result
