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
from conf.errors import ConfigError
from conf.settings.config import Config
from trainer.algorithms.blend_weights import Blend, choose_blend, count_blends
from trainer.algorithms.counted import measured_fit
from trainer.data.trained_on import require_refit
from trainer.evaluation.efficiency import training_cost
from trainer.evaluation.figures import count_on_workers, refit_figures, source_of, test_figures
from trainer.evaluation.metrics import figure
from trainer.models.bundle import (
    METRICS_NAME,
    Trained,
    load_bundle,
    model_section,
    require_unseen,
    with_prefix,
)
from trainer.models.counting import section_of
from trainer.models.fit_source import FitSource
from trainer.models.hybrid import NEURAL, Hybrid
from trainer.models.scorer import ModelScorer, Scorer
from trainer.retrieval.train import best_weights, network_scorer, refitted, require_validation
from trainer.training.job import Refit
from trainer.training.learner import num_parameters

log = logging.getLogger(__name__)


class _Member(NamedTuple):
    scorer: Scorer
    section: dict[str, Any]
    weights: dict[str, Tensor]
    figures: dict[str, Any]
    refit: Refit | None = None
    """How to train the network again; None if the member is not a network trained in this run."""


def train(config: Config, manifest: Manifest, work: Path) -> Trained:
    """Return the blend with its weights and figures; see `trainer.retrieval.train.train`."""
    require_refit(config.train.refit, manifest)
    members, scorers = _members(config, manifest, work)
    started = time.monotonic()
    blend, best = _chosen_blend(config, manifest, scorers)
    blending_seconds = round(time.monotonic() - started, 1)
    log.info("train: blend %s, %s %.4f in validation", blend, config.train.metric, best)
    weights = _all_weights(members)
    metrics: dict[str, Any] = {
        **test_figures(config, manifest, Hybrid(scorers, blend)),
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


def _all_weights(members: Mapping[str, _Member]) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = {}
    for name, member in members.items():
        weights |= with_prefix(name, member.weights)
    return weights


def _refitted(
    config: Config, manifest: Manifest, work: Path, members: Mapping[str, _Member]
) -> tuple[dict[str, _Member], float]:
    """Fit all members again, with the data that `train.refit` adds; return them and the seconds."""
    started, source = time.monotonic(), source_of(config, manifest, refit=True)
    again = {}
    for name, member in members.items():
        if member.refit is None:
            again[name] = _counted(name, config, source)
            continue
        fitted, _ = refitted(_alone(config), manifest, work / "refit", member.refit)
        again[name] = _network(config, manifest, fitted.weights, member.figures)
    return again, time.monotonic() - started


def _cost(
    config: Config, members: Sequence[_Member], weights: dict[str, Tensor], seconds: float
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
        training_cost(models / member.figures["id"] / METRICS_NAME)
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
    _, scorers = _members(config, manifest, work)
    return _chosen_blend(config, manifest, scorers)[1]


def _members(
    config: Config, manifest: Manifest, work: Path
) -> tuple[dict[str, _Member], dict[str, Scorer]]:
    require_validation(manifest)
    names: tuple[str, ...] = config.train.hybrid.members
    members = {name: _member(name, config, manifest, work) for name in names}
    return members, {name: member.scorer for name, member in members.items()}


def _member(name: str, config: Config, manifest: Manifest, work: Path) -> _Member:
    if name != NEURAL:
        return _counted(name, config, source_of(config, manifest))
    if config.train.hybrid.neural is not None:
        return _published(config, manifest, config.train.hybrid.neural)
    best = best_weights(_alone(config), manifest, work)
    return _network(config, manifest, best.weights, best.figures)._replace(refit=best.refit)


def _alone(config: Config) -> Config:
    """Return the configuration that trains the network alone."""
    train = config.train.model_copy(update={"algorithm": NEURAL})
    return config.model_copy(update={"train": train})


def _counted(name: str, config: Config, source: FitSource) -> _Member:
    counting, cost = measured_fit(name, source)
    section = section_of(name, config.train)
    return _Member(counting, section, counting.weights(), {"training": cost})


def _network(
    config: Config, manifest: Manifest, weights: dict[str, Tensor], figures: dict[str, Any]
) -> _Member:
    section = model_section(config, manifest)
    return _Member(network_scorer(section, weights, manifest), section, weights, figures)


def _published(config: Config, manifest: Manifest, model_id: str) -> _Member:
    """Load a published network, which must be of this dataset: it must not know held-out events."""
    bundle, model = load_bundle(Path(config.run.output), model_id)
    if bundle.dataset_id != manifest.id:
        raise ConfigError(
            f"train.hybrid.neural={model_id} was trained on dataset {bundle.dataset_id} and may "
            f"have seen held-out events of this dataset, {manifest.id}; name a model that was "
            "trained on this dataset, or set it to null to train one"
        )
    require_unseen(bundle, "valid")
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    return _Member(ModelScorer(model), bundle.model, weights, {"id": model_id})


def _chosen_blend(
    config: Config, manifest: Manifest, scorers: Mapping[str, Scorer]
) -> tuple[dict[str, float], float]:
    """Return each member's weight and the figure on validation, the only part that is read."""
    train = config.train
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
    return dict(zip(scorers, blend, strict=True)), best
