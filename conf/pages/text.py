"""Numbers formatted for people."""

from collections.abc import Mapping
from typing import Any

NOTHING = "-"
"""What stands for a figure without data."""
COST_HEADER = ("parameters", "training seconds", "peak memory", "operations per example",
               "examples scored per second")  # fmt: skip
"""Names of the cells that `cost_cells` returns."""
_COSTS = ("parameters", "seconds", "flops_per_example", "scored_per_second")


def number(count: int) -> str:
    """Return a count with thousands separators."""
    return f"{count:,}"


def figure(value: float | None, digits: int = 4, sign: str = "") -> str:
    """Return a figure with this many decimals, a dash if there is none.

    Args:
        value: The figure.
        digits: Number of decimals.
        sign: `+` to show the sign of numbers above 0 too.
    """
    return NOTHING if value is None else f"{value:{sign}.{digits}f}"


def interval(row: Mapping[str, Any], between: str = " to ", sign: str = "") -> str:
    """Return the bounds `low` and `high` of a figure, a dash if it has none."""
    low, high = row["low"], row["high"]
    if low is None or high is None:
        return NOTHING
    return f"{figure(low, sign=sign)}{between}{figure(high, sign=sign)}"


def share(part: float | None) -> str:
    """Return a share from 0 to 1 in per cent, a dash if there is none.

    Almost 0 and almost 1 are marked by < and >.
    """
    if part is None:
        return NOTHING
    if 0 < part < 0.0005:
        return "<0.1%"
    if 0.9995 <= part < 1:
        return ">99.9%"
    return f"{part:.1%}"


def compact(count: float) -> str:
    """Return a round count in short form: 1,500 as 1.5k."""
    for unit, letter in ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")):
        if count >= unit:
            return f"{count / unit:g}{letter}"
    return f"{count:g}"


def size(num_bytes: int) -> str:
    """Return a number of bytes with a suitable unit."""
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if num_bytes >= unit:
            return f"{num_bytes / unit:.1f} {name}"
    return f"{num_bytes} B"


def change(before: float, now: float) -> str:
    """Return the change of a number, in per cent of its value before."""
    if before == now:
        return "0.0%"
    if before == 0:
        return "new"
    return f"{(now - before) / before:+,.1%}"


def cost_cells(row: Mapping[str, Any]) -> list[str]:
    """Return a model's cost in the order of `COST_HEADER`.

    Args:
        row: `parameters`, `seconds`, `peak_memory_bytes`, `flops_per_example` and
            `scored_per_second`; each may be None or missing and is a dash then.
    """
    memory = row.get("peak_memory_bytes")
    found = [row.get(name) for name in _COSTS]
    cells = [
        NOTHING if n is None else f"{n:,}" if isinstance(n, int) else f"{n:,.1f}" for n in found
    ]
    return [*cells[:2], NOTHING if memory is None else size(memory), *cells[2:]]
