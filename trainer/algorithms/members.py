"""Fitted models that can become the member of a blend, or be published alone."""

from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from conf.contract import Manifest
from conf.errors import ConfigError, VersionError
from conf.privacy.learned import learned_from_erased, told_learned
from conf.settings.config import Config
from trainer.algorithms.counted import measured_fit
from trainer.models.bundle import load_bundle, model_section, require_unseen
from trainer.models.counting import section_of
from trainer.models.fit_source import FitSource
from trainer.models.hybrid import NEURAL
from trainer.models.scorer import ModelScorer, Scorer
from trainer.retrieval.train import Best, best_weights, network_scorer
from trainer.training.job import Refit


class Member(NamedTuple):
    """A fitted model with all that its bundle needs."""

    scorer: Scorer
    section: dict[str, Any]
    weights: dict[str, Tensor]
    figures: dict[str, Any]
    refit: Refit | None = None
    """How to train the network again; None if the member is not a network trained in this run."""


def counted_member(name: str, config: Config, source: FitSource) -> Member:
    """Return a counting model, fitted to the source."""
    counting, cost = measured_fit(name, source)
    section = section_of(name, config.train)
    return Member(counting, section, counting.weights(), {"training": cost})


def trained_member(config: Config, manifest: Manifest, work: Path) -> tuple[Member, Best]:
    """Return the network that is best on validation, as a member and with its training."""
    best = best_weights(alone(config), manifest, work)
    member = network_member(config, manifest, best.weights, best.figures)
    return member._replace(refit=best.refit), best


def network_member(
    config: Config, manifest: Manifest, weights: dict[str, Tensor], figures: dict[str, Any]
) -> Member:
    """Return the network of `train.model` with these weights."""
    section = model_section(config, manifest)
    return Member(network_scorer(section, weights, manifest), section, weights, figures)


def published_member(config: Config, manifest: Manifest, model_id: str) -> Member:
    """Load a published network, which must be of this dataset: it must not know held-out events."""
    bundle, model = load_bundle(Path(config.run.output), model_id)
    if bundle.dataset_id != manifest.id:
        raise ConfigError(
            f"train.hybrid.neural={model_id} was trained on dataset {bundle.dataset_id} and may "
            f"have seen held-out events of this dataset, {manifest.id}; name a model that was "
            "trained on this dataset, or set it to null to train one"
        )
    learned = learned_from_erased(Path(config.run.output), model_id)
    if learned != "no":
        raise VersionError(
            f"train.hybrid.neural={model_id} {told_learned(learned)}; set it to null to train one"
        )
    require_unseen(bundle, "valid")
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    return Member(ModelScorer(model), bundle.model, weights, {"id": model_id})


def alone(config: Config) -> Config:
    """Return the configuration that trains the network alone."""
    train = config.train.model_copy(update={"algorithm": NEURAL})
    return config.model_copy(update={"train": train})
