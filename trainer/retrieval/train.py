"""Train and measure a network that scores the whole catalogue."""

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from conf.contract import Manifest, catalogue_size
from conf.errors import ConfigError, InputError
from conf.settings.config import Config
from trainer.data.item_features import content_fields
from trainer.data.trained_on import require_refit, why_nothing_is_held_out
from trainer.evaluation.figures import held_out_figures, refit_figures
from trainer.models.bundle import Trained, build_model, model_section
from trainer.models.scorer import ModelScorer, Scorer
from trainer.retrieval.task import RefitTask, RetrievalTask
from trainer.retrieval.warm_start import require_fitting, write_start
from trainer.training.job import Refit
from trainer.training.workers import Fitted, fit, require_trainable, training_figures

log = logging.getLogger(__name__)


class Best(NamedTuple):
    """The weights that are best on validation."""

    weights: dict[str, Tensor]
    figures: dict[str, Any]
    refit: Refit
    """How to train the same network again."""
    optimizer: dict[str, Tensor]
    """State of the optimiser; empty if it is not saved."""


def train(config: Config, manifest: Manifest, work: Path) -> Trained:
    """Return the best weights, or those refitted with held-out events, and their figures.

    Args:
        config: The run's configuration.
        manifest: The dataset.
        work: Folder of checkpoints; an interrupted run continues from them.
    """
    return trained_from(config, manifest, work, best_weights(config, manifest, work))


def trained_from(
    config: Config,
    manifest: Manifest,
    work: Path,
    best: Best,
    fitted: Mapping[str, Scorer] | None = None,
) -> Trained:
    """Return a trained network with its figures; train it again if `train.refit` asks for it.

    Args:
        config: The run's configuration.
        manifest: The dataset.
        work: Folder of checkpoints.
        best: The weights that are best on validation.
        fitted: Counting models by name that are fitted already, for the baselines.
    """
    section, weights, optimizer = model_section(config, manifest), best.weights, best.optimizer
    scorer = network_scorer(section, weights, manifest)
    log.info("train: measuring on validation and test part")
    metrics = {**held_out_figures(config, manifest, scorer, fitted), **best.figures}
    if config.train.refit != "none":
        again, seconds = refitted(config, manifest, work / "refit", best.refit)
        scorer = network_scorer(section, again.weights, manifest)
        metrics["refit"] = {
            "epochs": best.refit.epochs,
            **refit_figures(config, manifest, scorer, seconds),
        }
        weights, optimizer = again.weights, again.optimizer
    return Trained(section, weights, metrics, optimizer)


def best_weights(config: Config, manifest: Manifest, work: Path) -> Best:
    """Train on the training part; return the weights that are best on validation."""
    require_sound(config, manifest)
    started = time.monotonic()
    weights, cursor, optimizer = fit_network(config, manifest, work)
    figures = training_figures(config, cursor, time.monotonic() - started, weights)
    curve = cursor["curve"][: cursor["best_epoch"] + 1]
    refit = Refit(len(curve), tuple(record["rate_scale"] for record in curve))
    return Best(weights, figures, refit, optimizer)


def require_validation(manifest: Manifest) -> None:
    """Refuse a dataset without a validation part."""
    if not manifest.row_groups("valid"):
        raise InputError(
            f"dataset {manifest.id} has no validation part: {why_nothing_is_held_out(manifest)}"
        )


def refitted(config: Config, manifest: Manifest, work: Path, refit: Refit) -> tuple[Fitted, float]:
    """Train again with the data that `train.refit` adds, for the epochs that validation chose.

    Returns:
        The fitted network, and the seconds that it took.
    """
    log.info("train: training again with train.refit=%s", config.train.refit)
    started = time.monotonic()
    fitted = fit_network(config, manifest, work, refit=refit)
    return fitted, time.monotonic() - started


def fit_network(
    config: Config,
    manifest: Manifest,
    work: Path,
    *,
    refit: Refit | None = None,
    bars: Sequence[float | None] = (),
) -> Fitted:
    """Run the workers on the network; see `trainer.training.workers.fit` for the arguments."""
    if config.train.warm_start.model is not None:
        write_start(config, manifest, work)
    task = RetrievalTask() if refit is None else RefitTask()
    return fit(config, manifest, work, task, refit=refit, bars=bars)


def network_scorer(
    section: dict[str, Any], weights: dict[str, Tensor], manifest: Manifest
) -> ModelScorer:
    """Return the network of a `model_section` and its weights, ready to score."""
    model = build_model(section, catalogue_size(manifest))
    model.load_state_dict(weights)
    return ModelScorer(model.eval())


def require_sound(config: Config, manifest: Manifest) -> None:
    """Refuse a dataset or configuration that cannot be trained with."""
    require_trainable(config, manifest, "train")
    require_validation(manifest)
    _require_times(config, manifest)
    content_fields(config.train.model.content, manifest)
    require_fitting(config, manifest)
    require_refit(config.train.refit, manifest)


def _require_times(config: Config, manifest: Manifest) -> None:
    """Refuse a dataset with order numbers instead of times if the model needs times."""
    wanted = [key for key in ("time_gaps", "calendar") if getattr(config.train.model, key)]
    logs = manifest.config["input"]["events"].values()
    if wanted and any(log["time_unit"] == "order" for log in logs):
        raise ConfigError(
            f"train.model.{wanted[0]} needs the time of each event, but dataset {manifest.id} was "
            "made with time_unit=order; set it to false, or run headrace etl again on a log with "
            "times"
        )
