"""The figures of a ranking model and its baselines on the test part."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from conf.contract import HISTORY_ITEMS, MODEL_NAME, NUM_BEFORE, Manifest
from conf.settings.config import Config
from conf.workspace.versions import read_manifest
from trainer.cluster.ray_session import ray_session, require_room
from trainer.data.columns import lists_of, numbers_of
from trainer.data.stream import read_row_groups
from trainer.data.trained_on import read_train_events
from trainer.evaluation.against_baselines import against_baselines
from trainer.evaluation.efficiency import scored_per_second, training_cost
from trainer.evaluation.segments import divisions_of, popularity_of, segment_figures
from trainer.models.bundle import require_same_vocabulary
from trainer.ranking.bundle import load_ranking
from trainer.ranking.calibration import Calibration
from trainer.ranking.counts import TrainingCounts, count_training
from trainer.ranking.gains import gains
from trainer.ranking.impressions import sampling_of
from trainer.ranking.layout import TEST_PART, VALID_PART, layout_from
from trainer.ranking.metrics import Predictions, figures, log_losses, reliability, squared_errors
from trainer.ranking.scores import ScoredRows, flops_of_impression, score_part


class Measured(NamedTuple):
    """A trained model, ready to be measured."""

    section: dict[str, Any]
    weights: dict[str, Tensor]
    calibrations: list[Calibration]

    @property
    def is_rating(self) -> bool:
        """Whether it predicts ratings, not probabilities."""
        return bool(self.section["loss"] == "mse")


def run(config: Config, *, model_id: str) -> dict[str, Any]:
    """Measure a committed ranking model on the test part of its dataset."""
    workspace = Path(config.run.output)
    bundle, loaded = load_ranking(workspace, model_id)
    manifest = read_manifest(workspace, "datasets", bundle.dataset_id, Manifest)
    require_same_vocabulary(bundle, manifest)
    cost = training_cost(workspace / "models" / model_id)
    with ray_session(config):
        require_room(config)
        found = test_figures(config, manifest, Measured(bundle.model, *loaded))
    return {**found, "training": cost}


def test_figures(
    config: Config, manifest: Manifest, measured: Measured, linear: Measured | None = None
) -> dict[str, Any]:
    """Return the test figures of a model and of the configured baselines.

    Args:
        config: The run's configuration.
        manifest: The dataset.
        measured: The model.
        linear: Logistic or linear regression on the same features; None: it is left out.

    Returns:
        `test` and `test_rows`; `segments`, see `trainer.evaluation.segments`; `calibration`, the
        predicted and the observed rates by label; `scoring`, its cost.
    """
    rows, seconds = score_part(config, manifest, measured.section, measured.weights, TEST_PART)
    said = _said_by_all(config, manifest, measured, linear, rows, TEST_PART)
    flops = flops_of_impression(config, manifest, measured.section, measured.weights)
    labels = zip(measured.section["labels"], said[MODEL_NAME], strict=True)
    return {
        "test": {name: _by_label(one, measured) for name, one in said.items()},
        "test_rows": len(rows.users),
        "segments": _segments(config, manifest, measured, rows, said),
        "calibration": (
            {} if measured.is_rating else {label: reliability(one) for label, one in labels}
        ),
        "scoring": {
            "flops_per_example": flops,
            "scored_per_second": scored_per_second(len(rows.users), seconds),
        },
    }


def validation_figures(
    config: Config,
    manifest: Manifest,
    measured: Measured,
    linear: Measured | None,
    rows: ScoredRows,
) -> dict[str, Any]:
    """Return the figures of a model on the validation part, and how it compares with the baselines.

    Args:
        config: The run's configuration.
        manifest: The dataset.
        measured: The model.
        linear: As for `test_figures`.
        rows: The model's scored rows of the validation part.

    Returns:
        `valid`, its figures; `gate`, see `trainer.evaluation.against_baselines`, for the first
        label, whose `train.metric` chose the weights.
    """
    said = _said_by_all(config, manifest, measured, linear, rows, VALID_PART)
    metric = config.train.metric
    gained = {name: gains(metric, each[0]) for name, each in said.items()}
    return {
        "valid": _by_label(said[MODEL_NAME], measured),
        "gate": against_baselines(metric, gained, rows.users, seed=config.run.seed),
    }


def _said_by_all(
    config: Config,
    manifest: Manifest,
    measured: Measured,
    linear: Measured | None,
    rows: ScoredRows,
    part: str,
) -> dict[str, list[Predictions]]:
    """Return the predictions of the model and its baselines for each label.

    Args:
        config: The run's configuration.
        manifest: The dataset.
        measured: The model.
        linear: As for `test_figures`.
        rows: The model's scored rows of the part.
        part: Part of the dataset that the rows are from.
    """
    said = {MODEL_NAME: _said(rows, measured)}
    if linear is not None:
        scored, _ = score_part(config, manifest, linear.section, linear.weights, part)
        said["linear"] = _said(scored, linear)
    return said | _counted(config, manifest, measured, rows)


def _said(rows: ScoredRows, measured: Measured) -> list[Predictions]:
    """Return a model's predictions for each label."""
    return [
        rows.of_model(label, is_rating=measured.is_rating, calibration=calibration)
        for label, calibration in enumerate(measured.calibrations)
    ]


def _by_label(said: list[Predictions], measured: Measured) -> dict[str, float | None]:
    return {
        name + figure: value
        for name, one in zip(_prefixes(measured), said, strict=True)
        for figure, value in figures(one, is_rating=measured.is_rating).items()
    }


def _prefixes(measured: Measured) -> list[str]:
    labels = measured.section["labels"]
    return [f"{label}." for label in labels] if len(labels) > 1 else [""]


def _segments(
    config: Config,
    manifest: Manifest,
    measured: Measured,
    rows: ScoredRows,
    said: dict[str, list[Predictions]],
) -> dict[str, Any]:
    """Return the mean loss in each segment: the only figure that is a mean over rows."""
    folder = Path(config.run.output).resolve() / "datasets" / manifest.id
    name, loss_of = (
        ("squared_error", squared_errors) if measured.is_rating else ("log_loss", log_losses)
    )
    losses = {
        model: {
            prefix + name: loss_of(one)
            for prefix, one in zip(_prefixes(measured), each, strict=True)
        }
        for model, each in said.items()
    }
    lengths, most = history_lengths(folder, manifest)
    divisions = divisions_of(
        rows.users,
        lengths,
        rows.items,
        trained_users=np.flatnonzero(measured.weights["known_users"].numpy()),
        kinds=popularity_of(read_train_events(folder, manifest)),
        most=most,
    )
    weights = rows.weights.astype(np.float64)
    return segment_figures(losses, rows.users, divisions, weights=weights, seed=config.run.seed)


def history_lengths(folder: Path, manifest: Manifest) -> tuple[np.ndarray | None, int | None]:
    """Return the number of events before each row of the test part, and its upper limit.

    The column `NUM_BEFORE` is not cut: the second result is None. If feature selection left it
    out, the history lists are used, which are cut at `etl.impressions.history_length`. Without
    either, both results are None.
    """
    there = {column.name for column in manifest.columns[TEST_PART]}
    groups = manifest.row_groups(TEST_PART)
    if NUM_BEFORE in there:
        logs = [
            numbers_of(columns, NUM_BEFORE)
            for _, columns in read_row_groups(folder, groups, (NUM_BEFORE,))
        ]
        counts = np.rint(np.expm1(np.concatenate(logs).astype(np.float64)))
        return counts.astype(np.int64), None
    if HISTORY_ITEMS in there:
        lists = [
            lists_of(columns, HISTORY_ITEMS).lengths
            for _, columns in read_row_groups(folder, groups, (HISTORY_ITEMS,))
        ]
        return np.concatenate(lists), int(manifest.config["etl"]["impressions"]["history_length"])
    return None, None


def _counted(
    config: Config, manifest: Manifest, measured: Measured, rows: ScoredRows
) -> dict[str, list[Predictions]]:
    """Return the predictions of the baselines that are counted in the training part."""
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
        name: [rows.predictions(label, said[name][label]) for label in labels] for name in asked
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
