"""How likely each item is to be drawn for a place of a list, in relation to others.

Legend of shapes: V catalogue, G different numbers of trials and successes, X points.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import special

from conf.contract import (
    HISTORY_ITEMS,
    HISTORY_TIMES,
    HISTORY_TYPES,
    ITEM_IDX,
    LABEL_PREFIX,
    NUM_RESERVED,
    USER_IDX,
    Manifest,
    catalogue_size,
)
from conf.errors import ConfigError
from conf.settings.lists.diversity import Exploration
from conf.workspace.instants import first_held_out
from conf.workspace.parquet import read_columns
from trainer.data.columns import lists_of
from trainer.data.stream import read_row_groups
from trainer.data.trained_on import events_before, lengths_before, read_train_events

_POINTS, _HALVINGS = 512, 50
_TAIL = 1e-6
"""Probability that is left out at both ends of the distribution of the best rate."""
_LEAST = 1e-12
"""Chances below this are 0."""


class Trials(NamedTuple):
    """What is known of the success of each item."""

    successes: np.ndarray
    """[V] int64"""
    failures: np.ndarray
    """[V] int64"""


def item_chances(spec: Exploration, dataset: Path, manifest: Manifest) -> np.ndarray:
    """Return the weight of each item in a draw: [V] float64, 0 at the reserved numbers.

    Raises:
        ConfigError: See `require_types`.
    """
    require_types(spec, manifest)
    weights = np.ones(catalogue_size(manifest))
    if spec.weights == "new_first":
        weights = 1.0 / (1.0 + read_train_events(dataset, manifest))
    elif spec.weights == "thompson":
        trials = read_trials(dataset, manifest, spec.successes)
        known = Trials(*(counts[NUM_RESERVED:] for counts in trials))
        weights[NUM_RESERVED:] = chances_of_best(known)
    weights[:NUM_RESERVED] = 0.0
    return weights


def require_types(spec: Exploration, manifest: Manifest) -> None:
    """Refuse successes that the dataset cannot know.

    Raises:
        ConfigError: When it lacks one of the types of events.
    """
    lacking = [name for name in spec.successes if name not in manifest.event_types]
    if lacking:
        raise ConfigError(
            f"score.exploration.successes: dataset {manifest.id} has no events of the type "
            f"{lacking[0]!r}; it has {', '.join(manifest.event_types)}"
        )


def read_trials(dataset: Path, manifest: Manifest, successes: Sequence[str]) -> Trials:
    """Count the training events of each item, those of some types as successes.

    They are the impressions of the log if the dataset has them with a label of just these types,
    else the events of histories.
    """
    impressions = manifest.config.get("etl", {}).get("impressions") or {}
    if impressions.get("negatives") == "logged":
        for name, types in impressions["labels"].items():
            if set(types) == set(successes):
                return _of_impressions(dataset, manifest, LABEL_PREFIX + name)
    kinds = [manifest.event_types.index(name) for name in successes]
    size = catalogue_size(manifest)
    found = Trials(np.zeros(size, dtype=np.int64), np.zeros(size, dtype=np.int64))
    ends, cut = lengths_before(dataset, manifest, ("valid", "test")), first_held_out(manifest)
    columns = (USER_IDX, HISTORY_ITEMS, HISTORY_TYPES, HISTORY_TIMES)
    for _, block in read_row_groups(dataset, manifest.row_groups("histories"), columns):
        counts = events_before(block, ends)
        if cut is not None:
            counts &= lists_of(block, HISTORY_TIMES).values < cut
        items = lists_of(block, HISTORY_ITEMS).values[counts]
        is_success = np.isin(lists_of(block, HISTORY_TYPES).values[counts], kinds)
        found.successes[:] += np.bincount(items[is_success], minlength=size)
        found.failures[:] += np.bincount(items[~is_success], minlength=size)
    return found


def _of_impressions(dataset: Path, manifest: Manifest, label: str) -> Trials:
    size = catalogue_size(manifest)
    found = Trials(np.zeros(size, dtype=np.int64), np.zeros(size, dtype=np.int64))
    for file in manifest.files["train_impressions"]:
        rows: pa.Table = read_columns(dataset / file.path, [ITEM_IDX, label])
        items = rows[ITEM_IDX].to_numpy()
        is_success = pc.greater(rows[label], 0).to_numpy()
        found.successes[:] += np.bincount(items[is_success], minlength=size)
        found.failures[:] += np.bincount(items[~is_success], minlength=size)
    return found


def chances_of_best(trials: Trials) -> np.ndarray:
    """Return the probability that each item has the highest success rate of all: [V] float64.

    The rates are independent, each with the posterior Beta(1 + successes, 1 + failures). With F_i
    their distributions and H the product of all, an item is the best with the probability of the
    integral of H over log F_i, as f_i / F_i is the derivative of log F_i. The sum is 1 but for the
    tails that are left out, and for rounding.

    Source: Thompson 1933; here the probability is computed, where Thompson sampling draws.
    """
    if not len(trials.successes):
        return np.zeros(0)
    pairs = np.stack(trials, axis=1)
    kinds, of_items, counts = np.unique(pairs, axis=0, return_inverse=True, return_counts=True)
    first, second = 1.0 + kinds[:, 0], 1.0 + kinds[:, 1]  # [G]

    def best_below(rate: float) -> float:
        with np.errstate(divide="ignore"):
            logs = np.log(special.betainc(first, second, rate))
        return float(np.exp(counts @ logs))

    low, high = _quantile(best_below, _TAIL), _quantile(best_below, 1 - _TAIL)
    points = np.linspace(low, high, _POINTS)
    logs = np.log(special.betainc(first[:, None], second[:, None], points))  # [G, X]
    best = np.exp(counts @ logs)  # [X]
    steps = np.diff(logs, axis=1)  # [G, X - 1]
    chances = steps @ ((best[1:] + best[:-1]) / 2)  # [G]
    chances[chances < _LEAST] = 0.0
    found: np.ndarray = chances[of_items]
    return found


def _quantile(distribution: Callable[[float], float], level: float) -> float:
    """Return the rate below which the best rate is with a probability, by halving 0 to 1."""
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if distribution(middle) < level:
            low = middle
        else:
            high = middle
    return high
