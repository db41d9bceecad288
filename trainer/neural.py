"""Train and measure a network that scores the whole catalogue."""

import time
from pathlib import Path
from typing import Any

from torch import Tensor

from conf.contract import Manifest, catalogue_size
from conf.errors import InputError
from conf.schema import Config
from trainer.bundle import Trained, build_model
from trainer.evaluate import test_figures
from trainer.scorer import ModelScorer
from trainer.workers import fit, require_trainable, training_figures


def train(config: Config, manifest: Manifest, work: Path) -> Trained:
    """Return the best weights and their figures.

    Args:
        config: The run's configuration.
        manifest: The dataset.
        work: Folder of checkpoints; an interrupted run goes on from what lies there.
    """
    section = config.train.model.model_dump(mode="json")
    weights, figures = best_weights(config, manifest, work)
    model = build_model(section, catalogue_size(manifest))
    model.load_state_dict(weights)
    measured = test_figures(config, manifest, ModelScorer(model.eval()))
    return Trained(section, weights, {**measured, **figures})


def best_weights(
    config: Config, manifest: Manifest, work: Path
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the weights that validation found best, and the figures of the training."""
    require_trainable(config, manifest, "train")
    require_validation(manifest)
    started = time.monotonic()
    weights, cursor = fit(config, manifest, work)
    return weights, training_figures(config, cursor, time.monotonic() - started, weights)


def require_validation(manifest: Manifest) -> None:
    """Refuse a dataset without a validation part."""
    if not manifest.row_groups("valid"):
        raise InputError(
            f"dataset {manifest.id} has no validation part: no user has enough events; "
            "lower etl.min_events_per_user or give a longer log"
        )
