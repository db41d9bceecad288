"""Nearest neighbours among items: items are similar if the same users have had them.

Source: item-based top-N recommendation, Deshpande & Karypis 2004; the shrinkage as in
Bell & Koren 2007, added to the denominator. With confidences, items are vectors of them, and the
jaccard similarity is that of Tanimoto 1958, which is the same for ones.

Legend of shapes: U users, V catalogue, N items of a block.
"""

import numpy as np
from scipy import sparse

from trainer.models.fit_source import UserItems
from trainer.models.item_to_item import ItemToItem, item_to_item, strongest_of_each_row, tie_break

_BLOCK_ITEMS = 1024
"""Number of items whose neighbours are searched together; limits the memory for counting."""


def fit_item_knn(
    user_items: UserItems,
    train_events: np.ndarray,
    *,
    neighbours: int,
    similarity: str,
    shrinkage: float,
    history_decay: float,
) -> ItemToItem:
    """Return the most similar items of each item.

    Let n(i, j) be the sum over all users of the confidence in item i times that in item j, and
    n(i) = n(i, i). Without confidences these are numbers of users. Then cosine is
    n(i, j) / (sqrt(n(i) n(j)) + shrinkage), and jaccard is
    n(i, j) / (n(i) + n(j) - n(i, j) + shrinkage).

    Args:
        user_items: [U, V] confidences, as multiples of their mean.
        train_events: [V] events of each item, or their confidences, which break ties.
        neighbours: Number of most similar items to keep for each item.
        similarity: `cosine` or `jaccard`.
        shrinkage: See above.
        history_decay: Weight of an event at scoring, relative to the event after it.
    """
    matrix = user_items.matrix
    by_item = matrix.T.tocsr()  # [V, U]
    users = np.asarray(matrix.astype(np.float64).power(2).sum(axis=0)).ravel()  # [V]
    blocks = []
    for start in range(0, by_item.shape[0], _BLOCK_ITEMS):
        both = (by_item[start : start + _BLOCK_ITEMS] @ matrix).tocoo()  # [N, V]
        first, second = both.coords[0] + start, both.coords[1]
        if similarity == "cosine":
            size = np.sqrt(users[first] * users[second])
        else:
            size = users[first] + users[second] - both.data
        likeness = np.where(first == second, 0, both.data / (size + shrinkage))
        alike = sparse.csr_array((likeness, (first - start, second)), shape=both.shape)
        blocks.append(strongest_of_each_row(alike, neighbours))
    return item_to_item(blocks, tie_break(train_events), history_decay, user_items.mean)
