"""Fit and measure a counting model."""

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from conf.contract import Manifest
from conf.settings.config import Config
from trainer.cluster.machine import forget_peak_memory, peak_memory_bytes
from trainer.data.trained_on import require_refit
from trainer.evaluation.figures import held_out_figures, refit_figures, source_of
from trainer.models.bundle import Trained
from trainer.models.counting import CountingModel, fit_counting, section_of
from trainer.models.fit_source import FitSource
from trainer.models.scorer import Scorer
from trainer.training.learner import num_parameters

log = logging.getLogger(__name__)


def train(config: Config, manifest: Manifest, work: Path) -> Trained:
    """Return the model that `train.algorithm` names, and its figures.

    With `train.refit` it is fitted twice; the figures of both fits are returned, each under its
    own key.

    Args:
        config: The run's configuration.
        manifest: The dataset.
        work: Not used: counting models have no checkpoints.
    """
    name = config.train.algorithm
    require_refit(config.train.refit, manifest)
    model, cost = measured_fit(name, source_of(config, manifest))
    return trained_from(config, manifest, model, model.weights(), cost)


def trained_from(
    config: Config,
    manifest: Manifest,
    model: Scorer,
    weights: dict[str, Tensor],
    cost: dict[str, Any],
    fitted: Mapping[str, Scorer] | None = None,
) -> Trained:
    """Return a fitted model with its figures; fit it again if `train.refit` asks for it.

    Args:
        config: The run's configuration.
        manifest: The dataset.
        model: The model that `train.algorithm` names, fitted to the training part.
        weights: Its weights.
        cost: See `measured_fit`.
        fitted: Counting models by name that are fitted already, for the baselines.
    """
    name = config.train.algorithm
    metrics: dict[str, Any] = {
        **held_out_figures(config, manifest, model, fitted),
        "training": {**cost, "parameters": num_parameters(weights)},
    }
    if config.train.refit != "none":
        again, cost = measured_fit(name, source_of(config, manifest, refit=True))
        metrics["refit"] = refit_figures(config, manifest, again, cost["seconds"])
        weights = again.weights()
    return Trained(section_of(name, config.train), weights, metrics)


def measured_fit(name: str, source: FitSource) -> tuple[CountingModel, dict[str, Any]]:
    """Fit a counting model; return it with the `seconds` and `peak_memory_bytes` of the fit."""
    log.info("train: fitting %s", name)
    forget_peak_memory()
    started = time.monotonic()
    model = fit_counting(name, source)
    seconds = round(time.monotonic() - started, 1)
    return model, {"seconds": seconds, "peak_memory_bytes": peak_memory_bytes(torch.device("cpu"))}
