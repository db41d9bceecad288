"""What the rules did to the lists of a part.

What would have been in the lists is found by ranking again without the rules. So in large datasets
the pairs of user and item that a rule excludes are counted for a sample of users.
"""

from collections import Counter
from collections.abc import Iterator

import numpy as np

from conf.settings.score import Score
from serving.ranking.rankers import Ranker
from serving.rules.allowed import HistoryRules
from serving.rules.part import PartRules
from trainer.data.batches import rows_of_like_length
from trainer.data.columns import Ragged

ALL = "all"
"""Entry of the ledger that is about no single rule."""
_ALL_UP_TO, _ONE_IN = 1_000, 64


def ledger_of(
    rules: PartRules,
    ranker: Ranker,
    histories: Ragged,
    user_idx: np.ndarray,
    score: Score,
    *,
    num_users: int,
    serves_everybody: bool = False,
) -> dict[str, dict[str, int]]:
    """Return the counts of each rule in a part of N users.

    Args:
        rules: The rules for these users.
        ranker: Finds the best items.
        histories: [N] histories as the model knows them.
        user_idx: [N] numbers of the users.
        score: The section of the configuration.
        num_users: Users of the whole dataset.
        serves_everybody: Whether users without a history have lists of the model too.
    """
    is_sampled = _sample(user_idx, num_users)
    found = rules.ledger(np.flatnonzero(is_sampled))
    found[ALL] = Counter(sampled_users=int(is_sampled.sum()), sampled_lists=0)
    free = HistoryRules(histories, drop_seen=rules.book.drops_seen)
    given = (histories, user_idx, score, num_users)
    for some in sampled_batches(*given, serves_everybody=serves_everybody):
        scored, best, _ = ranker.rank(histories, some, k=score.list_length, rules=free)
        found[ALL]["sampled_lists"] += len(scored)
        place, position = np.nonzero(best.item_idx.cpu().numpy() >= 0)
        items = best.item_idx.cpu().numpy()[place, position]
        for name, is_removed in rules.removed(scored[place], items).items():
            found[name]["removed_places"] += int(is_removed.sum())
            found[name]["lists_touched"] += len(np.unique(place[is_removed]))
    for name, counts in rules.counts.items():
        found.setdefault(name, Counter()).update(counts)
    return {name: dict(counts) for name, counts in found.items()}


def sampled_batches(
    histories: Ragged,
    user_idx: np.ndarray,
    score: Score,
    num_users: int,
    *,
    serves_everybody: bool = False,
) -> Iterator[np.ndarray]:
    """Yield the rows of the sampled users with lists of the model; arguments as for `ledger_of`."""
    is_served = (histories.lengths > 0) | serves_everybody
    rows = np.flatnonzero(_sample(user_idx, num_users) & is_served)
    yield from rows_of_like_length(histories, rows, score.block_users)


def _sample(user_idx: np.ndarray, num_users: int) -> np.ndarray:
    """Return which users are in the sample: [N] bool."""
    found: np.ndarray = user_idx % _ONE_IN == 0 if num_users > _ALL_UP_TO else user_idx >= 0
    return found
