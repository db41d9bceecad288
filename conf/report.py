"""Print a stage's result as short tables for people."""

import re
from typing import Any

from rich.console import Console
from rich.table import Table

from conf.report_comparison import print_comparison
from conf.report_metrics import print_metrics
from conf.report_tuning import print_tuning

Result = dict[str, Any]
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def print_result(result: Result) -> None:
    """Print a result on stdout, in the form that fits its stage."""
    result = printable(result)
    # Titles and ids come from the log: what looks like rich's own markup is none.
    width = None if Console().is_terminal else 120
    console = Console(width=width, markup=False, emoji=False)
    if result["stage"] == "run":
        for part in ("etl", "train", "score"):
            print_result(result[part])
        return
    if result["stage"] == "show":
        _print_user(console, result)
        return
    if result["stage"] == "compare":
        print_comparison(console, result)
        return
    if result["stage"] == "tune":
        print_tuning(console, result)
        return
    _print_plain(console, result)
    if "ledger" in result:
        _print_ledger(console, result["ledger"])
    if "metrics" in result:
        print_metrics(console, result["metrics"])


def printable(value: Any) -> Any:
    """Return a result whose texts do nothing to a terminal: control characters as escapes."""
    if isinstance(value, str):
        return _CONTROL.sub(lambda found: repr(found[0])[1:-1], value)
    if isinstance(value, dict):
        return {printable(key): printable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [printable(inner) for inner in value]
    return value


def _print_plain(console: Console, result: Result) -> None:
    table = Table(title=result["stage"], show_header=False, title_justify="left")
    for key, value in result.items():
        if key not in ("stage", "ledger", "metrics"):
            table.add_row(key, _text(value))
    console.print(table)


def _print_ledger(console: Console, ledger: Result) -> None:
    table = Table(title="ledger: where every row went", title_justify="left")
    for name in ("input", "rows read", "kept", "dropped", "quarantined"):
        table.add_column(name, justify="left" if name == "input" else "right")
    for name, account in ledger.items():
        table.add_row(
            name,
            f"{account['rows_read']:,}",
            f"{account['rows_kept']:,}",
            _reasons(account["dropped"]),
            _reasons(account["quarantined"]),
        )
    console.print(table)
    for name, account in ledger.items():
        for warning in account.get("warnings", ()):
            console.print(f"warning: {name}: {warning}", markup=False, highlight=False)


def _reasons(counts: dict[str, int]) -> str:
    return "\n".join(f"{reason} {count:,}" for reason, count in sorted(counts.items())) or "0"


def _print_user(console: Console, result: Result) -> None:
    history = Table(title=f"history of {result['user_id']}, newest first", title_justify="left")
    for name in ("when", "event", "item", "title"):
        history.add_column(name)
    for event in result["history"]:
        history.add_row(*(_text(event[key]) for key in ("when", "event", "item_id", "title")))
    console.print(history)
    table = Table(title=f"recommended ({result['lists_id']})", title_justify="left")
    for name in ("position", "item", "title", "score", "source", "because of"):
        table.add_column(name)
    for row in result["list"]:
        table.add_row(
            str(row["position"]),
            row["item_id"],
            _text(row["title"]),
            f"{row['score']:.3f}",
            row["source"],
            "\n".join(row["because"]),
        )
    console.print(table)


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return "\n".join(f"{key}: {_text(item)}" for key, item in value.items()) or "-"
    if isinstance(value, list | tuple):
        return "\n".join(_text(item) for item in value) or "-"
    if isinstance(value, float):
        return f"{value:,.4g}"
    if isinstance(value, bool) or not isinstance(value, int):
        return "-" if value is None else str(value)
    return f"{value:,}"
