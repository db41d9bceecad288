from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch

from conf.contract import NO_ITEM, NUM_RESERVED
from conf.settings.lists.index import Index
from serving.ranking.approximate import MOST_FOUND, ItemIndex
from serving.ranking.barred import Find
from serving.ranking.topk import TopK, top_k
from serving.rules.history import Seen, nothing_seen

ITEMS, USERS, WIDTH, K = 5_000, 200, 16, 20


def clustered(seed: int, rows: int) -> torch.Tensor:
    """Return vectors in groups, as those of trained models are."""
    centres = np.random.default_rng(0).standard_normal((50, WIDTH))
    rng = np.random.default_rng(seed)
    found = centres[rng.integers(0, 50, rows)] + 0.5 * rng.standard_normal((rows, WIDTH))
    return torch.from_numpy(found.astype(np.float32))


def exactly(items: torch.Tensor, left_out: torch.Tensor | None = None) -> Find:
    return partial(top_k, item_vectors=items, block_items=1_000, left_out=left_out)


def drawn_pairs(seed: int, count: int) -> Seen:
    rng = np.random.default_rng(seed)
    rows = torch.from_numpy(rng.integers(0, USERS, count))
    return Seen(rows, torch.from_numpy(rng.integers(NUM_RESERVED, ITEMS, count)))


def same(found: TopK, expected: TopK) -> None:
    np.testing.assert_array_equal(found.item_idx, expected.item_idx)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-5)


@pytest.mark.parametrize("lists", [1, 40, None])
def test_an_index_whose_groups_are_all_searched_is_exact(lists: int | None) -> None:
    items, users, seen = clustered(1, ITEMS), clustered(2, USERS), drawn_pairs(3, 4_000)
    left_out = torch.zeros(ITEMS, dtype=torch.bool)
    left_out[::7] = True
    exact = exactly(items, left_out)
    index = ItemIndex(items, left_out, Index(lists=lists, probes=10**20))

    found = index.best(users, k=K, seen=seen, exact=exact)

    same(found, exact(users, k=K, seen=seen))


def test_a_few_groups_find_most_of_the_best_items_and_their_exact_scores() -> None:
    items, users = clustered(1, ITEMS), clustered(2, USERS)
    expected = exactly(items)(users, k=K, seen=nothing_seen())
    recall = []
    for probes in (1, 8):
        index = ItemIndex(items, None, Index(lists=64, probes=probes))
        found = index.best(users, k=K, seen=nothing_seen(), exact=exactly(items))
        scores = (users[:, None] * items[found.item_idx]).sum(2)
        np.testing.assert_allclose(found.scores, scores, rtol=1e-4)
        assert bool((found.scores.diff(dim=1) <= 0).all())
        pairs = zip(found.item_idx.tolist(), expected.item_idx.tolist(), strict=True)
        recall.append(np.mean([len({*one} & {*other}) / K for one, other in pairs]))
    assert recall[1] > 0.9
    assert recall[0] < recall[1]  # so it does search a part only


def test_items_that_are_seen_or_left_out_are_not_found() -> None:
    items, users = clustered(1, ITEMS), clustered(2, USERS)
    settings = Index(lists=64, probes=4)
    index = ItemIndex(items, None, settings)
    best = index.best(users, k=K, seen=nothing_seen(), exact=exactly(items)).item_idx
    rows = torch.arange(USERS).repeat_interleave(K // 2)
    seen = Seen(rows, best[:, : K // 2].reshape(-1))
    left_out = torch.zeros(ITEMS, dtype=torch.bool)
    left_out[best[:, K // 2]] = True

    index = ItemIndex(items, left_out, settings)
    again = index.best(users, k=K, seen=seen, exact=exactly(items, left_out))

    pairs = {*zip(rows.tolist(), seen.item_idx.tolist(), strict=True)}
    listed = {(row, item) for row, items in enumerate(again.item_idx.tolist()) for item in items}
    assert not pairs & listed
    assert not left_out[again.item_idx].any()
    assert bool((again.item_idx >= NUM_RESERVED).all())


def test_a_user_who_has_seen_nearly_all_gets_what_is_left() -> None:
    items = clustered(1, 300)
    seen = Seen(torch.zeros(290, dtype=torch.int64), torch.arange(NUM_RESERVED, 292))
    index = ItemIndex(items, None, Index(lists=10, probes=1))
    found = index.best(clustered(2, 2), k=K, seen=seen, exact=exactly(items))
    assert {*found.item_idx[0].tolist()} == {NO_ITEM, *range(292, 300)}
    assert bool((found.item_idx[1] >= NUM_RESERVED).all())


def test_changed_scores_are_searched_exactly() -> None:
    items, users = clustered(1, ITEMS), clustered(2, USERS)
    index = ItemIndex(items, None, Index(lists=64, probes=1))

    def upside_down(_start: int, scores: torch.Tensor) -> None:
        scores.neg_()

    given = {"k": K, "seen": nothing_seen(), "adjust": upside_down}
    same(index.best(users, exact=exactly(items), **given), exactly(items)(users, **given))


@pytest.mark.parametrize(("items", "k"), [(ITEMS, MOST_FOUND + 1), (300, 298), (300, 400)])
def test_more_items_than_the_index_gives_are_searched_exactly(items: int, k: int) -> None:
    """It is then not even built."""
    vectors, users = clustered(1, items), clustered(2, 3)
    index = ItemIndex(vectors, None, Index(lists=10, probes=1))
    given = {"k": k, "seen": Seen(torch.tensor([0, 2]), torch.tensor([5, 7]))}
    same(index.best(users, exact=exactly(vectors), **given), exactly(vectors)(users, **given))
    assert "index" not in vars(index)


def test_the_index_is_the_same_each_time() -> None:
    items, users = clustered(1, ITEMS), clustered(2, USERS)
    searched = [ItemIndex(items, None, Index()).search(users, 50) for _ in range(2)]
    for one, other in zip(*searched, strict=True):
        np.testing.assert_array_equal(one, other)


def directions(rows: int) -> torch.Tensor:
    return torch.nn.functional.normalize(clustered(1, rows), dim=1)


@pytest.mark.parametrize("probes", [1, 300])
@pytest.mark.parametrize(
    "vectors",
    [
        lambda rows: torch.ones(rows, WIDTH),
        lambda rows: torch.zeros(rows, WIDTH),
        lambda rows: clustered(1, rows) * (torch.arange(rows) % 2)[:, None],
        lambda rows: clustered(1, rows) * 1e18,
        lambda rows: clustered(1, rows) * 1e-30,
        directions,
    ],
    ids=["equal", "zero", "half zero", "huge", "tiny", "of length 1"],
)
def test_odd_vectors_are_found_like_others(
    vectors: Callable[[int], torch.Tensor], probes: int
) -> None:
    items, users = vectors(300), clustered(2, 40)
    seen = Seen(torch.arange(40), torch.arange(NUM_RESERVED, 42))
    exact = exactly(items)(users, k=5, seen=seen)

    index = ItemIndex(items, None, Index(lists=300, probes=probes))
    found = index.best(users, k=5, seen=seen, exact=exactly(items))

    own = (users[:, None] * items[found.item_idx]).sum(2)
    np.testing.assert_allclose(found.scores, own, rtol=1e-4)
    assert all(len({*row}) == 5 for row in found.item_idx.tolist())
    assert not (found.item_idx == seen.item_idx[:, None]).any()
    if probes == 300:
        np.testing.assert_allclose(found.scores, exact.scores, rtol=1e-4)


def test_few_items_and_no_users_are_no_error() -> None:
    for count in (0, 1, 2):
        items = clustered(1, NUM_RESERVED + count)
        index = ItemIndex(items, None, Index())
        given = {"seen": nothing_seen(), "exact": exactly(items)}
        found = index.best(clustered(2, 2), k=3, **given)
        named = [item for item in found.item_idx[0].tolist() if item != NO_ITEM]
        assert sorted(named) == list(range(NUM_RESERVED, NUM_RESERVED + count))
        assert index.best(clustered(2, 0), k=1, **given).item_idx.shape == (0, 1)
        if count > 1:
            first = index.best(clustered(2, 2), k=1, **given)
            same(first, TopK(found.scores[:, :1], found.item_idx[:, :1]))
