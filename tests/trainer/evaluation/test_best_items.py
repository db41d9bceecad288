"""The best items of a user: those of published lists, also if many have the same score."""

import numpy as np
import pytest
import torch

from serving.ranking.topk import top_k_of_scores
from serving.rules.history import Seen
from trainer.evaluation.held_out import best_items

INF = torch.inf


@pytest.mark.parametrize("length", [1, 3, 7, 20])
def test_of_equal_scores_the_smaller_number_comes_first_as_in_lists(length: int) -> None:
    rng = np.random.default_rng(length)
    scores = torch.from_numpy(rng.integers(0, 3, (40, 9)).astype(np.float64))
    scores[rng.random((40, 9)) < 0.2] = -INF
    scores[:3] = 1.0  # all the same
    scores[:, :2] = -INF

    found, items = best_items(scores, length)

    none = torch.zeros(0, dtype=torch.int64)
    lists = top_k_of_scores(scores, k=length, seen=Seen(none, none), block_items=4)
    is_item = found > -INF
    theirs = lists.item_idx[:, : found.shape[1]]
    assert (lists.scores[:, : found.shape[1]] == found).all()
    assert (items[is_item] == theirs[is_item]).all()
    assert not (lists.scores[:, found.shape[1] :] > -INF).any()


def test_a_catalogue_without_items_has_empty_lists() -> None:
    found, items = best_items(torch.zeros(3, 2), 5)
    assert found.shape == items.shape == (3, 0)
