"""A measure of how unequal counts are."""

import numpy as np


def gini(counts: np.ndarray) -> float:
    """Return how unequal counts are: 0 if all are equal, near 1 if one has everything.

    Source: Gini 1912 by the formula for sorted values, G = sum((2i - n - 1) x_i) / (n sum(x)),
    i from 1 in ascending order.
    """
    ascending = np.sort(counts).astype(float)
    n = len(ascending)
    ranks = 2 * np.arange(1, n + 1) - n - 1
    return float((ranks * ascending).sum() / (n * ascending.sum()))
