"""The sections of a model card that show figures; None if there is nothing to show."""

from collections.abc import Sequence
from typing import Any

from conf.contract import CUT_PARTS, MODEL_NAME, Manifest
from conf.pages.blocks import Chart, Section, Table, bar_chart
from conf.pages.charts import Distribution
from conf.pages.plot import Axis, Point, Series, plot
from conf.pages.text import COST_HEADER, cost_cells, figure, interval, number, share
from trainer.evaluation.segments import POPULARITY
from trainer.pages.weak_spots import Spot, network_figures, segment_name

_BOUNDS = "95% interval"
_DIVISIONS = {"activity": "By events in the history", "users": "By known and new users",
              "popularity": "By popularity of the item"}  # fmt: skip
_KINDS = (
    "Head items are the most popular items, which together have half of the training events. Mid "
    "items are the next ones, up to 80% of the events. Tail items are all others with an event; "
    "cold items have none. New users have no training row: no event in the training part, or one."
)
_LISTS = (
    "Coverage is the share of the catalogue that is in at least one list of the test part. The "
    "Gini coefficient is 0 if all items are recommended equally often, and near 1 if a few items "
    "get nearly all recommendations. Novelty is the mean information of a recommended item in "
    "bits; it is higher for rare items."
)
_SPOTS = "Found in the figures on this page by fixed rules; each finding names its rule."
_FIGURES = (
    "hr@k is the share of targets among the first k items; ndcg@k and mrr@k also count how high "
    "they rank."
)
_INTERVALS = "The 95% intervals come from drawing users at random, with replacement."

Metrics = dict[str, Any]


def data_section(manifest: Manifest, settings: Sequence[Sequence[str]]) -> Section:
    """Return the dataset that the model was trained on, and the settings that are not defaults."""
    split = manifest.config.get("etl", {}).get("split", {})
    rows = [
        ["dataset", manifest.id],
        ["logical date", manifest.logical_date],
        ["events up to", manifest.as_of],
        ["split", ", ".join(f"{key} {value}" for key, value in split.items() if value is not None)],
        *(
            [f"{part} part from", manifest.cuts[key]]
            for key, part in CUT_PARTS.items()
            if key in manifest.cuts
        ),
        ["event types", ", ".join(manifest.event_types)],
        *([name.replace("_", " "), number(count)] for name, count in manifest.counts.items()),
    ]
    return Section(
        "data",
        "Training data and settings",
        tables=[
            Table("Data", ["property", "value"], rows, 2),
            Table("Settings that differ from the defaults", ["setting", "value"], settings, 2),
        ],
    )


def spots_section(spots: Sequence[Spot]) -> Section:
    """Return the weak spots."""
    rows = [list(spot) for spot in spots]
    tables = [Table("Weak spots", ["finding", "figures", "rule"], rows, 3)] if rows else []
    note = _SPOTS if rows else "The rules found no weak spot."
    return Section("weak-spots", "Known weak spots", note, tables=tables)


def quality_section(metrics: Metrics) -> Section:
    """Return the figures of the model and the baselines on the test part."""
    test, whole = metrics.get("test", {}), metrics.get("segments", {}).get("all", {}).get("all", {})
    tables = []
    kind = "targets" if "test_users" in metrics else "impressions"
    if whole:
        bounded = list(whole[MODEL_NAME])
        header = ["model", *(cell for name in bounded for cell in (name, _BOUNDS))]
        rows = [[model, *_cells(whole[model], bounded)] for model in test]
        tables.append(Table(f"Test part, {number(whole['targets'])} {kind}", header, rows))
    refit = metrics.get("refit")
    ranked = "leaving out" if metrics.get("drop_seen", True) else "including"
    note = (
        "A target is the item that a user took next. For each target all items of the catalogue "
        f"are ranked, {ranked} items that the user has already seen. A tie counts against the "
        f"model. {_FIGURES} {_INTERVALS}"
        if "test_users" in metrics
        else f"Figures for the impressions of the test part. {_INTERVALS}"
    )
    if not whole:
        note += f" The test part has no {kind}, so there are no figures."
    if refit is not None:
        epochs = f", {refit['epochs']} epochs" if "epochs" in refit else ""
        note += (
            " The figures are those of the model trained on the training part alone. The published "
            f"model was then trained again with more data ({refit['trained_on']}{epochs})."
        )
    names = list(test.get(MODEL_NAME, {}))
    again = {"refitted": refit["test"][MODEL_NAME]} if refit is not None and "test" in refit else {}
    rows = [
        [model, *(figure(figures[name]) for name in names)]
        for model, figures in {**test, **again}.items()
    ]
    every = Table("All figures of the test part", ["model", *names], rows)
    return Section("quality", "Quality", note, tables=tables, folded=[every])


def segments_section(metrics: Metrics) -> Section | None:
    """Return the figures by kind of user and target."""
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
                *(figure(figures[model][names[0]]["value"]) for model in others),
            ]
            for segment, figures in found.items()
        ]
        if names[0].startswith("hr@"):
            charts.append(_segment_chart(division, found, names[0]))
        tables.append(Table(_DIVISIONS[division], header, rows))
    return Section("segments", "Segments", _KINDS, charts=charts, folded=tables)


def _segment_chart(division: str, found: dict[str, Any], name: str) -> Chart:
    """Return a chart of the figures of the model and of the best baseline in each segment."""
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
    """Return how recommendations are spread over the catalogue."""
    lists = metrics.get("lists")
    if not lists:
        return None
    models = [name for name in lists if name not in ("length", "items")]
    figures = [
        [
            name,
            share(lists[name]["coverage"]),
            figure(lists[name]["gini"], 3),
            figure(lists[name]["novelty"], 2),
            *(share(lists[name]["shares"][k]) for k in POPULARITY),
        ]
        for name in models
    ]
    items = sum(lists["items"].values())
    series = {"of the catalogue": [lists["items"][kind] / max(items, 1) for kind in POPULARITY]}
    if lists[MODEL_NAME]["coverage"] is not None:
        own = lists[MODEL_NAME]["shares"]
        series["of recommendations"] = [own[kind] for kind in POPULARITY]
    title = "Share of the catalogue and of recommendations"
    return Section(
        "long-tail",
        "Coverage and long tail",
        f"{_LISTS} {_KINDS.partition(' New')[0]}",
        charts=[bar_chart(Distribution(title, "", POPULARITY, series, is_share=True))],
        tables=[
            Table(
                f"Lists of {lists['length']} items, with shares of recommendations by kind of item",
                [
                    "model",
                    "coverage",
                    "Gini",
                    "novelty",
                    *(f"{kind} items" for kind in POPULARITY),
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
        rows.append(["rows per second in training", f"{training['rows_per_second']:,.1f}"])
    if "precision" in training:
        rows.append(["precision of training", training["precision"]])
        cpus = f"{training['workers']}, {training['cpus_per_worker']}"
        rows.append(["workers, CPUs of each", cpus])
    cost = Table("Cost", ["property", "value"], rows)
    curve: list[dict[str, Any]] = network_figures(metrics).get("epochs", [])
    note = "" if curve else "The model is fitted without epochs, so there is no curve."
    skip = {"epoch", "rows", "seconds", "padding_share", "rate_scale", "peak_memory_bytes"}
    charts = [
        _epoch_chart(name, [(record["epoch"] + 1, record[name]) for record in curve])
        for name in (curve[0] if curve else {})
        if name not in skip and all(record[name] is not None for record in curve)
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
    """Return predicted and observed rates; for a model without probabilities only a note."""
    labels = metrics.get("calibration", {})
    if not labels:
        note = (
            "The model predicts ratings, not probabilities, so there is nothing to calibrate."
            if algorithm == "ranking"
            else "The scores of this model only order the items; they are not probabilities, so "
            "there is nothing to calibrate."
        )
        return Section("calibration", "Calibration", note)
    charts = [_reliability_chart(f"Reliability of {label}", bins) for label, bins in labels.items()]
    errors = [
        [name, figure(value)]
        for name, value in metrics["test"][MODEL_NAME].items()
        if name.rpartition(".")[2] == "ece"
    ]
    return Section(
        "calibration",
        "Calibration",
        "Impressions of the test part, grouped by predicted probability. On the dashed line the "
        "outcome happens as often as predicted. The expected calibration error is the mean "
        "distance from this line.",
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
        Axis("predicted", ends=both),
        Axis("observed", ends=both),
        even=True,
    )
    return Chart(title, drawn, Table(title, ["predicted", "observed", "share of rows"], rows))


def _cells(figures: dict[str, dict[str, float | None]], names: Sequence[str]) -> list[str]:
    """Return each figure and its interval."""
    return [
        cell for name in names for cell in (figure(figures[name]["value"]), interval(figures[name]))
    ]
