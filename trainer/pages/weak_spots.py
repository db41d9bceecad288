"""Weak spots of a model, found in its figures by fixed rules; each finding names its rule."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from conf.contract import MODEL_NAME

FEWEST_TARGETS = 30
"""Fewest targets that a segment needs for a rule."""
FAR = 2.0
"""A segment that is more than this many times worse than the whole is a weak spot."""
LOW_COVERAGE = 0.1
MUCH_HEAD = 0.75
UNSURE = 0.25
HIGH_ECE = 0.02
_LOSSES = ("log_loss", "squared_error")

Metrics = dict[str, Any]


class Spot(NamedTuple):
    """One weak spot."""

    what: str
    figures: str
    rule: str


def weak_spots(metrics: Metrics) -> list[Spot]:
    """Return all weak spots that the rules find in a model's `metrics.json`."""
    return [spot for rule in RULES for spot in rule(metrics)]


def worse_than_a_baseline(metrics: Metrics) -> Iterator[Spot]:
    """Find segments, or all targets, where a baseline is better than the model."""
    rule = f"a baseline has a better figure in a segment of at least {FEWEST_TARGETS} targets"
    for where, segment in _segments(metrics):
        for name, own in segment[MODEL_NAME].items():
            others = {
                model: figures[name]["value"]
                for model, figures in segment.items()
                if model not in ("targets", MODEL_NAME)
            }
            best = max(others, key=lambda model: _gain(name, others[model]), default=None)
            if best is not None and _gain(name, others[best]) > _gain(name, own["value"]):
                side = "above" if _is_loss(name) else "below"
                yield Spot(
                    f"{where}: {name} is {side} that of {best}",
                    f"{own['value']:.4f} against {others[best]:.4f}, {segment['targets']:,} "
                    f"targets; {_apart(own, segment[best][name])}",
                    rule,
                )


def far_from_the_whole(metrics: Metrics) -> Iterator[Spot]:
    """Find segments that are served much worse than all targets, beyond chance."""
    whole = metrics.get("segments", {}).get("all", {}).get("all", {}).get(MODEL_NAME, {})
    rule = (
        f"even the better end of the 95% interval is more than {FAR:g} times worse than the figure "
        f"of all targets, in a segment of at least {FEWEST_TARGETS} targets"
    )
    for where, segment in _segments(metrics):
        for name, own in segment[MODEL_NAME].items():
            value = whole[name]["value"]
            if own["low"] is None:
                continue
            is_far = own["low"] > FAR * value if _is_loss(name) else own["high"] < value / FAR
            if is_far:
                yield Spot(
                    f"{where}: {name} is far worse than that of all targets",
                    f"{own['value']:.4f} against {value:.4f}, {segment['targets']:,} targets",
                    rule,
                )


def narrow_lists(metrics: Metrics) -> Iterator[Spot]:
    """Find lists that show little of the catalogue, or mostly popular items."""
    lists = metrics.get("lists", {})
    own = lists.get(MODEL_NAME)
    if not own or own["coverage"] is None:
        return
    if own["coverage"] < LOW_COVERAGE:
        yield Spot(
            "most of the catalogue is recommended to nobody",
            f"{own['coverage']:.1%} of the items are in a list of {lists['length']}",
            f"the lists of the test part contain less than {LOW_COVERAGE:.0%} of the items",
        )
    if own["shares"]["head"] > MUCH_HEAD:
        yield Spot(
            "lists contain mostly the most popular items",
            f"{own['shares']['head']:.1%} of the recommendations are head items, which have about "
            "half of the training events",
            f"more than {MUCH_HEAD:.0%} of the recommendations are head items",
        )


def too_few_targets(metrics: Metrics) -> Iterator[Spot]:
    """Find figures that are too uncertain to base a choice on."""
    whole = metrics.get("segments", {}).get("all", {}).get("all", {})
    for name, own in whole.get(MODEL_NAME, {}).items():
        if own["low"] is None:
            yield Spot(
                f"{name} is uncertain",
                f"{own['value']:.4f}, without an interval, {whole['targets']:,} targets",
                "all targets are those of one user",
            )
            continue
        half = (own["high"] - own["low"]) / 2
        if half > UNSURE * abs(own["value"]):
            yield Spot(
                f"{name} is uncertain",
                f"{own['value']:.4f}, between {own['low']:.4f} and {own['high']:.4f}, "
                f"{whole['targets']:,} targets",
                f"half the width of the 95% interval is more than {UNSURE:.0%} of the figure",
            )


def ended_early(metrics: Metrics) -> Iterator[Spot]:
    """Find a training whose last epoch was its best: more epochs may help."""
    network = network_figures(metrics)
    curve = network.get("epochs", [])
    if len(curve) > 1 and network.get("best_epoch") == len(curve) - 1:
        yield Spot(
            "training ended while validation was still improving",
            f"the last of {len(curve)} epochs is the best on validation",
            "the best epoch is the last one",
        )


def uncalibrated(metrics: Metrics) -> Iterator[Spot]:
    """Find labels whose predicted probabilities are wrong."""
    for name, value in metrics.get("test", {}).get(MODEL_NAME, {}).items():
        if name.rpartition(".")[2] == "ece" and (value or 0.0) > HIGH_ECE:
            yield Spot(
                "predicted probabilities differ from observed rates",
                f"{name} {value:.4f}: the mean difference",
                f"the expected calibration error is above {HIGH_ECE:g}",
            )


RULES: tuple[Callable[[Metrics], Iterator[Spot]], ...] = (
    worse_than_a_baseline, far_from_the_whole, narrow_lists, too_few_targets, ended_early,
    uncalibrated,
)  # fmt: skip


def network_figures(metrics: Metrics) -> Metrics:
    """Return the training figures of the network, which may be a member of a blend.

    They contain its `epochs` and `best_epoch`; {} if there is no network.
    """
    found = (metrics, *metrics.get("members", {}).values())
    return next((figures for figures in found if figures.get("epochs")), {})


def _segments(metrics: Metrics) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the segments that are large enough, each with its display name."""
    for division, found in metrics.get("segments", {}).items():
        for segment, figures in found.items():
            if figures["targets"] >= FEWEST_TARGETS:
                yield segment_name(division, segment), figures


def segment_name(division: str, segment: str) -> str:
    """Return the display name of a segment."""
    return {
        "all": "all targets",
        "activity": f"{segment} events in the history",
        "users": f"{segment} users",
        "popularity": f"{segment} items",
    }[division]


def _apart(own: dict[str, Any], other: dict[str, Any]) -> str:
    if own["low"] is None:
        return "all of one user, so there are no intervals"
    is_apart = own["high"] < other["low"] or other["high"] < own["low"]
    return "the intervals do not overlap" if is_apart else "the intervals overlap"


def _is_loss(name: str) -> bool:
    return name.rpartition(".")[2] in _LOSSES


def _gain(name: str, value: float) -> float:
    """Return a figure with its sign changed if lower is better."""
    return -value if _is_loss(name) else value
