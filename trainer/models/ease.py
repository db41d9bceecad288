"""EASE: a linear model that predicts each item from all others, fitted in closed form.

Source: Steck 2019, "Embarrassingly Shallow Autoencoders for Sparse Data", eq. 8. Its matrix X of
users and items may hold any positive numbers (section 2); ours holds confidences as multiples of
their mean, so `regularisation` means the same whatever the scale of the confidences.

Legend of shapes: U users, V catalogue, N items of a block.
"""

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from conf.errors import ConfigError, DivergedError
from trainer.models.fit_source import UserItems
from trainer.models.item_to_item import ItemToItem, item_to_item, strongest_of_each_row, tie_break

_BLOCK_ITEMS = 512
"""Number of items whose weights are chosen together; limits the memory besides the matrix."""


def fit_ease(
    user_items: UserItems,
    train_events: np.ndarray,
    *,
    regularisation: float,
    history_decay: float,
    weights_per_item: int,
    max_items: int,
) -> ItemToItem:
    """Return the weights that predict each user's items best from one another.

    Let X be the matrix of users and items, and P the inverse of X^T X (without confidences the
    items' co-occurrence counts) plus the regularisation on the diagonal.
    Then the weight from item i to item j is -P(i, j) / P(j, j), and 0 from an item to itself.

    Args:
        user_items: [U, V] confidences, as multiples of their mean.
        train_events: [V] events of each item, or their confidences, which break ties.
        regularisation: L2 regularisation of the weights.
        history_decay: Weight of an event at scoring, relative to the event after it. (The paper
            has 1.)
        weights_per_item: Number of weights to keep for each item, those of largest magnitude.
            (The paper keeps all.)
        max_items: Largest catalogue that the model is fitted for.

    Raises:
        ConfigError: When the catalogue is larger.
        DivergedError: When the regularisation is too small, or far too large.
    """
    catalogue = user_items.matrix.shape[1]
    if catalogue > max_items:
        raise ConfigError(
            f"train.counting.ease.max_items={max_items}, but there are {catalogue} items, for "
            f"which ease needs {12 * catalogue**2 / 2**30:.1f} GiB; raise max_items if you have "
            "that much memory, or use item_knn"
        )
    inverse = _regularised_inverse(user_items.matrix, regularisation)  # [V, V]
    scale = -1 / inverse.diagonal()  # [V]
    blocks = []
    for start in range(0, catalogue, _BLOCK_ITEMS):
        weights = inverse[start : start + _BLOCK_ITEMS] * scale  # [N, V]
        weights.diagonal(start).zero_()
        kept = sparse.csr_array(_largest(weights, weights_per_item).numpy())
        blocks.append(strongest_of_each_row(kept, weights_per_item))
    return item_to_item(blocks, tie_break(train_events), history_decay, user_items.mean)


def _regularised_inverse(user_items: sparse.csr_array, regularisation: float) -> Tensor:
    """Return the inverse of X^T X plus the regularisation: [V, V] float32."""
    together = torch.from_numpy((user_items.T @ user_items).toarray())
    together.diagonal().add_(regularisation)
    fails_at = torch.zeros((), dtype=torch.int32)  # 0: nowhere
    factor, _ = torch.linalg.cholesky_ex(together, out=(together, fails_at))
    if int(fails_at):
        raise _without_solution(regularisation)
    inverse = torch.cholesky_inverse(factor)
    if not bool(torch.isfinite(1 / inverse.diagonal()).all()):  # also where it is 0
        raise _without_solution(regularisation)
    return inverse


def _without_solution(regularisation: float) -> DivergedError:
    return DivergedError(
        f"train.counting.ease.regularisation={regularisation} leaves equations without a solution "
        "in single precision; set it closer to the events per item"
    )


def _largest(weights: Tensor, keep: int) -> Tensor:
    """Return the weights, with 0 for those below the keep-th magnitude of their row."""
    if keep >= weights.shape[1]:
        return weights
    least = weights.abs().kthvalue(weights.shape[1] - keep + 1, dim=1, keepdim=True).values
    return weights.where(weights.abs() >= least, 0)
