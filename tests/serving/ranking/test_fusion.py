import numpy as np
import pytest

from conf.contract import NO_ITEM
from serving.ranking.fusion import best_of, union


def test_reciprocal_ranks_add_up_as_by_hand() -> None:
    first = np.array([[5, 7, NO_ITEM], [9, NO_ITEM, NO_ITEM]])
    second = np.array([[7, 8], [NO_ITEM, NO_ITEM]])

    found = union([first, second])

    pairs = list(zip(found.user.tolist(), found.item_idx.tolist(), strict=True))
    assert pairs == [(0, 5), (0, 7), (0, 8), (1, 9)]
    assert found.channels.tolist() == [1, 3, 2, 1]
    assert found.fused == pytest.approx([1 / 61, 1 / 62 + 1 / 61, 1 / 62, 1 / 61])


def test_the_best_come_first_and_ties_go_to_the_smaller_number() -> None:
    candidates = union([np.array([[4, 3, 2], [6, 5, NO_ITEM]])])  # sorted by item in each user

    best, channels = best_of(candidates, np.array([1.0, 2.0, 1.0, 0.5, 0.5]), users=2, k=2)

    assert best.item_idx.tolist() == [[3, 2], [5, 6]]
    assert best.scores.tolist() == [[2.0, 1.0], [0.5, 0.5]] and (channels == 1).all()


def test_a_user_without_candidates_gets_an_empty_list() -> None:
    nobody = np.full((2, 3), NO_ITEM)
    best, channels = best_of(union([nobody]), np.zeros(0), users=2, k=2)
    assert (best.item_idx.numpy() == NO_ITEM).all() and not channels.any()
    assert np.isneginf(best.scores.numpy()).all()


def test_chosen_users_are_numbered_anew() -> None:
    found = union([np.array([[3], [4], [5]])]).of_users(np.array([True, False, True]))
    assert (found.user.tolist(), found.item_idx.tolist()) == ([0, 1], [3, 5])


def test_sixty_channels_have_a_bit_each() -> None:
    found = union([np.array([[7]])] * 60)
    assert found.channels.tolist() == [(1 << 60) - 1]
