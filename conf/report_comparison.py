"""Print a comparison of models as tables for people."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from conf.page_text import cost_cells

Result = dict[str, Any]


def print_comparison(console: Console, result: Result) -> None:
    """Print figures with intervals, costs and reasons of each model, then the differences."""
    metric, models = result["metric"], result["models"]
    hits = [key for key in next(iter(models.values())) if key.startswith("hr@") and key != metric]
    table = Table(
        title=f"test part, {result['targets']:,} targets; bounds of 95 in 100 draws of the users",
        title_justify="left",
    )
    table.add_column("model")
    for name in (metric, "", *hits, "reasons", "another"):
        table.add_column(name, justify="right")
    for name, row in sorted(models.items(), key=lambda pair: -pair[1][metric]["value"]):
        figure, reasons = row[metric], row["reasons"]
        table.add_row(
            name, f"{figure['value']:.4f}", f"{figure['low']:.4f}-{figure['high']:.4f}",
            *(f"{row[key]['value']:.4f}" for key in hits),
            _share(reasons["score_falls_without_the_reason"], reasons["users"]),
            _share(reasons["score_falls_without_another_item"], reasons["users"]),
        )  # fmt: skip
    console.print(table)
    console.print(
        "reasons: users whose best item's score falls without its strongest reason; "
        "another: without another item",
        highlight=False,
    )
    print_costs(console, models)
    if result["differences"]:
        _print_differences(console, result)
    console.print(f"plot: {result['page']}", markup=False, highlight=False, soft_wrap=True)


def print_costs(console: Console, models: Mapping[str, Result]) -> None:
    """Print what each model costs; rows are those of scoring."""
    table = Table(title="cost", title_justify="left")
    table.add_column("model")
    for name in ("parameters", "training s", "memory", "FLOP an example", "rows/s"):
        table.add_column(name, justify="right")
    for name, row in models.items():
        table.add_row(name, *cost_cells(row))
    console.print(table)


def _print_differences(console: Console, result: Result) -> None:
    table = Table(
        title=f"{result['metric']} less that of {result['reference']}", title_justify="left"
    )
    for name in ("model", "difference", "", "p"):
        table.add_column(name, justify="left" if name == "model" else "right")
    for name, row in sorted(result["differences"].items(), key=lambda pair: -pair[1]["value"]):
        bounds = f"{row['low']:+.4f} to {row['high']:+.4f}"
        table.add_row(name, f"{row['value']:+.4f}", bounds, f"{row['p']:.3f}")
    console.print(table)


def _share(value: float, users: int) -> str:
    return f"{value:.0%} of {users}" if users else "-"
