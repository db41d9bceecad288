"""Figures of predictions for impressions: order, probability, rating.

All are computed in float64 from rows in a fixed order, so several workers get exactly the same
figures as one.

Legend of shapes: N rows, G groups of rows with one score (and, for gAUC, of one user).
"""

from typing import NamedTuple

import numpy as np

from conf.settings.model import LOWER_IS_BETTER

ECE_BINS = 15
_TINY = 1e-15


class Predictions(NamedTuple):
    """Predictions for rows, and their labels."""

    predicted: np.ndarray
    """[N] float64: probabilities, or ratings."""
    labels: np.ndarray
    """[N] float64"""
    users: np.ndarray
    """[N] int64"""
    weights: np.ndarray
    """[N] float64, above 0."""


def figures(rows: Predictions, *, is_rating: bool) -> dict[str, float | None]:
    """Return all figures that apply, None for each without data; for ratings only RMSE."""
    if is_rating:
        return {"rmse": rmse(rows)}
    return {
        "auc": auc(rows),
        "gauc": gauc(rows),
        "log_loss": log_loss(rows),
        "rmse": rmse(rows),
        "ece": calibration_error(rows),
    }


def validation_figure(name: str, rows: Predictions) -> float | None:
    """Return a figure of `train.metric`, with its sign changed if lower is better.

    None if the rows do not have it.
    """
    value = {"auc": auc, "gauc": gauc, "log_loss": log_loss, "rmse": rmse}[name](rows)
    return -value if value is not None and name in LOWER_IS_BETTER else value


def auc(rows: Predictions) -> float | None:
    """Return the probability that a positive row scores above a negative one, ties counting half.

    Rows count with their weight. None if all rows have the same label: there is no pair.
    """
    won, pairs = won_pairs(np.zeros(len(rows.users), dtype=np.int64), rows)
    return float(won[0] / pairs[0]) if len(pairs) and pairs[0] > 0 else None


def gauc(rows: Predictions) -> float | None:
    """Return the mean of the users' own AUC, weighted by their rows.

    Users whose rows all have the same label are left out; None if no user is left. Source: Zhou
    et al. 2018, the AUC weighted by impressions that its experiments report.
    """
    _, numbers = np.unique(rows.users, return_inverse=True)
    won, pairs = won_pairs(numbers, rows)
    weight = np.bincount(numbers, weights=rows.weights) * (pairs > 0)
    if not weight.sum():
        return None
    return float((won / np.maximum(pairs, _TINY) * weight).sum() / weight.sum())


def won_pairs(owners: np.ndarray, rows: Predictions) -> tuple[np.ndarray, np.ndarray]:
    """Return for each owner of rows the weight of its won pairs and of all of its pairs.

    Args:
        owners: [N] int64 numbers from 0, without gaps.
        rows: Labels of 0 and 1.
    """
    if not len(owners):
        return np.zeros(0), np.zeros(0)
    order = np.lexsort((rows.labels, rows.predicted, owners))
    owner, score = owners[order], rows.predicted[order]
    positive = rows.labels[order] * rows.weights[order]  # [N]
    negative = (1 - rows.labels[order]) * rows.weights[order]  # [N]
    starts = np.flatnonzero(_changes(owner) | _changes(score))  # [G]
    group_positive = np.add.reduceat(positive, starts)  # [G]
    group_negative = np.add.reduceat(negative, starts)  # [G]
    group_owner = owner[starts]
    first = np.flatnonzero(_changes(group_owner))  # [owners]
    before = np.cumsum(group_negative) - group_negative  # [G]
    below = before - before[first][group_owner]  # [G] of the same owner
    won = np.add.reduceat(group_positive * (below + group_negative / 2), first)
    pairs = np.add.reduceat(group_positive, first) * np.add.reduceat(group_negative, first)
    return won, pairs


def _changes(values: np.ndarray) -> np.ndarray:
    """Return where a value differs from the one before: [N] bool, the first one True."""
    return np.concatenate([[True], values[1:] != values[:-1]])


def log_loss(rows: Predictions) -> float | None:
    """Return the mean cross-entropy of probabilities, in nats; None without rows."""
    return _mean(log_losses(rows), rows)


def log_losses(rows: Predictions) -> np.ndarray:
    """Return the cross-entropy of each row: [N] float64."""
    sure = np.clip(rows.predicted, _TINY, 1 - _TINY)
    each: np.ndarray = -(rows.labels * np.log(sure) + (1 - rows.labels) * np.log1p(-sure))
    return each


def rmse(rows: Predictions) -> float | None:
    """Return the root of the mean squared error; None without rows."""
    mean = _mean(squared_errors(rows), rows)
    return None if mean is None else float(np.sqrt(mean))


def _mean(each: np.ndarray, rows: Predictions) -> float | None:
    return float(np.average(each, weights=rows.weights)) if len(each) else None


def squared_errors(rows: Predictions) -> np.ndarray:
    """Return the squared error of each row: [N] float64."""
    each: np.ndarray = (rows.predicted - rows.labels) ** 2
    return each


def calibration_error(rows: Predictions, bins: int = ECE_BINS) -> float | None:
    """Return the expected calibration error over bins of equal width; None without rows.

    Source: Guo et al. 2017, eq. 3.
    """
    if not len(rows.users):
        return None
    places = _bins(rows, bins)
    gaps = np.bincount(places, weights=rows.weights * (rows.predicted - rows.labels))
    return float(np.abs(gaps).sum() / rows.weights.sum())


def reliability(rows: Predictions, bins: int = ECE_BINS) -> list[dict[str, float]]:
    """Return predicted rate, observed rate and share of all rows for each non-empty bin.

    Weighted by the shares, the gaps between the two add up to `calibration_error`. Source: Guo et
    al. 2017, section 2, reliability diagrams.
    """
    places = _bins(rows, bins)
    weights = np.bincount(places, weights=rows.weights, minlength=bins)
    said = np.bincount(places, weights=rows.weights * rows.predicted, minlength=bins)
    was = np.bincount(places, weights=rows.weights * rows.labels, minlength=bins)
    return [
        {
            "said": float(said[place] / weights[place]),
            "was": float(was[place] / weights[place]),
            "share": float(weights[place] / weights.sum()),
        }
        for place in np.flatnonzero(weights)
    ]


def _bins(rows: Predictions, bins: int) -> np.ndarray:
    """Return the bin of each prediction: [N] int64; a bin includes its upper end."""
    places: np.ndarray = np.clip(np.ceil(rows.predicted * bins).astype(np.int64) - 1, 0, bins - 1)
    return places
