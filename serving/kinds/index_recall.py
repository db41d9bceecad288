"""How many of the best items an approximate search finds, on a stable sample of users.

The same users are searched for with the index and exactly, under the same rules.
"""

import logging
from collections import Counter

import numpy as np
import torch

from serving.kinds.prepared import Prepared, Source
from serving.kinds.recall import pairs_of, sample_size, sampled_parts
from serving.scoring.staged import channel_of_model
from trainer.models.scorer import ModelScorer

log = logging.getLogger(__name__)
INDEX_RECALL = ("index_users", "index_best_items", "index_found_items")


def index_counts(source: Source, one: Prepared) -> dict[str, int | None]:
    """Return the counts `INDEX_RECALL`; None if the lists are not found with an index.

    Args:
        source: What the lists are made from.
        one: How they are made.
    """
    is_used = one.score.index is not None and isinstance(source.model.scorer, ModelScorer)
    if one.score.index is not None and not is_used:
        log.warning(
            "score: score.index has no effect: %s is no network (%s)",
            source.model.bundle.id,
            source.model.bundle.algorithm,
        )
    size = sample_size(source, one, "index_recall") if is_used and one.staged is None else 0
    if not size:
        return dict.fromkeys(INDEX_RECALL)
    exact = one.score.model_copy(update={"index": None})
    given = (one.score.list_length, source.model)
    ways = [
        channel_of_model(name, *given, score, torch.device("cpu"))
        for name, score in (("exact", exact), ("index", one.score))
    ]
    total: Counter[str] = Counter(dict.fromkeys(INDEX_RECALL, 0))
    for users, histories, rules in sampled_parts(source, one, source.model.pools, size):
        numbers, rows = np.zeros(users.num_rows, np.int64), np.arange(users.num_rows)
        best, found = (
            pairs_of(way.for_part(histories, numbers).names(rows, rules).item_idx, source)
            for way in ways
        )
        total.update(
            index_users=users.num_rows,
            index_best_items=len(best),
            index_found_items=int(np.isin(best, found).sum()),
        )
    log.info(
        "score: the index finds %d of the %d best items of %d users",
        total["index_found_items"],
        total["index_best_items"],
        total["index_users"],
    )
    return dict(total)
