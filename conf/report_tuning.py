"""Print a search for settings as tables for people."""

from typing import Any

from rich.console import Console
from rich.table import Table

Result = dict[str, Any]


def print_tuning(console: Console, result: Result) -> None:
    """Print the trials, what mattered, and the best settings."""
    table = Table(title=f"trials, {result['metric']} in validation", title_justify="left")
    for name in ("trial", result["metric"], "epochs", "seconds", "state", "settings"):
        table.add_column(name, justify="left" if name in ("state", "settings") else "right")
    for row in result["trials"]:
        table.add_row(
            str(row["trial"]),
            "-" if row["value"] is None else f"{row['value']:.4f}",
            "-" if row["epochs"] is None else str(row["epochs"]),
            f"{row['seconds']:,.1f}",
            row["state"] if row["same_as"] is None else f"{row['state']}, as {row['same_as']}",
            _settings(row["settings"]),
        )
    console.print(table)
    for row in result["trials"]:
        if row["message"] is not None:
            where = f"trial {row['trial']}"
            told = row["message"].removeprefix(f"{where}: ")
            console.print(f"{where} {row['state']}: {told}", markup=False, highlight=False)
    if result["importance"] is not None:
        shares = Table(title="share of what the figure varies by", title_justify="left")
        for name, share in result["importance"].items():
            shares.add_row(name, f"{share:.0%}")
        console.print(shares)
    best = result["best"]
    console.print(
        f"best: trial {best['trial']}, {_settings(best['settings'], ' ')}",
        markup=False, highlight=False,
    )  # fmt: skip
    if "written" in result:
        console.print(f"written: {result['written']}", markup=False, highlight=False)


def _settings(settings: dict[str, Any], separator: str = "\n") -> str:
    return separator.join(f"{key}={_value(value)}" for key, value in settings.items())


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
