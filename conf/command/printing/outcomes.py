"""Print what happened after lists were published."""

from typing import Any

from rich.console import Console
from rich.table import Table

from conf.pages.text import NOTHING, figure, interval, number, share

Result = dict[str, Any]
RATE_HEADER = ("users", "shown", "acted on", "rate", "95% interval")
ESTIMATORS = {"ips": "IPS", "snips": "SNIPS", "dr": "doubly robust"}


def print_outcome(console: Console, result: Result) -> None:
    """Print rates by version and place, comparisons, estimates and the ledger."""
    days = " to ".join(dict.fromkeys(result["days"]))
    rows = result["versions"]
    _print_rates(console, f"lists shown on {days}", {_named(one): one for one in rows})
    for row in rows:
        for key, what in (("by_position", "place"), ("by_channel", "channel"),
                          ("by_segment", "segment")):  # fmt: skip
            if len(row.get(key, ())) > 1:
                _print_rates(console, f"{_named(row)}: by {what}", row[key])
    if result["comparisons"]:
        _print_comparisons(console, result)
    for one in result.get("policies", ()):
        _print_policy(console, one)
    _print_ledger(console, result["ledger"])
    for note in result["notes"]:
        console.print(f"note: {note}", markup=False, highlight=False, soft_wrap=True)
    if "page" in result:
        console.print(f"page: {result['page']}", markup=False, highlight=False, soft_wrap=True)


def rate_cells(row: Result) -> list[str]:
    """Return the cells of `RATE_HEADER`."""
    counts = [number(row[key]) for key in ("users", "shown", "acted")]
    return [*counts, figure(row["rate"]), interval(row, "-")]


def estimate_cells(row: Result) -> list[str]:
    """Return the value and the interval of each estimator, dashes where there is none."""
    return [
        cell
        for name in ESTIMATORS
        for cell in (
            (NOTHING, NOTHING)
            if row[name] is None
            else (figure(row[name]["value"]), interval(row[name], "-"))
        )
    ]


def _named(row: Result) -> str:
    return f"{row['version']}, {row['scenario']}" if row["scenario"] else str(row["version"])


def _print_rates(console: Console, title: str, rows: dict[Any, Result]) -> None:
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for name in RATE_HEADER:
        table.add_column(name, justify="right")
    for name, row in rows.items():
        table.add_row(str(name), *rate_cells(row))
    console.print(table)


def _print_comparisons(console: Console, result: Result) -> None:
    table = Table(title="canary minus the version of the other users", title_justify="left")
    for name in ("canary", "other users", "share", "rates", "difference", "95% interval", "p"):
        table.add_column(name, justify="left" if name in ("canary", "other users") else "right")
    for row in result["comparisons"]:
        found = row["difference"] or dict.fromkeys(("value", "low", "high", "p"))
        rates = (figure(row[side]["rate"]) for side in ("of_canary", "of_base"))
        where = f", {row['scenario']}" if row["scenario"] else ""
        table.add_row(
            f"{row['canary']}{where}",
            row["base"],
            share(row["share"]),
            " and ".join(rates),
            figure(found["value"], sign="+"),
            interval(found, sign="+"),
            figure(found["p"], 3),
        )
    console.print(table)


def _print_policy(console: Console, found: Result) -> None:
    where = f", {found['scenario']}" if found["scenario"] else ""
    table = Table(
        title=f"what {found['policy']}{where} would have got; support {share(found['support'])}, "
        f"{found['effective_users']:,.0f} effective users",
        title_justify="left",
    )
    table.add_column("place")
    for name in ESTIMATORS.values():
        table.add_column(name, justify="right")
        table.add_column("", justify="right")
    table.add_row("all", *estimate_cells(found))
    for place, row in found["by_position"].items():
        table.add_row(str(place), *estimate_cells(row))
    console.print(table)
    lead, was = found["lead"], found["logged"]
    console.print(
        f"the lists that were shown: {figure(was['value'])} ({interval(was, '-')}); lead of the "
        f"others: {figure(lead['value'], sign='+')} ({interval(lead, sign='+')}), "
        f"p {figure(lead['p'], 3)}",
        highlight=False,
    )


def _print_ledger(console: Console, ledger: Result) -> None:
    table = Table(title="ledger: what became of the events", title_justify="left")
    for name in ("", "read", "of these"):
        table.add_column(name, justify="right" if name == "read" else "left")
    for name, counts in ledger.items():
        rest = [f"{key} {count:,}" for key, count in counts.items() if key != "read"]
        table.add_row(name, number(counts["read"]), "\n".join(rest))
    console.print(table)
