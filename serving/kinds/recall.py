"""How many of the best items the candidates contain, on a stable sample of users.

The best items are found without channels, over the whole catalogue: by the ranker, or exactly by
the main model if there is none. That is what the candidates save, so it is done for a few users.

Legend of shapes: N sampled users of a part, K list length.
"""

import logging
from collections import Counter

import numpy as np

from conf.contract import NO_ITEM
from serving.kinds.prepared import Prepared, Source
from serving.kinds.samples import Sample, exact_channel, pairs_of, samples_of
from serving.ranking.channels import WholeCatalogue
from serving.ranking.two_stage import TwoStage
from serving.rules.allowed import Unadjusted
from serving.scoring.staged import Staged

log = logging.getLogger(__name__)
RECALL = ("recall_users", "best_items", "recalled_items")


def recall_counts(source: Source, one: Prepared) -> dict[str, int | None]:
    """Return the counts `RECALL`; None without candidates, and if no user may be sampled.

    Args:
        source: What the lists are made from.
        one: How they are made.
    """
    staged, stages = one.staged, one.kind.stages
    if staged is None or stages is None or not stages.channels:
        return dict.fromkeys(RECALL)
    size = _sample_size(source, one, staged)
    if not size:
        return dict.fromkeys(RECALL)
    total: Counter[str] = Counter(dict.fromkeys(RECALL, 0))
    for sample in samples_of(source, one, staged.pools, size):
        total.update(_of_users(source, one, staged, sample))
    log.info(
        "score: %d of the %d best items of %d users are among their candidates",
        total["recalled_items"],
        total["best_items"],
        total["recall_users"],
    )
    return dict(total)


def _sample_size(source: Source, one: Prepared, staged: Staged) -> int:
    """Return the number of users: as many as a ranker, if there is one, may score all items for."""
    asked, items = one.score.gates.recall_users, int(source.model.pools.model.sum())
    if staged.two_stage.ranker is None:
        return asked
    size = min(asked, one.score.max_pairs // max(items, 1))
    if size < asked:
        log.info(
            "score: candidate_recall is measured on %d users, not on score.gates.recall_users=%d: "
            "more of them times %d items are more than score.max_pairs=%d",
            size,
            asked,
            items,
            one.score.max_pairs,
        )
    return size


def _of_users(source: Source, one: Prepared, staged: Staged, sample: Sample) -> dict[str, int]:
    """Return the counts of some users, see `recall_counts`."""
    best = _best(source, one, staged, sample)  # [N, K]
    unadjusted = Unadjusted(sample.rules, sample.rows, sample.rules.allowed(sample.rows))
    named = [
        pairs_of(sample.named(channel, unadjusted), source) for channel in staged.two_stage.channels
    ]
    wanted = pairs_of(best, source)
    return {
        "recall_users": int((best != NO_ITEM).any(1).sum()),
        "best_items": len(wanted),
        "recalled_items": int(np.isin(wanted, np.concatenate(named)).sum()),
    }


def _best(source: Source, one: Prepared, staged: Staged, sample: Sample) -> np.ndarray:
    """Return the best items of each user over the whole catalogue: [N, K] int64."""
    k, ranker = one.score.list_length, staged.two_stage.ranker
    if ranker is None:
        return sample.named(exact_channel(source, k), sample.rules)
    whole = TwoStage([WholeCatalogue("catalogue", source.model.pools.model)], ranker)
    found = whole.for_part(sample.histories, sample.numbers).rank(
        sample.histories, sample.rows, k=k, rules=sample.rules
    )
    best = np.full((len(sample.rows), k), NO_ITEM, dtype=np.int64)
    best[found.rows] = found.best.item_idx.cpu().numpy()
    return best
