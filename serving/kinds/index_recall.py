"""How many of the best items an approximate search finds, on a stable sample of users.

The same users are searched for with the index and exactly, under the same rules.
"""

import logging
from collections import Counter

import numpy as np
import torch

from serving.kinds.prepared import Prepared, Source
from serving.kinds.samples import exact_channel, pairs_of, samples_of
from serving.kinds.scorable import changes_scores
from serving.ranking.approximate import MOST_FOUND
from serving.scoring.staged import channel_of_model
from trainer.models.scorer import ModelScorer

log = logging.getLogger(__name__)
INDEX_RECALL = ("index_users", "index_best_items", "index_found_items")


def index_counts(source: Source, one: Prepared) -> dict[str, int | None]:
    """Return the counts `INDEX_RECALL` of lists; None if they are not found with an index."""
    score = one.score
    if not _uses_index(source, one):
        return dict.fromkeys(INDEX_RECALL)
    given = ("index", score.list_length, source.model, score, torch.device("cpu"))
    ways = (exact_channel(source, score.list_length), channel_of_model(*given, source.ranker))
    total: Counter[str] = Counter(dict.fromkeys(INDEX_RECALL, 0))
    for sample in samples_of(source, one, source.model.pools, score.gates.recall_users):
        best, found = (pairs_of(sample.named(way, sample.rules), source) for way in ways)
        total.update(
            index_users=len(sample.numbers),
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


def _uses_index(source: Source, one: Prepared) -> bool:
    """Return whether the index finds items of these lists, and whether that is measured."""
    score = one.score
    if score.index is None or not score.gates.recall_users or one.staged is not None:
        return False
    if score.list_length > MOST_FOUND or changes_scores(score.rules):
        return False
    return isinstance(source.model.scorer, ModelScorer)
