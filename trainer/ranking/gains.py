"""A figure of predictions as a mean over rows, so that its noise can be measured over users.

An AUC is no mean over rows. Its first-order expansion is: the mean of the rows' gains is the
figure, and drawing users with their gains shows how the figure varies. Source: DeLong et al. 1988
(placements); Obuchowski 1997 (several rows of one user).

Legend of shapes: N rows, U users.
"""

from collections.abc import Callable

import numpy as np

from trainer.ranking.metrics import Predictions, log_losses, squared_errors, won_pairs


def gains(name: str, rows: Predictions) -> np.ndarray:
    """Return the gain of each row: [N] float64; higher is better.

    Their mean is the figure of `train.metric`, with its sign changed if lower is better. The result
    is empty if the rows have no such figure: an AUC needs both labels.
    """
    if not len(rows.users):
        return np.zeros(0)
    return _GAINS[name](rows)


def _auc(rows: Predictions) -> np.ndarray:
    """Return the AUC plus how much each row moves it."""
    positive, negative = rows.labels * rows.weights, (1 - rows.labels) * rows.weights
    if not positive.sum() or not negative.sum():
        return np.zeros(0)
    won = _weight_below(rows.predicted, negative) / negative.sum()  # [N] for a positive row
    lost = _weight_below(-rows.predicted, positive) / positive.sum()  # [N] for a negative row
    figure = float((positive * won).sum() / positive.sum())
    moved = positive * (won - figure) / positive.sum() + negative * (lost - figure) / negative.sum()
    return np.asarray(figure + len(moved) * moved)


def _weight_below(scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the weight of the rows that score lower than each row, equal ones half: [N]."""
    order = np.argsort(scores, kind="stable")
    total = np.concatenate([[0.0], np.cumsum(weights[order])])
    ranked = scores[order]
    lower, upper = (total[np.searchsorted(ranked, scores, side)] for side in ("left", "right"))
    return np.asarray((lower + upper) / 2)


def _gauc(rows: Predictions) -> np.ndarray:
    """Return the mean of the users' AUC plus how much each user moves it, shared by its rows."""
    _, owners, sizes = np.unique(rows.users, return_inverse=True, return_counts=True)
    won, pairs = won_pairs(owners, rows)  # [U], [U]
    weight = np.bincount(owners, weights=rows.weights) * (pairs > 0)  # [U]
    if not weight.sum():
        return np.zeros(0)
    share, each = weight / weight.sum(), won / np.where(pairs > 0, pairs, 1)
    figure = float((share * each).sum())
    moved = share * (each - figure) / sizes
    return np.asarray(figure + len(owners) * moved[owners])


def _minus_log_loss(rows: Predictions) -> np.ndarray:
    return -_spread(log_losses(rows), rows.weights)


def _minus_rmse(rows: Predictions) -> np.ndarray:
    errors = squared_errors(rows)
    figure = float(np.sqrt(np.average(errors, weights=rows.weights)))
    if not figure:
        return np.zeros(len(errors))
    around = _spread(errors, rows.weights) - figure**2
    return np.asarray(-(figure + around / (2 * figure)))


def _spread(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the weighted mean plus how much each row moves it: [N]; their mean is that mean."""
    share, mean = weights / weights.sum(), float(np.average(values, weights=weights))
    return np.asarray(mean + len(values) * share * (values - mean))


_GAINS: dict[str, Callable[[Predictions], np.ndarray]] = {
    "auc": _auc,
    "gauc": _gauc,
    "log_loss": _minus_log_loss,
    "rmse": _minus_rmse,
}
