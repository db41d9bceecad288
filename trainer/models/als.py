"""Factors of implicit feedback by alternating least squares.

Only the item vectors are saved. A user's vector is computed from the history at scoring time, so
users who are new since the training need no special treatment.
Source: Hu, Koren & Volinsky 2008, "Collaborative Filtering for Implicit Feedback Datasets". Their
r is our confidence in a pair as a multiple of the mean of all pairs; without confidences it is 1.

Legend of shapes: B rows, V catalogue, F factors, E events, K recommended items, L longest history.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from conf.contract import NUM_RESERVED
from conf.errors import DivergedError
from trainer.data.columns import Ragged
from trainer.models.alike import filled_tensor
from trainer.models.fit_source import UserItems
from trainer.models.history_weights import (
    WeightedEvents,
    loaded_mean,
    saved_mean,
    weighted_events,
)
from trainer.models.popularity import without_events


@dataclass(frozen=True)
class Factors:
    """Item vectors; user vectors are computed from histories."""

    item_factors: np.ndarray
    """[V, F] float32, zero for items without a training row."""
    regularisation: float
    alpha: float
    history_decay: float
    mean_confidence: float | None = None
    """Mean confidence of the pairs of user and item that it was fitted to; None: all count 1."""

    @cached_property
    def unknown(self) -> np.ndarray:
        """See `trainer.models.scorer.Scorer`: items without a training row."""
        return without_events(np.abs(self.item_factors).sum(axis=1))

    @cached_property
    def everyones(self) -> np.ndarray:
        """Return the part of the equations that is the same for every user: [F, F] float64."""
        vectors = self.item_factors.astype(np.float64)
        return vectors.T @ vectors + self.regularisation * np.eye(vectors.shape[1])

    def scores(self, histories: Ragged, rows: np.ndarray) -> Tensor:
        """Return [B, V] float32, -inf for unknown items."""
        events = self._events(histories, rows)
        matrices, sums = self._equations(events)  # [B, F, F], [B, F]
        users = np.linalg.solve(matrices, sums[..., None])[..., 0]  # [B, F]
        vectors = filled_tensor(torch.from_numpy(users.astype(np.float32)))
        scores = (vectors @ torch.from_numpy(self.item_factors).T)[: len(rows)]
        return scores.masked_fill(torch.from_numpy(self.unknown), -torch.inf)

    def contributions(self, histories: Ragged, rows: np.ndarray, recommended: Tensor) -> Tensor:
        """Return [B, K, L] float64, which add up to the score. Source: Hu et al. 2008, section 5.

        A user's vector is a matrix W times the sum of the items' vectors, weighted by confidence.
        So a score is a sum over these items: confidence times similarity under W.
        """
        events = self._events(histories, rows)
        matrices, _ = self._equations(events)  # [B, F, F]
        wanted = self.item_factors[recommended.clamp(min=0).cpu().numpy()]  # [B, K, F]
        seen_by = np.linalg.solve(matrices, wanted.astype(np.float64).swapaxes(1, 2))  # [B, F, K]
        said = self.item_factors[events.item] * self._confidence(events)[:, None]  # [E, F]
        bounds = np.searchsorted(events.row, np.arange(events.num_rows + 1))
        parts = [said[bounds[row] : bounds[row + 1]] @ seen_by[row] for row in range(len(rows))]
        none = np.zeros((0, recommended.shape[1]))
        return events.spread(np.concatenate([none, *parts]))

    def to(self, device: torch.device) -> "Factors":
        """Return itself: this model always works on the CPU."""
        return self

    def weights(self) -> dict[str, Tensor]:
        """Return the tensors that `from_weights` needs, in addition to the section."""
        factors = torch.from_numpy(self.item_factors)
        return {"item_factors": factors} | saved_mean(self.mean_confidence)

    @classmethod
    def from_weights(cls, section: dict[str, Any], weights: dict[str, Tensor]) -> "Factors":
        """Return the model with this section and these weights."""
        names = ("regularisation", "alpha", "history_decay")
        own = {name: section[name] for name in names}
        return cls(weights["item_factors"].numpy(), **own, mean_confidence=loaded_mean(weights))

    def _events(self, histories: Ragged, rows: np.ndarray) -> WeightedEvents:
        return weighted_events(histories, rows, self.history_decay, self.mean_confidence)

    def _confidence(self, events: WeightedEvents) -> np.ndarray:
        """Return the confidence in each event; an absent event has 1: [E] float64."""
        confidence: np.ndarray = 1 + self.alpha * events.weight
        return confidence

    def _equations(self, events: WeightedEvents) -> tuple[np.ndarray, np.ndarray]:
        """Return both sides of each user's least squares: [B, F, F], [B, F], float64."""
        matrices = np.tile(self.everyones, (events.num_rows, 1, 1))
        sums = np.zeros(matrices.shape[:2])
        bounds = np.searchsorted(events.row, np.arange(events.num_rows + 1))
        confidence = self._confidence(events)
        for row in range(events.num_rows):
            part = slice(bounds[row], bounds[row + 1])
            vectors = self.item_factors[events.item[part]].astype(np.float64)
            matrices[row] += (vectors.T * (confidence[part] - 1)) @ vectors
            sums[row] = confidence[part] @ vectors
        return matrices, sums


def fit_als(
    user_items: UserItems,
    *,
    factors: int,
    regularisation: float,
    alpha: float,
    iterations: int,
    history_decay: float,
    seed: int,
    threads: int,
) -> Factors:
    """Fit vectors to the items that users have had, each with the confidence 1 + alpha r.

    Args:
        user_items: [U, V] the r of each pair.
        factors: F
        regularisation: L2 regularisation of all vectors.
        alpha: See above.
        iterations: Number of rounds over users and items.
        history_decay: Factor of r for each place before the newest event, when users are scored.
        seed: Seed of the initial vectors.
        threads: Number of threads that solve for users and items.

    Raises:
        DivergedError: When the regularisation is too small for the confidence.
    """
    # Imported only here: networks are trained and scored without it.
    from implicit.cpu.als import AlternatingLeastSquares
    from implicit.recommender_base import ModelFitError
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"):  # each thread solves separate small systems
        model = AlternatingLeastSquares(
            factors=factors,
            regularization=regularisation,
            iterations=iterations,
            use_cg=False,
            random_state=seed,
            num_threads=threads,
        )
        try:
            model.fit(_confidences(user_items, alpha), show_progress=False)
        except (ModelFitError, ValueError) as error:
            raise DivergedError(
                f"train.counting.als.regularisation={regularisation} and alpha={alpha} leave "
                f"equations without a solution ({error}); raise regularisation or lower alpha"
            ) from error
    vectors = np.array(model.item_factors, dtype=np.float32)
    vectors[:NUM_RESERVED] = 0
    return Factors(vectors, regularisation, alpha, history_decay, user_items.mean)


def _confidences(user_items: UserItems, alpha: float) -> sparse.csr_matrix:
    """Return 1 + alpha r of each pair: [users with items, V] float32."""
    confidences = sparse.csr_matrix(user_items.matrix)
    confidences.data = (1 + alpha * confidences.data.astype(np.float64)).astype(np.float32)
    return confidences
