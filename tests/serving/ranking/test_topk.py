import numpy as np
import pytest
import torch

from conf.contract import NO_ITEM, NUM_RESERVED
from serving.ranking.topk import TopK, top_k
from serving.rules.history import Seen, nothing_seen

USERS, ITEMS, WIDTH, K = 17, 300, 8, 10


def brute_force(
    users: torch.Tensor, items: torch.Tensor, k: int, seen: set[tuple[int, int]]
) -> tuple[np.ndarray, np.ndarray]:
    """Sort each user's whole catalogue by score, then by number."""
    scores = users.numpy() @ items.numpy().T
    best_scores = np.full((len(users), k), -np.inf, dtype=np.float32)
    best_items = np.full((len(users), k), NO_ITEM)
    for user in range(len(users)):
        allowed = [i for i in range(NUM_RESERVED, len(items)) if (user, i) not in seen]
        ranked = sorted(allowed, key=lambda item: (-scores[user, item], item))[:k]
        best_items[user, : len(ranked)] = ranked
        best_scores[user, : len(ranked)] = scores[user, ranked]
    return best_scores, best_items


def whole_numbers(seed: int, rows: int, largest: int) -> torch.Tensor:
    """Return vectors whose dot products are exact, so that ties are real ones."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-largest, largest + 1, (rows, WIDTH), generator=generator).float()


def pairs_of(seen: set[tuple[int, int]]) -> Seen:
    pairs = torch.tensor(sorted(seen), dtype=torch.int64).reshape(-1, 2)
    return Seen(pairs[:, 0], pairs[:, 1])


@pytest.mark.parametrize("block_items", [1, 2, 31, 32, 33, 64, 100, 298, 299, 1000])
@pytest.mark.parametrize("largest", [1, 50])
def test_equals_a_full_sort_whatever_the_block_size(block_items: int, largest: int) -> None:
    users, items = whole_numbers(1, USERS, largest), whole_numbers(2, ITEMS, largest)
    rng = np.random.default_rng(3)
    seen = {(int(u), int(i)) for u, i in zip(
        rng.integers(0, USERS, 900), rng.integers(0, ITEMS, 900), strict=True
    )}  # fmt: skip

    found = top_k(users, items, k=K, seen=pairs_of(seen), block_items=block_items)

    scores, numbers = brute_force(users, items, K, seen)
    np.testing.assert_array_equal(found.item_idx.numpy(), numbers)
    np.testing.assert_array_equal(found.scores.numpy(), scores)


@pytest.mark.parametrize("block_items", [40, 64, 1000])
def test_ascending_and_descending_catalogues_are_no_special_case(block_items: int) -> None:
    ramp = torch.arange(float(ITEMS))
    users = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    items = torch.stack([ramp, -ramp], dim=1)

    found = top_k(users, items, k=3, seen=nothing_seen(), block_items=block_items)

    assert found.item_idx.tolist() == [[299, 298, 297], [2, 3, 4], [2, 3, 4]]


def test_a_user_who_has_seen_nearly_all_gets_what_is_left() -> None:
    users, items = whole_numbers(1, 2, 5), whole_numbers(2, 12, 5)
    seen = {(0, item) for item in range(12) if item != 7} | {(1, item) for item in range(12)}

    found = top_k(users, items, k=3, seen=pairs_of(seen), block_items=4)

    assert found.item_idx.tolist() == [[7, NO_ITEM, NO_ITEM], [NO_ITEM] * 3]
    assert found.scores[0, 1:].tolist() == [-np.inf, -np.inf]


def test_a_pair_may_be_named_twice_and_reserved_numbers_are_never_found() -> None:
    users, items = torch.ones(1, 1), torch.tensor([[9.0], [8.0], [1.0], [2.0]])
    seen = Seen(torch.tensor([0, 0, 0]), torch.tensor([3, 3, 0]))

    found = top_k(users, items, k=2, seen=seen, block_items=2)

    assert found.item_idx.tolist() == [[2, NO_ITEM]]


def test_no_users_is_no_error() -> None:
    found = top_k(torch.ones(0, 4), torch.ones(9, 4), k=2, seen=nothing_seen(), block_items=4)

    assert isinstance(found, TopK) and found.item_idx.shape == (0, 2)


def test_floats_agree_with_numpy() -> None:
    torch.manual_seed(0)
    users, items = torch.randn(40, 16), torch.randn(5000, 16)

    found = top_k(users, items, k=20, seen=nothing_seen(), block_items=700)

    scores, numbers = brute_force(users, items, 20, set())
    np.testing.assert_array_equal(found.item_idx.numpy(), numbers)
    np.testing.assert_allclose(found.scores.numpy(), scores, rtol=1e-5)
