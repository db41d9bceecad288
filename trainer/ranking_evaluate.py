"""The figures of a ranking model on the test part, beside those of its baselines."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from conf.contract import Manifest
from conf.schema import Config
from conf.workspace import read_manifest
from trainer.bundle import MODEL_NAME, require_same_vocabulary
from trainer.calibration import Calibration
from trainer.ranking_bundle import load_ranking
from trainer.ranking_counts import TrainingCounts, count_training
from trainer.ranking_data import sampling_of
from trainer.ranking_layout import TEST_PART, layout_from
from trainer.ranking_metrics import Predictions, figures
from trainer.ranking_scores import ScoredRows, score_part
from trainer.ray_session import ray_session, require_room


class Measured(NamedTuple):
    """A trained model as it is measured."""

    section: dict[str, Any]
    weights: dict[str, Tensor]
    calibrations: list[Calibration]

    @property
    def is_rating(self) -> bool:
        """Whether it says ratings, not probabilities."""
        return bool(self.section["loss"] == "mse")


def run(config: Config, *, model_id: str) -> dict[str, Any]:
    """Measure a committed ranking model on the test part of its dataset."""
    workspace = Path(config.run.output)
    bundle, loaded = load_ranking(workspace, model_id)
    manifest = read_manifest(workspace, "datasets", bundle.dataset_id, Manifest)
    require_same_vocabulary(bundle, manifest)
    with ray_session(config):
        require_room(config)
        return test_figures(config, manifest, Measured(bundle.model, *loaded))


def test_figures(
    config: Config, manifest: Manifest, measured: Measured, linear: Measured | None = None
) -> dict[str, Any]:
    """Return the test figures of a model and of the configured baselines.

    Args:
        config: The run's configuration.
        manifest: The dataset.
        measured: The model.
        linear: Logistic or linear regression on the same features; None: it stays out.
    """
    rows = score_part(config, manifest, measured.section, measured.weights, TEST_PART)
    found = {MODEL_NAME: model_figures(rows, measured)}
    if linear is not None:
        scored = score_part(config, manifest, linear.section, linear.weights, TEST_PART)
        found["linear"] = model_figures(scored, linear)
    found |= _counted(config, manifest, measured, rows)
    return {"test": found, "test_rows": len(rows.users)}


def model_figures(rows: ScoredRows, measured: Measured) -> dict[str, float]:
    """Return the figures of each label; with several, behind the label's name and a dot."""
    said = [
        rows.of_model(label, is_rating=measured.is_rating, calibration=calibration)
        for label, calibration in enumerate(measured.calibrations)
    ]
    return _by_label(said, measured)


def _by_label(said: list[Predictions], measured: Measured) -> dict[str, float]:
    names = [f"{label}." for label in measured.section["labels"]] if len(said) > 1 else [""]
    return {
        name + figure: value
        for name, one in zip(names, said, strict=True)
        for figure, value in figures(one, is_rating=measured.is_rating).items()
    }


def _counted(
    config: Config, manifest: Manifest, measured: Measured, rows: ScoredRows
) -> dict[str, dict[str, float]]:
    """Return the figures of what is counted in the training part."""
    ranking = config.train.ranking
    asked = [name for name in ("label_mean", "item_rate") if name in ranking.baselines]
    if not asked:
        return {}
    counts = _training_counts(config, manifest, measured)
    labels = range(len(measured.section["labels"]))
    said = {
        "label_mean": [np.full(len(rows.users), mean) for mean in counts.means()],
        "item_rate": [
            counts.item_rates(label, ranking.item_rate_prior_rows)[rows.items] for label in labels
        ],
    }
    return {
        name: _by_label([rows.predictions(label, said[name][label]) for label in labels], measured)
        for name in asked
    }


def _training_counts(config: Config, manifest: Manifest, measured: Measured) -> TrainingCounts:
    folder = Path(config.run.output).resolve() / "datasets" / manifest.id
    return count_training(
        folder,
        manifest,
        layout_from(measured.section),
        sampling_of(folder, manifest, measured.section["sampling"]),
        is_rating=measured.is_rating,
    )
