"""Figures of all lists together: how much of the catalogue they show, and how evenly.

Legend of shapes: V catalogue, N items without the reserved numbers, G items in any list.
"""

from typing import Any

import numpy as np

from conf.contract import NUM_RESERVED
from conf.pages.inequality import gini
from trainer.evaluation.ranks import Given
from trainer.evaluation.segments import POPULARITY


def list_figures(given: Given, train_events: np.ndarray, kinds: np.ndarray) -> dict[str, Any]:
    """Return coverage, Gini coefficient, novelty and the share of each kind of item in lists.

    Coverage is the share of the catalogue that occurs in any list. The Gini coefficient measures
    how unevenly the places of all lists are spread over the items; it is 0 if all items have
    equally many. Novelty is the mean self-information of the recommended items in bits:
    -log2((n + 1) / (all n + N)) for an item with n training events. Source: Vargas & Castells
    2011, section 4 (popularity by frequency), with one event added to each item, so items without
    events have a value too.

    Without a recommendation there is nothing to measure: all figures are None.

    Args:
        given: How often items occur in the lists.
        train_events: [V] int64
        kinds: [V] of `POPULARITY`, see `trainer.evaluation.segments.popularity_of`.
    """
    events = train_events[NUM_RESERVED:].astype(np.float64)  # [N]
    places = int(given.times.sum())
    if not places:
        nothing: dict[str, Any] = dict.fromkeys(("coverage", "gini", "novelty"))
        return {**nothing, "shares": dict.fromkeys(POPULARITY)}
    times = np.zeros(len(train_events), dtype=np.int64)  # [V]
    times[given.items] = given.times
    bits = -np.log2((events + 1) / (events.sum() + len(events)))  # [N]
    places_of = np.bincount(kinds, weights=times, minlength=len(POPULARITY))
    return {
        "coverage": len(given.items) / len(events),
        "gini": gini(times[NUM_RESERVED:]),
        "novelty": float(bits @ times[NUM_RESERVED:]) / places,
        "shares": dict(zip(POPULARITY, (places_of / places).tolist(), strict=True)),
    }
