"""A comparison of models as one HTML file: quality against training time."""

from pathlib import Path
from typing import Any

from conf.pages.blocks import Chart, Section, Table
from conf.pages.page import Page
from conf.pages.plot import Axis, Point, Series, plot
from conf.pages.text import COST_HEADER, cost_cells, figure, interval
from conf.workspace.hashes import canonical_hash

COMPARISONS = "comparisons"
"""Folder in the workspace."""
_NOTE = (
    "Each point is a model: its figure on the test part, with a 95% interval, against its training "
    "time. The interval comes from drawing users at random, with replacement."
)

Result = dict[str, Any]


def write_comparison(workspace: Path, result: Result) -> Path:
    """Write the page of a comparison, named after dataset and models, and return its path."""
    models = {name: row["id"] for name, row in result["models"].items()}
    name = f"{result['dataset']}-{canonical_hash(models)[:12]}.html"
    path = workspace / COMPARISONS / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(comparison_page(result).render(), encoding="utf-8")
    return path


def comparison_page(result: Result) -> Page:
    """Return the page with the results of `headrace compare`."""
    metric = result["metric"]
    return Page(
        kind="Comparison",
        title=result["dataset"],
        note=f"{result['targets']:,} targets of the test part, the same for all models",
        tiles=[],
        sections=[
            Section(
                "quality",
                f"{metric} against training time",
                _NOTE,
                charts=_charts(result),
                tables=[_quality(result)],
            ),
            Section("cost", "Cost of each model", tables=[_costs(result)]),
            *([_differences(result)] if result["differences"] else []),
        ],
    )


def _charts(result: Result) -> list[Chart]:
    """Return the plot; nothing if no model has a figure and a known training time."""
    metric = result["metric"]
    known = {
        name: row
        for name, row in result["models"].items()
        if row["seconds"] is not None and row[metric]["value"] is not None
    }
    if not known:
        return []
    points = [
        Point(
            max(row["seconds"], 0.1),
            row[metric]["value"],
            name,
            row[metric]["low"],
            row[metric]["high"],
        )
        for name, row in known.items()
    ]
    title = f"{metric} against training seconds"
    lacking = [name for name in result["models"] if name not in known]
    return [
        Chart(
            title=title,
            drawing=plot(
                title,
                [Series("models", points, is_joined=False)],
                Axis("training seconds", is_log=True),
                Axis(metric),
            ),
            table=Table(
                title,
                ["model", "seconds", metric],
                [
                    [name, f"{row['seconds']:,.1f}", f"{row[metric]['value']:.4f}"]
                    for name, row in known.items()
                ],
            ),
            note=f"Training time unknown: {', '.join(lacking)}." if lacking else "",
        )
    ]


def _quality(result: Result) -> Table:
    metric = result["metric"]
    others = [
        name
        for name in next(iter(result["models"].values()))
        if name.startswith("hr@") and name != metric
    ]
    rows = [
        [
            name,
            figure(row[metric]["value"]),
            interval(row[metric]),
            *(figure(row[other]["value"]) for other in others),
        ]
        for name, row in _best_first(result)
    ]
    return Table("Quality", ["model", metric, "95% interval", *others], rows)


def _costs(result: Result) -> Table:
    rows = [[name, *cost_cells(row)] for name, row in _best_first(result)]
    return Table("Cost", ["model", *COST_HEADER], rows)


def _differences(result: Result) -> Section:
    rows = [
        [name, figure(row["value"], sign="+"), interval(row, sign="+"), figure(row["p"], 3)]
        for name, row in sorted(
            result["differences"].items(), key=lambda pair: -(pair[1]["value"] or 0.0)
        )
    ]
    title = f"{result['metric']} minus that of {result['reference']}"
    header = ["model", "difference", "95% interval", "p"]
    note = "p is how often chance alone gives a difference this large between equally good models."
    return Section("differences", "Differences", note, tables=[Table(title, header, rows)])


def _best_first(result: Result) -> list[tuple[str, Result]]:
    metric = result["metric"]
    return sorted(result["models"].items(), key=lambda pair: -(pair[1][metric]["value"] or 0.0))
