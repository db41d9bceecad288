import numpy as np
import pytest
import torch

from conf.contract import NUM_RESERVED
from serving.ranking.topk import top_k
from serving.rules.allowed import GroupMasks
from serving.rules.history import Seen
from serving.rules.placing import Boosts

USERS, ITEMS, WIDTH = 7, 1000, 4


def shop(seed: int) -> tuple[np.ndarray, np.ndarray, Seen]:
    """Return vectors whose products are whole numbers, with many ties, and seen pairs."""
    draw = np.random.default_rng(seed)
    users = draw.integers(-3, 4, (USERS, WIDTH)).astype(np.float32)
    items = draw.integers(-3, 4, (ITEMS + NUM_RESERVED, WIDTH)).astype(np.float32)
    seen = draw.integers(NUM_RESERVED, ITEMS, 200)
    rows = draw.integers(0, USERS, 200)
    return users, items, Seen(torch.from_numpy(rows), torch.from_numpy(seen))


def boosts_of(seed: int, least: float | None) -> tuple[Boosts, list[tuple[bool, np.ndarray]]]:
    """Return a factor, a factor for some users and a sum, and the same as [M, U] arrays."""
    draw = np.random.default_rng(seed)
    some = np.where(draw.random(ITEMS) < 0.2, 1.5, 1.0).astype(np.float32)
    few = np.where(np.arange(ITEMS) // 100 == 4, 0.25, 1.0).astype(np.float32)
    added = np.where(draw.random(ITEMS) < 0.3, draw.integers(-4, 5, ITEMS), 0).astype(np.float32)
    counts = draw.random((2, ITEMS)) < 0.5
    group = np.arange(USERS) % 2
    masks = GroupMasks(np.packbits(counts, axis=1), group)
    rules = (
        (True, torch.from_numpy(some), None),
        (True, torch.from_numpy(few), masks),
        (False, torch.from_numpy(added), None),
    )
    plain = [
        (True, np.tile(some[:, None], (1, USERS))),
        (True, np.where(counts[group].T, few[:, None], 1)),
        (False, np.tile(added[:, None], (1, USERS))),
    ]
    return Boosts(least, rules), plain


def changed(scores: np.ndarray, factors: np.ndarray) -> np.ndarray:
    return np.where(scores >= 0, scores * factors, scores / factors)


@pytest.mark.parametrize("least", [None, -2.0, 0.0, 3.0, 100.0])
@pytest.mark.parametrize(("k", "block_items"), [(3, 32), (10, 1000), (10, 77), (1000, 300)])
def test_boosted_lists_are_those_of_all_scores_changed_and_sorted(
    least: float | None, k: int, block_items: int
) -> None:
    users, items, seen = shop(k)
    boosts, plain = boosts_of(block_items, least)
    scores = items[NUM_RESERVED:] @ users.T  # [M, U]
    if least is not None:
        scores[scores < least] = -np.inf
    for is_factor, by in plain:
        scores = changed(scores, by) if is_factor else scores + by
    scores[seen.item_idx.numpy() - NUM_RESERVED, seen.rows.numpy()] = -np.inf

    found = top_k(
        torch.from_numpy(users),
        torch.from_numpy(items),
        k=k,
        seen=seen,
        block_items=block_items,
        adjusting=boosts,
    )

    for user in range(USERS):
        order = np.argsort(-scores[:, user], kind="stable")[:k]
        order = order[scores[order, user] > -np.inf]
        assert found.item_idx[user, : len(order)].tolist() == (order + NUM_RESERVED).tolist()
        assert found.scores[user, : len(order)].tolist() == scores[order, user].tolist()
        assert (found.item_idx[user, len(order) :] < 0).all()
