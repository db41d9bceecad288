"""How many of the best items an approximate search finds, on a stable sample of users.

The same users are searched for with the index and exactly, under the same rules.
"""

import logging
from collections import Counter

import numpy as np
import torch

from serving.kinds.prepared import Prepared, Source
from serving.kinds.samples import exact_channel, pairs_of, samples_of
from serving.scoring.staged import channel_of_model
from trainer.models.scorer import ModelScorer

log = logging.getLogger(__name__)
INDEX_RECALL = ("index_users", "index_best_items", "index_found_items")


class IndexRecall:
    """Measures the recall of all lists of a run; the index is built once."""

    def __init__(self, source: Source) -> None:
        """Take what the lists are made from."""
        self.source = source

    def counts(self, one: Prepared) -> dict[str, int | None]:
        """Return the counts `INDEX_RECALL` of lists; None if they are not found with an index."""
        source, score = self.source, one.score
        is_network = isinstance(source.model.scorer, ModelScorer)
        size = 0 if score.index is None else score.gates.recall_users
        if not size or not is_network or one.staged is not None:
            return dict.fromkeys(INDEX_RECALL)
        given = ("index", score.list_length, source.model, score, torch.device("cpu"))
        ways = (exact_channel(source, score.list_length), channel_of_model(*given, source.ranker))
        total: Counter[str] = Counter(dict.fromkeys(INDEX_RECALL, 0))
        for sample in samples_of(source, one, source.model.pools, size):
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
