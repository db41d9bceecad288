"""Calibration maps from logits to probabilities, fitted on rows that training did not see.

Legend of shapes: N rows, K knots.
"""

from typing import NamedTuple

import numpy as np

_STEPS = 100
_CLOSE = 1e-10


class Calibration(NamedTuple):
    """The calibration map of one label."""

    kind: str
    """`none`, `platt` or `isotonic`."""
    numbers: np.ndarray
    """platt: [2] slope and offset; isotonic: [2, K] ascending logits and their probabilities."""

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Return the probabilities of [N] logits: [N] float64."""
        logits = logits.astype(np.float64)
        if self.kind == "isotonic":
            knots, values = self.numbers
            between: np.ndarray = np.interp(logits, knots, values)
            return between
        slope, offset = self.numbers if self.kind == "platt" else (1.0, 0.0)
        return sigmoid(slope * logits + offset)


UNCALIBRATED = Calibration("none", np.zeros(0))


def fit_calibration(
    kind: str, logits: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> Calibration:
    """Fit a calibration map of the given kind.

    Args:
        kind: `none`, `platt` or `isotonic`.
        logits: [N]
        labels: [N] of 0 and 1.
        weights: [N]
    """
    logits, labels = logits.astype(np.float64), labels.astype(np.float64)
    if kind == "none":
        return UNCALIBRATED
    fit = fit_platt if kind == "platt" else fit_isotonic
    return Calibration(kind, fit(logits, labels, weights.astype(np.float64)))


def fit_platt(logits: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return slope and offset of the sigmoid with the least cross-entropy: [2] float64.

    Newton's method with halved steps. Source: Platt 1999, section 2, whose targets keep the
    probabilities of both classes away from 0 and 1; Lin et al. 2007, algorithm 1.
    """
    low, high = _ends(labels, weights)
    targets = low + labels * (high - low)  # [N]
    inputs = np.stack([logits, np.ones_like(logits)])  # [2, N]
    numbers = np.array([1.0, 0.0])
    loss = _cross_entropy(numbers @ inputs, targets, weights)
    for _ in range(_STEPS):
        said = sigmoid(numbers @ inputs)  # [N]
        gradient = inputs @ (weights * (said - targets))  # [2]
        curvature = (inputs * (weights * said * (1 - said))) @ inputs.T  # [2, 2]
        step = np.linalg.solve(curvature + 1e-12 * np.eye(2), gradient)
        size = 1.0
        while (new := _cross_entropy((numbers - size * step) @ inputs, targets, weights)) > loss:
            size /= 2
            if size < _CLOSE:
                return numbers
        numbers, loss = numbers - size * step, new
        if np.abs(gradient).max() < _CLOSE * weights.sum():
            break
    return numbers


def fit_isotonic(logits: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the knots of the increasing map with the least squared error: [2, K] float64.

    Neighbours that violate the order are pooled; then the ends are kept away from 0 and 1, as in
    Platt's targets. Source: Zadrozny & Elkan 2002; Barlow et al. 1972 for the algorithm.
    """
    knots, places = np.unique(logits, return_inverse=True)
    weight = np.bincount(places, weights=weights)
    value = np.bincount(places, weights=weights * labels) / weight
    pools: list[tuple[float, float, int]] = []  # value, weight, number of knots
    for one, its_weight in zip(value, weight, strict=True):
        pool = (float(one), float(its_weight), 1)
        while pools and pools[-1][0] >= pool[0]:
            before, before_weight, before_count = pools.pop()
            total = before_weight + pool[1]
            mean = (before * before_weight + pool[0] * pool[1]) / total
            pool = (mean, total, before_count + pool[2])
        pools.append(pool)
    ends = np.cumsum([count for _, _, count in pools])
    firsts = np.concatenate([[0], ends[:-1]])
    values = np.clip([pool[0] for pool in pools], *_ends(labels, weights))
    at = np.stack([firsts, ends - 1], axis=1).ravel()  # first and last knot of each pool
    kept = np.concatenate([[True], at[1:] != at[:-1]])  # a pool of one knot has it once
    return np.stack([knots[at][kept], np.repeat(values, 2)[kept]])


def _ends(labels: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Return the lowest and the highest probability that this number of rows can support."""
    positive, negative = float((labels * weights).sum()), float(((1 - labels) * weights).sum())
    return 1 / (negative + 2), (positive + 1) / (positive + 2)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-x)) without overflow."""
    small = np.exp(-np.abs(logits))
    result: np.ndarray = np.where(logits >= 0, 1 / (1 + small), small / (1 + small))
    return result


def _cross_entropy(logits: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> float:
    return float((weights * (np.logaddexp(0, logits) - targets * logits)).sum())
