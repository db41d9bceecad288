"""Print what happened after lists were published."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from conf.pages import outcomes as told
from conf.pages.text import figure, interval, number

Result = dict[str, Any]
_BETWEEN = "-"


def print_outcome(console: Console, result: Result) -> None:
    """Print rates by version and position, comparisons, estimates and the ledger."""
    header, rates = told.rate_header(result["counts"]), told.rates_named(result)
    _say(console, told.what_counts(result["counts"]))
    _print_rates(console, f"lists shown on {told.days_of(result)}", header, rates)
    for name, row in rates.items():
        for title, _, rows in told.breakdowns(name, row):
            if len(rows) > 1:
                _print_rates(console, title, header, rows)
    if result["comparisons"]:
        title = "canary minus the version of the other users"
        compared = [told.compared_cells(row) for row in result["comparisons"]]
        _print_table(console, title, told.COMPARED_HEADER, compared, num_names=2)
    for one in result.get("policies", ()):
        _print_policy(console, one)
    for one in result.get("refused", ()):
        _say(console, f"refused: {told.lists_named(one['policy'], one['scenario'])}: {one['why']}")
    _print_ledger(console, result["ledger"])
    for note in result["notes"]:
        _say(console, f"note: {note}")
    if "page" in result:
        _say(console, f"page: {result['page']}")


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _print_table(
    console: Console,
    title: str,
    header: Iterable[str],
    rows: Iterable[Sequence[str]],
    num_names: int = 1,
) -> None:
    table = Table(title=title, title_justify="left")
    for place, name in enumerate(header):
        table.add_column(name, justify="left" if place < num_names else "right")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _print_rates(
    console: Console, title: str, header: Sequence[str], rows: Mapping[Any, Result]
) -> None:
    cells = [[str(name), *told.rate_cells(row, _BETWEEN)] for name, row in rows.items()]
    _print_table(console, title, ["", *header], cells)


def _print_policy(console: Console, found: Result) -> None:
    name = told.lists_named(found["policy"], found["scenario"])
    _print_table(
        console,
        f"what {name} would have got; {found['effective_users']:,.0f} effective users",
        told.ESTIMATE_HEADER,
        told.estimate_rows(found, _BETWEEN),
    )
    lead, was = found["lead"], found["logged"]
    _say(console, told.support_told(found))
    _say(
        console,
        f"the lists that were shown, same impressions: {figure(was['value'])} "
        f"({interval(was, _BETWEEN)}); lead of {found['policy']} (doubly robust): "
        f"{figure(lead['value'], sign='+')} "
        f"({interval(lead, sign='+')}), p {figure(lead['p'], 3)}",
    )
    for why, count in found["left_out"].items():
        _say(console, f"left out of {found['shown']:,}: {why} {count:,}")


def _print_ledger(console: Console, ledger: Result) -> None:
    table = Table(title="ledger: what became of the events", title_justify="left")
    for name in ("", "read", "of these"):
        table.add_column(name, justify="right" if name == "read" else "left")
    for name, counts in ledger.items():
        rest = [f"{key} {count:,}" for key, count in counts.items() if key != "read"]
        table.add_row(name, number(counts["read"]), "\n".join(rest))
    console.print(table)
