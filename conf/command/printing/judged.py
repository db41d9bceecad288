"""Print the figures of measured lists."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from conf.command.printing.cells import text_of
from conf.pages.text import figure, interval, share

Result = dict[str, Any]


def print_judged(console: Console, result: Result) -> None:
    """Print the lists next to each other, then segments, candidates and rules."""
    judged = result["judged"]
    plain = Table(title=result["stage"], show_header=False, title_justify="left")
    for key in ("id", "dataset", "models"):
        if key in result:
            plain.add_row(key, text_of(result[key]))
    console.print(plain)
    _print_lists(console, judged)
    _print_differences(console, judged)
    _print_whole(console, judged)
    _print_segments(console, judged)
    _print_shares(console, "targets among the candidates of each channel", judged["named"])
    _print_shares(console, "targets that each rule excludes", judged["excluded"])
    for name, why in judged["skipped"].items():
        console.print(f"{name}: not measured: {why}", markup=False, highlight=False)
    if judged["context_without_value"]:
        names = ", ".join(judged["context_without_value"])
        console.print(f"without a value for the ranker: {names}", markup=False, highlight=False)
    for name in judged["not_measured"]:
        console.print(f"{name}: left out of the measured lists", markup=False, highlight=False)
    for note in judged["notes"]:
        console.print(note, markup=False, highlight=False)


def _print_lists(console: Console, judged: Result) -> None:
    table = Table(
        title=f"lists of {judged['length']} before {judged['targets']:,} events of the "
        f"{judged['part']} part, {judged['users']:,} users; bounds: 95% bootstrap interval",
        title_justify="left",
    )
    rows, metrics = judged["rows"], _metrics(judged)
    table.add_column("lists")
    for name in metrics:
        table.add_column(name, justify="right")
        table.add_column("", justify="right")
    for name, row in rows.items():
        cells = []
        for metric in metrics:
            bounds = row["bounds"].get(metric, {"low": None, "high": None})
            cells += [figure(row["figures"][metric]), interval(bounds, "-")]
        table.add_row(name, *cells)
    console.print(table)


def _print_differences(console: Console, judged: Result) -> None:
    reference = judged["reference"]
    table = Table(title=f"difference from {reference}, paired", title_justify="left")
    metrics = _metrics(judged)[:2]
    table.add_column("lists")
    for name in metrics:
        for head in (name, "", "p"):
            table.add_column(head, justify="right")
    for name, row in judged["rows"].items():
        if row["difference"]:
            found = [row["difference"][metric] for metric in metrics]
            cells = [
                cell
                for one in found
                for cell in (
                    figure(one["value"], sign="+"),
                    interval(one, sign="+"),
                    figure(one["p"], 3),
                )
            ]
            table.add_row(name, *cells)
    console.print(table)


def _print_whole(console: Console, judged: Result) -> None:
    table = Table(title="the lists as a whole", title_justify="left")
    table.add_column("lists")
    for name in ("items per list", "coverage", "gini", "novelty", "tail and cold", "seconds"):
        table.add_column(name, justify="right")
    for name, row in judged["rows"].items():
        found = row["lists"]
        rare = [found["shares"][kind] for kind in ("tail", "cold")]
        table.add_row(
            name,
            figure(found["items_per_list"], 2),
            share(found["coverage"]),
            figure(found["gini"], 3),
            figure(found["novelty"], 2),
            share(None if None in rare else sum(rare)),
            f"{row['seconds']:,.1f}",
        )
    console.print(table)


def _print_segments(console: Console, judged: Result) -> None:
    """Print the lead of the last lists over the reference in each segment."""
    names, metric = list(judged["rows"]), _metrics(judged)[1]
    others = [name for name in names if name != judged["reference"]]
    if not others:
        return
    last = others[-1]
    table = Table(title=f"segments, {metric}; lead of {last}", title_justify="left")
    for name in ("segment", "targets", judged["reference"], last, "lead", ""):
        table.add_column(name, justify="left" if name == "segment" else "right")
    for division, found in judged["segments"].items():
        for segment, one in found.items():
            lead = judged["differences"][division][segment][last][metric]
            table.add_row(
                segment if division == "all" else f"{division} {segment}",
                f"{one['targets']:,}",
                figure(one[judged["reference"]][metric]["value"]),
                figure(one[last][metric]["value"]),
                figure(lead["value"], sign="+"),
                interval(lead, sign="+"),
            )
    console.print(table)


def _print_shares(
    console: Console, title: str, shares: Mapping[str, Mapping[str, float | None]]
) -> None:
    if not shares:
        return
    table = Table(title=title, title_justify="left")
    table.add_column("")
    table.add_column("share", justify="right")
    table.add_column("", justify="right")
    for name, row in shares.items():
        cells = (figure(row["value"]), interval(row, "-"))
        table.add_row(name.removeprefix("score.rules."), *cells)
    console.print(table)


def _metrics(judged: Result) -> list[str]:
    return [f"{name}@{judged['length']}" for name in ("hr", "ndcg", "mrr")]
