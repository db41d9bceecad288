"""The page of an outcome: rates, comparisons, estimates and the ledger, without users."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from conf.pages import outcomes as told
from conf.pages.blocks import Chart, Section, Table
from conf.pages.page import Page, Tile
from conf.pages.plot import Axis, Point, Series, plot
from conf.pages.text import figure, interval, number
from conf.workspace.hashes import canonical_hash
from conf.workspace.output_file import write_whole

COMPARISONS = "comparisons"
"""Folder in the workspace."""
Result = dict[str, Any]
_COMPARED = (
    "The users of the canary compared with all others over the same time, by the group that they "
    "are assigned to, whatever list they saw. p is the probability of a difference at least this "
    "large if both versions are equally good."
)
_POLICY = (
    "What other lists would have got at the places that were shown, estimated from the places that "
    "were drawn at random. Support: places at which the item of those lists could have been."
)
_REFUSED = "The log cannot say what these lists would have got, for these reasons."


def write_outcome(workspace: Path, result: Result, output: Path | None) -> Path:
    """Write the page and return its path.

    Args:
        workspace: Folder of the workspace.
        result: Of `headrace outcome`.
        output: The file; None: one in `comparisons/` that is named after all of the result, so two
            runs have one file only if they say the same.
    """
    if output is None:
        days = "-to-".join(dict.fromkeys(result["days"]))
        name = f"outcome-{days}-{canonical_hash(result)[:12]}.html"
        output = workspace / COMPARISONS / name
        output.parent.mkdir(parents=True, exist_ok=True)
    write_whole(output, outcome_page(result).render())
    return output


def outcome_page(result: Result) -> Page:
    """Return the page with the result of `headrace outcome`."""
    days = told.days_of(result)
    return Page(
        kind="Outcome",
        title=days,
        note=f"lists that were shown on {days}, and the events after that",
        tiles=_tiles(result),
        sections=[
            _rates(result),
            *([_comparisons(result)] if result["comparisons"] else []),
            *(_policy(one) for one in result.get("policies", ())),
            *([_refused(result)] if result.get("refused") else []),
            _ledger(result),
        ],
    )


def _tiles(result: Result) -> list[Tile]:
    rows = result["versions"]
    tiles = [
        Tile("versions", number(len({row["version"] for row in rows}))),
        Tile("shown", number(sum(row["shown"] for row in rows))),
        Tile("acted on", number(sum(row["acted"] for row in rows))),
    ]
    for row in result["comparisons"][:1]:
        found = row["difference"]
        tiles.append(Tile("canary", figure(found["value"], sign="+"), interval(found, sign="+")))
    return tiles


def _rates(result: Result) -> Section:
    counts, rows = result["counts"], told.rates_named(result)
    tables = [_rate_table("Versions", "lists", rows, counts)]
    folded = [
        _rate_table(title, what, inner, counts)
        for name, row in rows.items()
        for title, what, inner in told.breakdowns(name, row)
    ]
    charts = [_chart(name, row, counts) for name, row in rows.items()
              if len(row["by_position"]) > 1]  # fmt: skip
    note = f"{told.what_counts(counts)} The interval takes the rows of a user together."
    return Section("rates", "What was shown", note, tables=tables, charts=charts, folded=folded)


def _rate_table(caption: str, what: str, rows: Mapping[Any, Result], counts: Result) -> Table:
    cells = [[str(name), *told.rate_cells(row)] for name, row in rows.items()]
    return Table(caption, [what, *told.rate_header(counts)], cells)


def _chart(name: str, row: Result, counts: Result) -> Chart:
    places = row["by_position"]
    points = [
        Point(float(place), one["rate"], "", one["low"], one["high"])
        for place, one in places.items()
        if one["rate"] is not None
    ]
    title = f"{name}: rate by place"
    drawing = plot(title, [Series("rate", points)], Axis("place"), Axis("rate"))
    return Chart(title, drawing, _rate_table(title, "place", places, counts))


def _comparisons(result: Result) -> Section:
    rows = [told.compared_cells(row) for row in result["comparisons"]]
    table = Table("Canaries", told.COMPARED_HEADER, rows, 2)
    return Section("canaries", "Canaries", _COMPARED, tables=[table])


def _policy(found: Result) -> Section:
    scenario = found["scenario"]
    tables = [
        Table("Estimates", told.ESTIMATE_HEADER, told.estimate_rows(found)),
        Table("How sure", ["", ""], told.policy_facts(found)),
    ]
    return Section(
        "policy" if scenario is None else f"policy-{scenario}",
        told.lists_named(found["policy"], scenario),
        f"{_POLICY} {told.support_told(found)}.",
        tables=tables,
    )


def _refused(result: Result) -> Section:
    rows = [[told.lists_named(one["policy"], one["scenario"]), one["why"]]
            for one in result["refused"]]  # fmt: skip
    table = Table("Refused", ["lists", "why"], rows, 2)
    return Section("refused", "Not estimated", _REFUSED, tables=[table])


def _ledger(result: Result) -> Section:
    table = Table("Ledger", told.LEDGER_HEADER, told.ledger_rows(result["ledger"]), 2)
    notes = " ".join(f"{note}." for note in result["notes"])
    return Section("ledger", "Ledger", notes, tables=[table])
