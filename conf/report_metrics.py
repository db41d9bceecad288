"""Print a model's figures as tables for people: quality, segments, cost."""

from typing import Any

from rich.console import Console
from rich.table import Table

from conf.contract import MODEL_NAME
from conf.report_comparison import print_costs

Result = dict[str, Any]
_MOST_FIGURES = 2  # of the model in the table of segments; each has its bounds beside it


def print_metrics(console: Console, metrics: Result) -> None:
    """Print the test figures of the model beside those of the baselines."""
    models: dict[str, dict[str, float]] = metrics["test"]
    if "test_rows" in metrics:
        title = f"test part, {metrics['test_rows']:,} impressions"
    else:
        title = f"test part, all items ranked, {metrics['test_users']:,} users"
    table = Table(title=title, title_justify="left")
    table.add_column("model")
    names = list(next(iter(models.values())))
    for name in names:
        table.add_column(name, justify="right")
    for model, figures in models.items():
        table.add_row(model, *(f"{figures[name]:.4f}" for name in names))
    console.print(table)
    if metrics.get("segments", {}).get("all"):
        _print_segments(console, metrics["segments"])
    if "scoring" in metrics:
        print_costs(console, {MODEL_NAME: {**metrics.get("training", {}), **metrics["scoring"]}})


def _print_segments(console: Console, segments: Result) -> None:
    whole = segments["all"]["all"]
    shown = list(whole[MODEL_NAME])[:_MOST_FIGURES]
    baselines = [name for name in whole if name not in ("targets", MODEL_NAME)]
    table = Table(title="segments; bounds of 95 in 100 draws of the users", title_justify="left")
    table.add_column("segment")
    others = [f"{name} {shown[-1]}" for name in baselines]
    for name in ("targets", *(head for figure in shown for head in (figure, "")), *others):
        table.add_column(name, justify="right")
    for division, found in segments.items():
        for segment, figures in found.items():
            own = [figures[MODEL_NAME][name] for name in shown]
            table.add_row(
                segment if division == "all" else f"{division} {segment}",
                f"{figures['targets']:,}",
                *(cell for one in own for cell in (
                    f"{one['value']:.4f}", f"{one['low']:.4f}-{one['high']:.4f}")),
                *(f"{figures[name][shown[-1]]['value']:.4f}" for name in baselines),
            )  # fmt: skip
    console.print(table)
