"""Fit and measure a hybrid: its members on the training part, their weights on validation.

With `train.refit` the members are fitted again afterwards; their weights in the blend stay.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from conf.contract import Manifest
from conf.settings.config import Config
from trainer.algorithms.blend_weights import Blend, choose_blend, count_blends
from trainer.algorithms.members import (
    Member,
    alone,
    counted_member,
    network_member,
    published_member,
    trained_member,
)
from trainer.data.trained_on import require_refit
from trainer.evaluation.efficiency import training_cost
from trainer.evaluation.figures import (
    count_on_workers,
    held_out_figures,
    refit_figures,
    source_of,
)
from trainer.evaluation.metrics import figure
from trainer.models.bundle import Trained, with_prefix
from trainer.models.hybrid import NEURAL, Hybrid
from trainer.models.scorer import Scorer
from trainer.retrieval.train import refitted, require_validation
from trainer.training.learner import num_parameters

log = logging.getLogger(__name__)


class ChosenBlend(NamedTuple):
    """A blend that was searched for on validation."""

    weights: dict[str, float]
    """By member; they add up to 1."""
    figure: float
    """`train.metric` on validation."""
    seconds: float


def train(config: Config, manifest: Manifest, work: Path) -> Trained:
    """Return the blend with its weights and figures; see `trainer.retrieval.train.train`."""
    require_refit(config.train.refit, manifest)
    members = _members(config, manifest, work)
    return trained_from(config, manifest, work, members, chosen_blend(config, manifest, members))


def trained_from(
    config: Config,
    manifest: Manifest,
    work: Path,
    members: Mapping[str, Member],
    chosen: ChosenBlend,
    fitted: Mapping[str, Scorer] | None = None,
) -> Trained:
    """Return the blend of fitted members with its weights and figures.

    Args:
        config: The run's configuration.
        manifest: The dataset.
        work: Folder of checkpoints, for `train.refit`.
        members: The members of `chosen`.
        chosen: The blend that validation chose.
        fitted: Counting models by name that are fitted already, for the baselines.
    """
    blend, best, blending_seconds = chosen
    scorers = {name: member.scorer for name, member in members.items()}
    weights = _all_weights(members)
    metrics: dict[str, Any] = {
        **held_out_figures(config, manifest, Hybrid(scorers, blend), fitted),
        "valid": {config.train.metric: best},
        "blend": blend,
        "blending_seconds": blending_seconds,
        "members": {name: member.figures for name, member in members.items()},
        "training": _cost(config, list(members.values()), weights, blending_seconds),
    }
    sections = {name: member.section for name, member in members.items()}
    if config.train.refit != "none":
        members, seconds = _refitted(config, manifest, work, members)
        scorer = Hybrid({name: member.scorer for name, member in members.items()}, blend)
        metrics["refit"] = refit_figures(config, manifest, scorer, seconds)
        weights = _all_weights(members)
    return Trained({"members": sections, "blend": blend}, weights, metrics)


def _all_weights(members: Mapping[str, Member]) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = {}
    for name, member in members.items():
        weights |= with_prefix(name, member.weights)
    return weights


def _refitted(
    config: Config, manifest: Manifest, work: Path, members: Mapping[str, Member]
) -> tuple[dict[str, Member], float]:
    """Fit all members again, with the data that `train.refit` adds; return them and the seconds."""
    started, source = time.monotonic(), source_of(config, manifest, refit=True)
    again = {}
    for name, member in members.items():
        if member.refit is None:
            again[name] = counted_member(name, config, source)
            continue
        fitted, _ = refitted(alone(config), manifest, work / "refit", member.refit)
        again[name] = network_member(config, manifest, fitted.weights, member.figures)
    return again, time.monotonic() - started


def _cost(
    config: Config, members: Sequence[Member], weights: dict[str, Tensor], seconds: float
) -> dict[str, Any]:
    """Return the cost of the whole training, including that of a published network.

    Args:
        config: The run's configuration.
        members: Members of the blend.
        weights: Weights of all members.
        seconds: Time spent on finding the blend.
    """
    models = Path(config.run.output) / "models"
    costs = [
        training_cost(models / member.figures["id"])
        if "id" in member.figures
        else member.figures["training"]
        for member in members
    ]
    each = [cost["seconds"] for cost in costs]
    return {
        "seconds": None if None in each else round(sum(each) + seconds, 1),
        "parameters": num_parameters(weights),
        "peak_memory_bytes": max(cost["peak_memory_bytes"] or 0 for cost in costs) or None,
    }


def blended_figure(config: Config, manifest: Manifest, work: Path) -> float:
    """Return `train.metric` of the best blend on validation."""
    return chosen_blend(config, manifest, _members(config, manifest, work)).figure


def _members(config: Config, manifest: Manifest, work: Path) -> dict[str, Member]:
    require_validation(manifest)
    names: tuple[str, ...] = config.train.hybrid.members
    return {name: _member(name, config, manifest, work) for name in names}


def _member(name: str, config: Config, manifest: Manifest, work: Path) -> Member:
    if name != NEURAL:
        return counted_member(name, config, source_of(config, manifest))
    if config.train.hybrid.neural is not None:
        return published_member(config, manifest, config.train.hybrid.neural)
    return trained_member(config, manifest, work)[0]


def chosen_blend(config: Config, manifest: Manifest, members: Mapping[str, Member]) -> ChosenBlend:
    """Return the blend with the highest figure on validation, the only part that is read."""
    started, train = time.monotonic(), config.train
    scorers = {name: member.scorer for name, member in members.items()}
    largest = int(train.metric.partition("@")[2])

    def measure(blends: Sequence[Blend]) -> list[float]:
        count = partial(
            count_blends,
            blends=blends,
            batch_rows=train.eval_batch_rows,
            largest=largest,
            drop_seen=config.score.drop_seen,
        )
        counts = count_on_workers(config, manifest, "valid", scorers, count)
        found = [figure(each, train.metric) for each in counts]
        return [value for value in found if value is not None]  # the part has targets

    spec = train.hybrid
    blend, best = choose_blend(
        measure, len(scorers), grid_parts=spec.grid_parts, halvings=spec.halvings
    )
    weights = dict(zip(scorers, blend, strict=True))
    log.info("train: blend %s, %s %.4f in validation", weights, train.metric, best)
    return ChosenBlend(weights, best, round(time.monotonic() - started, 1))
