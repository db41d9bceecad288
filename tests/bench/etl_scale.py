"""ETL events a second at one and at four million generated events, within a 2 GiB driver."""

import shutil
from pathlib import Path
from typing import Any

from tests.bench.runs import MILLION, overrides_for, timed_headrace

SIZES = {"1 million": MILLION, "4 million": 4 * MILLION}


def measure(folder: Path) -> dict[str, Any]:
    """Run generator and ETL through the real command, the sizes one after the other."""
    figures: dict[str, Any] = {}
    for name, events in SIZES.items():
        overrides = overrides_for(folder / name.replace(" ", "-"), events)
        timed_headrace("generate", overrides)
        result, seconds, _ = timed_headrace("etl", overrides)
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
