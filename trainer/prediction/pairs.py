"""Predict pairs of users and items at the end of a dataset, many users at a time.

Legend of shapes: M pairs, N users of a part, T labels, L history length, V catalogue.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from conf.contract import Bundle, Manifest
from conf.errors import VersionError
from trainer.data.columns import Ragged, padded
from trainer.data.feature_tables import IMPRESSIONS, ITEM_FEATURES, USER_FEATURES, fields_of
from trainer.models.bundle import require_same_vocabulary
from trainer.networks.inputs import RankingBatch
from trainer.networks.ranking import RankingModel
from trainer.prediction.context import Context, PartContext, context_at_end
from trainer.ranking.bundle import load_ranking
from trainer.ranking.calibration import Calibration, sigmoid
from trainer.ranking.impressions import Sampling, read_tables, sampling_of
from trainer.ranking.layout import RankingLayout, encodings_in, layout_from

ROWS_AT_ONCE = 8192
"""Pairs in one batch of the network."""


class PairModel(NamedTuple):
    """A ranking model with all that it needs to predict pairs of a dataset."""

    bundle: Bundle
    model: RankingModel
    layout: RankingLayout
    calibrations: list[Calibration]
    sampling: Sampling
    context: Context
    history_length: int
    """L"""
    device: torch.device

    @property
    def is_rating(self) -> bool:
        """Whether it predicts ratings, not probabilities."""
        return bool(self.bundle.model["loss"] == "mse")

    def for_part(self, histories: Ragged, users: np.ndarray) -> "PartPairs":
        """Return the model for the users of a part: [N] histories, and their numbers."""
        return PartPairs(self, histories, users, self.context.for_part(histories))


class PartPairs(NamedTuple):
    """A pair model with the users of a part."""

    pairs: PairModel
    histories: Ragged
    users: np.ndarray
    """[N]"""
    context: PartContext

    def batch(self, rows: np.ndarray, item_idx: np.ndarray) -> tuple[RankingBatch, Tensor]:
        """Return pairs as input of the network: rows of the part and items, [M] each.

        Returns:
            The batch, in which each user's history is once, and the place of each pair's: [M].
        """
        users = self.users[rows]
        some, places = np.unique(rows, return_inverse=True)
        length, num_labels = self.pairs.history_length, len(self.pairs.layout.labels)
        newest = np.zeros((len(some), 0), dtype=np.int32)
        if length:
            newest, _ = padded(self.histories, some, length)  # [<= N, L]
        batch = RankingBatch(
            torch.from_numpy(users.astype(np.int64)),
            torch.from_numpy(item_idx.astype(np.int64)),
            torch.from_numpy(newest.astype(np.int32)),
            *self.context.values(rows, users, item_idx),
            torch.zeros((len(rows), num_labels)),
            torch.from_numpy(self.pairs.sampling.log_rate[item_idx]),
            torch.ones(len(rows)),
        )
        return batch, torch.from_numpy(places)

    @torch.no_grad()
    def logits(self, rows: np.ndarray, item_idx: np.ndarray) -> np.ndarray:
        """Return the model's own logits or ratings: [M], [M] -> [M, T] float32."""
        found = [np.zeros((0, len(self.pairs.layout.labels)), dtype=np.float32)]
        for start in range(0, len(rows), ROWS_AT_ONCE):
            chosen = slice(start, start + ROWS_AT_ONCE)
            batch, owner = self.batch(rows[chosen], item_idx[chosen])
            there = RankingBatch(*(tensor.to(self.pairs.device) for tensor in batch))
            logits: Tensor = self.pairs.model(there, owner.to(self.pairs.device))
            found.append(logits.float().cpu().numpy())
        return np.concatenate(found)

    def predictions(self, rows: np.ndarray, item_idx: np.ndarray) -> np.ndarray:
        """Return the calibrated probability of each label, or the rating: [M, T] float64.

        They are those of an item that is shown, independent of how negatives were drawn.
        """
        logits = self.logits(rows, item_idx).astype(np.float64)
        if self.pairs.is_rating:
            return logits
        rate = self.pairs.sampling.log_rate[item_idx].astype(np.float64)
        return np.stack(
            [
                undrawn(calibration, column, rate)
                for calibration, column in zip(self.pairs.calibrations, logits.T, strict=True)
            ],
            axis=1,
        )

    def drawn_predictions(self, rows: np.ndarray, item_idx: np.ndarray) -> np.ndarray:
        """Return the same as the evaluation does, of rows as negatives were drawn: [M, T]."""
        logits = self.logits(rows, item_idx)
        if self.pairs.is_rating:
            return logits.astype(np.float64)
        rate = self.pairs.sampling.log_rate[item_idx]
        columns = zip(self.pairs.calibrations, logits.T, strict=True)
        return np.stack([one.probabilities(column - rate) for one, column in columns], axis=1)


def undrawn(calibration: Calibration, logits: np.ndarray, log_rate: np.ndarray) -> np.ndarray:
    """Return calibrated probabilities without the drawing of negatives: [M].

    The map is fitted on rows with drawn negatives, whose logits are lower by `log_rate`. So their
    odds are multiplied by the rate again after the map; see
    `trainer.networks.ranking_objective.row_logits`.

    Args:
        calibration: Map of the label.
        logits: [M], of the model alone.
        log_rate: [M], 0 if there is no correction.
    """
    drawn = calibration.probabilities(logits - log_rate)
    if not log_rate.any():
        return drawn
    with np.errstate(divide="ignore"):
        odds = np.log(drawn) - np.log1p(-drawn)
    return sigmoid(odds + log_rate)


def load_pairs(
    workspace: Path,
    model_id: str,
    manifest: Manifest,
    given: Mapping[str, Any],
    device: torch.device,
) -> PairModel:
    """Return a committed ranking model for the pairs of a dataset.

    Args:
        workspace: Folder of the workspace.
        model_id: The model.
        manifest: The dataset.
        given: `score.context`.
        device: Where the model works.

    Raises:
        VersionError: When the model was trained on other numbers or features.
        ConfigError: See `trainer.prediction.context.context_at_end`.
    """
    folder = workspace / "datasets" / manifest.id
    bundle, (weights, calibrations) = load_ranking(workspace, model_id)
    layout = layout_from(bundle.model)
    require_fitting(bundle, manifest, layout)
    model = RankingModel(**bundle.model["model"])
    model.load_state_dict(weights)
    model.requires_grad_(False)
    model.to(device).eval().attach(*read_tables(folder, manifest, layout), device)
    kept = int(manifest.config["etl"]["impressions"]["history_length"])
    return PairModel(
        bundle,
        model,
        layout,
        calibrations,
        sampling_of(folder, manifest, bundle.model["sampling"]),
        context_at_end(folder, manifest, layout.context_fields, given),
        min(layout.history_length, kept),
        device,
    )


def require_fitting(bundle: Bundle, manifest: Manifest, layout: RankingLayout) -> None:
    """Refuse a ranking model whose numbers or features mean something else in this dataset.

    Raises:
        VersionError: Naming the vocabulary or the features.
    """
    require_same_vocabulary(bundle, manifest)
    ours, theirs = bundle.vocabularies["user"], manifest.vocabularies["user"]
    if not theirs.goes_on_from(ours):
        raise VersionError(
            f"model {bundle.id} was trained on dataset {bundle.dataset_id}, whose users have other "
            f"numbers than those of dataset {manifest.id}; train on this dataset first"
        )
    odd = []
    for part, fields in (
        (ITEM_FEATURES, layout.item_fields),
        (USER_FEATURES, layout.user_fields),
        (IMPRESSIONS, layout.context_fields),
    ):
        there = fields_of(manifest.features.get(part, ()), ())
        odd += [field.name for field in fields if field not in there]
    encodings = bundle.model.get("encodings")
    others = encodings is not None and bundle.dataset_id != manifest.id
    if odd or (others and encodings != encodings_in(manifest)):
        raise VersionError(
            f"model {bundle.id} uses features that dataset {manifest.id} lacks or encodes "
            f"differently{': ' if odd else ''}{', '.join(odd)}; build the dataset with "
            "etl.vocabulary=extend, or train on it first"
        )
