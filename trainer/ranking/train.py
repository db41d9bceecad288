"""Train and measure a network that predicts the outcome of single impressions."""

import logging
import time
from pathlib import Path

from conf.contract import Manifest
from conf.errors import InputError
from conf.settings.config import Config
from trainer.data.trained_on import why_nothing_is_held_out
from trainer.models.bundle import Trained
from trainer.ranking.bundle import with_calibrations
from trainer.ranking.calibration import UNCALIBRATED, Calibration, fit_calibration
from trainer.ranking.figures import Measured, test_figures, validation_figures
from trainer.ranking.layout import TEST_PART, TRAIN_PART, VALID_PART, layout_of, section_of
from trainer.ranking.scores import ScoredRows, score_part
from trainer.ranking.task import RankingTask
from trainer.training.workers import fit, require_trainable, training_figures

log = logging.getLogger(__name__)

LINEAR_LEARNING_RATE = 0.03
"""The linear baseline has one weight for each value: it needs large steps, and allows them."""


def train(config: Config, manifest: Manifest, work: Path) -> Trained:
    """Return the best weights, with their calibration maps, and their figures.

    Args:
        config: The run's configuration.
        manifest: The dataset.
        work: Folder of checkpoints; an interrupted run continues from them.
    """
    require_sound(config, manifest)
    layout = layout_of(config, manifest)
    started = time.monotonic()
    weights, cursor, _ = fit(config, manifest, work, RankingTask())
    seconds = time.monotonic() - started
    section = section_of(config, manifest, layout)
    rows, _ = score_part(config, manifest, section, weights, VALID_PART)
    measured = Measured(section, weights, _calibrations(rows, section["calibration"]))
    linear = _linear(config, manifest, work) if _wants_linear(config) else None
    log.info("train: measuring on validation and test part")
    metrics = {
        **test_figures(config, manifest, measured, linear),
        **training_figures(config, cursor, seconds, weights),
        **validation_figures(config, manifest, measured, linear, rows),
    }
    return Trained(section, with_calibrations(weights, measured.calibrations), metrics)


def require_sound(config: Config, manifest: Manifest) -> None:
    """Refuse a dataset or configuration that cannot be trained with."""
    layout_of(config, manifest)
    require_trainable(config, manifest, TRAIN_PART)
    for part in (VALID_PART, TEST_PART):
        if not manifest.files.get(part):
            raise InputError(
                f"dataset {manifest.id} has no rows in {part}: {why_nothing_is_held_out(manifest)}"
            )


def _calibrations(rows: ScoredRows, kind: str) -> list[Calibration]:
    """Fit the calibration map of each label on the rows of the validation part."""
    return [
        fit_calibration(kind, logits, labels, rows.weights)
        for logits, labels in zip(rows.logits.T, rows.labels.T, strict=True)
    ]


def _wants_linear(config: Config) -> bool:
    ranking = config.train.ranking
    return "linear" in ranking.baselines and ranking.interaction != "linear"


def _linear(config: Config, manifest: Manifest, work: Path) -> Measured:
    """Return a regression on the same features, trained by the same code."""
    train = config.train
    past = "none" if train.ranking.history == "none" else "mean"
    changed = train.model_copy(
        update={
            "ranking": train.ranking.model_copy(
                update={
                    "interaction": "linear",
                    "history": past,
                    "multi_task": "shared_bottom",
                    "tower_hidden": (),
                    "embedding_l2": 0.0,
                }
            ),
            "optimizer": train.optimizer.model_copy(update={"learning_rate": LINEAR_LEARNING_RATE}),
        }
    )
    plain = config.model_copy(update={"train": changed})
    log.info("train: training the linear baseline")
    folder = work / "linear"
    folder.mkdir(exist_ok=True)
    weights = fit(plain, manifest, folder, RankingTask()).weights
    section = section_of(plain, manifest, layout_of(plain, manifest))
    return Measured(section, weights, [UNCALIBRATED] * len(section["labels"]))
