"""A measure of how unequal counts are."""

import numpy as np


def gini(counts: np.ndarray) -> float | None:
    """Return how unequal counts are: 0 if all are equal, near 1 if one has everything.

    None if there are no counts, or all are 0.

    Source: Gini 1912 by the formula for sorted values, G = sum((2i - n - 1) x_i) / (n sum(x)),
    i from 1 in ascending order.
    """
    ascending = np.sort(counts).astype(float)
    n, total = len(ascending), ascending.sum()
    if not total:
        return None
    ranks = 2 * np.arange(1, n + 1) - n - 1
    return float((ranks * ascending).sum() / (n * total))
