"""The sections of a model card that show figures, None where there is nothing to show."""

from collections.abc import Sequence
from typing import Any

from conf.contract import MODEL_NAME, Manifest
from conf.pages.blocks import Chart, Section, Table, bar_chart
from conf.pages.charts import Distribution
from conf.pages.plot import Axis, Point, Series, plot
from conf.pages.text import COST_HEADER, cost_cells, number, share
from trainer.evaluation.segments import POPULARITY
from trainer.pages.weak_spots import Spot, network_figures, segment_name

_BOUNDS = "95% of draws"
_DIVISIONS = {"activity": "By events in the history", "users": "By user",
              "popularity": "By frequency of the target"}  # fmt: skip
_KINDS = (
    "Head are the most frequent items that hold half of the training events together, mid the next "
    "ones until 80%, tail the others, cold those without an event. New users stand in no row of "
    "the training part."
)
_LISTS = (
    "Coverage is the share of the catalogue that stands in any list of the test part. The Gini "
    "coefficient is 0 where each item has as many places; novelty is the mean information of a "
    "recommended item in bits, more for items that are seldom taken."
)
_SPOTS = "Worked out from the figures on this page by the rules that stand beside them."

Metrics = dict[str, Any]


def data_section(manifest: Manifest, settings: Sequence[Sequence[str]]) -> Section:
    """Return what the model was trained on, and the settings that are no defaults."""
    split = manifest.config.get("etl", {}).get("split", {})
    rows = [
        ["dataset", manifest.id],
        ["logical date", manifest.logical_date],
        ["events up to", manifest.as_of],
        ["split", ", ".join(f"{key} {value}" for key, value in split.items() if value is not None)],
        ["event types", ", ".join(manifest.event_types)],
        *([name.replace("_", " "), number(count)] for name, count in manifest.counts.items()),
    ]
    return Section(
        "data",
        "What it was trained on",
        tables=[
            Table("Data", ["what", "value"], rows, 2),
            Table("Settings that are no defaults", ["setting", "value"], settings, 2),
        ],
    )


def spots_section(spots: Sequence[Spot]) -> Section:
    """Return the weak spots."""
    rows = [list(spot) for spot in spots]
    tables = [Table("Weak spots", ["what", "figures", "rule"], rows, 3)] if rows else []
    note = _SPOTS if rows else "None of the rules found one."
    return Section("weak-spots", "Known weak spots", note, tables=tables)


def quality_section(metrics: Metrics) -> Section:
    """Return the figures of the test part, the baselines' beside the model's."""
    test, whole = metrics.get("test", {}), metrics.get("segments", {}).get("all", {}).get("all", {})
    tables = []
    if whole:
        bounded = list(whole[MODEL_NAME])
        header = ["model", *(cell for name in bounded for cell in (name, _BOUNDS))]
        rows = [[model, *_cells(whole[model], bounded)] for model in test]
        kind = "targets" if "test_users" in metrics else "impressions"
        tables.append(Table(f"Test part, {number(whole['targets'])} {kind}", header, rows))
    refit = metrics.get("refit")
    ranked = (
        "without those that the user has seen" if metrics.get("drop_seen", True) else "seen or not"
    )
    note = (
        f"Every item of the catalogue is ranked, {ranked}, and a tie counts against the model."
        if "test_users" in metrics
        else "Impressions of the test part."
    )
    if refit is not None:
        epochs = f", {refit['epochs']} epochs" if "epochs" in refit else ""
        note += (
            f" The figures are of the training that validation has measured; what is published was "
            f"trained anew afterwards ({refit['trained_on']}{epochs})."
        )
    names = list(test.get(MODEL_NAME, {}))
    again = {"refitted": refit["test"][MODEL_NAME]} if refit is not None and "test" in refit else {}
    rows = [
        [model, *(f"{figures[name]:.4f}" for name in names)]
        for model, figures in {**test, **again}.items()
    ]
    every = Table("All figures of the test part", ["model", *names], rows)
    return Section("quality", "Quality", note, tables=tables, folded=[every])


def segments_section(metrics: Metrics) -> Section | None:
    """Return the figures of kinds of users and targets."""
    divisions = {
        name: found
        for name, found in metrics.get("segments", {}).items()
        if name in _DIVISIONS and found
    }
    if not divisions:
        return None
    charts, tables = [], []
    for division, found in divisions.items():
        first = next(iter(found.values()))
        others = [name for name in first if name not in ("targets", MODEL_NAME)]
        names = list(first[MODEL_NAME])
        header = [
            "segment",
            "targets",
            *(cell for name in names for cell in (name, _BOUNDS)),
            *(f"{model} {names[0]}" for model in others),
        ]
        rows = [
            [
                segment_name(division, segment),
                number(figures["targets"]),
                *_cells(figures[MODEL_NAME], names),
                *(f"{figures[model][names[0]]['value']:.4f}" for model in others),
            ]
            for segment, figures in found.items()
        ]
        if names[0].startswith("hr@"):
            charts.append(_segment_chart(division, found, names[0]))
        tables.append(Table(_DIVISIONS[division], header, rows))
    return Section("segments", "Segments", _KINDS, charts=charts, folded=tables)


def _segment_chart(division: str, found: dict[str, Any], name: str) -> Chart:
    """Return the model's figure in each segment beside that of the best baseline there."""
    best = []
    for figures in found.values():
        others = [
            figures[model][name]["value"]
            for model in figures
            if model not in ("targets", MODEL_NAME)
        ]
        best.append(max(others, default=0.0))
    own = [figures[MODEL_NAME][name]["value"] for figures in found.values()]
    series = {"best baseline": best, MODEL_NAME: own}
    if not any(best):
        series.pop("best baseline")
    title = f"{name}: {_DIVISIONS[division].lower()}"
    return bar_chart(Distribution(title, "", list(found), series, is_share=True))


def lists_section(metrics: Metrics) -> Section | None:
    """Return how the lists' places lie on the catalogue."""
    lists = metrics.get("lists")
    if not lists:
        return None
    models = [name for name in lists if name not in ("length", "items")]
    figures = [
        [
            name,
            share(lists[name]["coverage"]),
            f"{lists[name]['gini']:.3f}",
            f"{lists[name]['novelty']:.2f}",
            *(share(lists[name]["shares"][k]) for k in POPULARITY),
        ]
        for name in models
    ]
    items = sum(lists["items"].values())
    series = {
        "of the catalogue": [lists["items"][kind] / max(items, 1) for kind in POPULARITY],
        "of the places": [lists[MODEL_NAME]["shares"][kind] for kind in POPULARITY],
    }
    title = "Share of items and of the lists' places"
    return Section(
        "long-tail",
        "Coverage and long tail",
        f"{_LISTS} {_KINDS.partition(' New')[0]}",
        charts=[bar_chart(Distribution(title, "", POPULARITY, series, is_share=True))],
        tables=[
            Table(
                f"Lists of {lists['length']}",
                [
                    "model",
                    "coverage",
                    "Gini",
                    "novelty",
                    *(f"places {kind}" for kind in POPULARITY),
                ],
                figures,
            )
        ],
    )


def training_section(metrics: Metrics) -> Section:
    """Return loss and validation figure by epoch, and the cost."""
    training = metrics.get("training", {})
    told = {**training, **metrics.get("scoring", {})}
    rows = [list(row) for row in zip(COST_HEADER, cost_cells(told), strict=True)]
    if "rows_per_second" in training:
        rows.append(["rows a second in training", f"{training['rows_per_second']:,.1f}"])
    cost = Table("Cost", ["what", "value"], rows)
    curve: list[dict[str, Any]] = network_figures(metrics).get("epochs", [])
    note = "" if curve else "Fitted in one go: there is no curve."
    skip = {"epoch", "rows", "seconds", "padding_share", "rate_scale", "peak_memory_bytes"}
    charts = [
        _epoch_chart(name, [(record["epoch"] + 1, record[name]) for record in curve])
        for name in (curve[0] if curve else {})
        if name not in skip
    ]
    return Section("training", "Training and cost", note, charts=charts, tables=[cost])


def _epoch_chart(name: str, curve: Sequence[tuple[int, float]]) -> Chart:
    title = "Loss by epoch" if name == "loss" else f"Validation {name} by epoch"
    points = [Point(epoch, value) for epoch, value in curve]
    rows = [[number(epoch), f"{value:.4f}"] for epoch, value in curve]
    return Chart(
        title,
        plot(title, [Series(name, points)], Axis("epoch"), Axis(name)),
        Table(title, ["epoch", name], rows),
    )


def calibration_section(metrics: Metrics, algorithm: str) -> Section:
    """Return what was said beside what was so; for models without probabilities say so."""
    labels = metrics.get("calibration", {})
    if not labels:
        note = (
            "It says ratings and no probabilities: there is nothing to calibrate."
            if algorithm == "ranking"
            else "Its scores put the items in order and are no probabilities: there is nothing to "
            "calibrate."
        )
        return Section("calibration", "Calibration", note)
    charts = [_reliability_chart(f"Reliability of {label}", bins) for label, bins in labels.items()]
    errors = [
        [name, f"{value:.4f}"]
        for name, value in metrics["test"][MODEL_NAME].items()
        if name.rpartition(".")[2] == "ece"
    ]
    return Section(
        "calibration",
        "Calibration",
        "Rows of the test part by what the model said of them: on the dashed line it happens as "
        "often as it says. The expected calibration error is the mean distance from it.",
        charts=charts,
        tables=[Table("Expected calibration error", ["figure", "value"], errors)],
    )


def _reliability_chart(title: str, bins: Sequence[dict[str, float]]) -> Chart:
    points = [Point(one["said"], one["was"]) for one in bins]
    rows = [[f"{one['said']:.4f}", f"{one['was']:.4f}", share(one["share"])] for one in bins]
    both = (0.0, 1.0)
    drawn = plot(
        title,
        [Series("rows", points)],
        Axis("said", ends=both),
        Axis("happened", ends=both),
        even=True,
    )
    return Chart(title, drawn, Table(title, ["said", "happened", "share of the rows"], rows))


def _cells(figures: dict[str, dict[str, float]], names: Sequence[str]) -> list[str]:
    """Return each figure and its bounds."""
    return [
        cell
        for name in names
        for cell in (
            f"{figures[name]['value']:.4f}",
            f"{figures[name]['low']:.4f} to {figures[name]['high']:.4f}",
        )
    ]
