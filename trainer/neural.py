"""Train and measure a network that scores the whole catalogue."""

import time
from pathlib import Path
from typing import Any

from torch import Tensor

from conf.contract import Manifest, catalogue_size
from conf.errors import ConfigError, InputError
from conf.schema import Config
from trainer.bundle import Trained, build_model, model_section
from trainer.evaluate import test_figures
from trainer.job import Refit
from trainer.retrieval import RetrievalModel
from trainer.workers import fit, require_trainable, training_figures

_BY_USER = ("leave_one_out", "leave_last_n")


def train(config: Config, manifest: Manifest, work: Path) -> Trained:
    """Return the best weights, or those trained anew with what was held out, and their figures.

    Args:
        config: The run's configuration.
        manifest: The dataset.
        work: Folder of checkpoints; an interrupted run goes on from what lies there.
    """
    require_trainable(config, manifest, "train")
    _require_parts(config, manifest)
    started = time.monotonic()
    weights, cursor = fit(config, manifest, work)
    seconds = time.monotonic() - started
    section = model_section(config, manifest)
    measured = test_figures(config, manifest, _model(section, weights, manifest))
    metrics = {**measured, **training_figures(config, cursor, seconds, weights)}
    if config.train.refit != "none":
        weights, metrics["refit"] = _refitted(config, manifest, work / "refit", cursor)
    return Trained(section, weights, metrics)


def _refitted(
    config: Config, manifest: Manifest, work: Path, chosen: dict[str, Any]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Train as many epochs as validation has chosen on what `train.refit` adds.

    Returns:
        The weights, and their figures: of the test part only where they were not trained on it.
    """
    curve = chosen["curve"][: chosen["best_epoch"] + 1]
    refit = Refit(len(curve), tuple(record["rate_scale"] for record in curve))
    started = time.monotonic()
    weights, _ = fit(config, manifest, work, refit=refit)
    figures: dict[str, Any] = {
        "trained_on": config.train.refit,
        "epochs": refit.epochs,
        "seconds": round(time.monotonic() - started, 1),
    }
    if config.train.refit == "with_valid":
        model = _model(model_section(config, manifest), weights, manifest)
        figures |= test_figures(config, manifest, model, with_baselines=False)
    return weights, figures


def _model(
    section: dict[str, Any], weights: dict[str, Tensor], manifest: Manifest
) -> RetrievalModel:
    model = build_model(section, catalogue_size(manifest))
    model.load_state_dict(weights)
    return model.eval()


def _require_parts(config: Config, manifest: Manifest) -> None:
    if not manifest.row_groups("valid"):
        raise InputError(
            f"dataset {manifest.id} has no validation part: no user has enough events; "
            "lower etl.min_events_per_user or give a longer log"
        )
    kind = manifest.config["etl"]["split"]["kind"]
    if config.train.refit == "with_valid" and kind not in _BY_USER:
        raise ConfigError(
            f"train.refit='with_valid' takes a split whose test part is each user's last events "
            f"({', '.join(_BY_USER)}), and that of dataset {manifest.id} is {kind!r}; use "
            "train.refit=everything, which trains on all there is, or none"
        )
