"""ETL events a second at one and at four million generated events, within a 2 GiB driver."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.bench.runs import MILLION, Headrace, overrides_for, ratio_of, timed_headrace


def measure(
    folder: Path,
    *,
    sizes: Sequence[int] = (MILLION, 4 * MILLION),
    headrace: Headrace = timed_headrace,
) -> dict[str, Any]:
    """Run generator and ETL through the real command, the sizes one after the other."""
    figures: dict[str, Any] = {}
    for events in sizes:
        overrides = overrides_for(folder / f"{events}", events)
        headrace("generate", overrides)
        result, seconds, _ = headrace("etl", overrides)
        rows = result["ledger"]["events"]["rows_read"]
        figures[f"{events} events"] = {
            "rows_read": rows,
            "seconds": round(seconds, 1),
            "rows_per_second": round(rows / seconds),
        }
        shutil.rmtree(folder / f"{events}")
    rates = [own["rows_per_second"] for own in figures.values()]
    return {
        **figures,
        "ratio": ratio_of(rates[-1], rates[0]),
        "wanted": 0.9,
        "ratio_of": "events a second at the largest size over those at the smallest",
    }
