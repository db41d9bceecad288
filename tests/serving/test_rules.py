import numpy as np

from conf.contract import NO_ITEM
from serving.rules import has_known_item, known_to_model, popular_items, seen_items
from trainer.data.batches import rows_of_like_length
from trainer.data.columns import Ragged

HISTORIES = Ragged(np.array([5, 5, 3, 1, 2, 4, 6]), np.array([0, 3, 3, 4, 7]))
"""Four users: three events, none, one with an unknown item, three."""


def test_users_without_a_known_item_are_told_apart() -> None:
    assert has_known_item(HISTORIES).tolist() == [True, False, False, True]


def test_seen_items_name_the_row_in_the_batch() -> None:
    seen = seen_items(HISTORIES, np.array([3, 0]))

    assert seen.rows.tolist() == [0, 0, 0, 1, 1, 1]
    assert seen.item_idx.tolist() == [2, 4, 6, 5, 5, 3]
    assert len(seen_items(HISTORIES, np.array([1])).rows) == 0


def test_items_without_an_event_are_not_popular() -> None:
    items, shares = popular_items(np.array([0, 0, 4, 0, 12]), 3)

    assert items.tolist() == [4, 2, NO_ITEM]
    assert shares.tolist() == [0.75, 0.25, -np.inf]


def test_popular_items_break_ties_by_number_and_leave_reserved_ones_out() -> None:
    items, shares = popular_items(np.array([99, 99, 1, 3, 3, 1]), 3)

    assert items.tolist() == [3, 4, 2]
    assert shares.tolist() == [0.375, 0.375, 0.125]


def test_batches_hold_each_chosen_row_once_by_length() -> None:
    batches = list(rows_of_like_length(HISTORIES, np.array([0, 2, 3]), 2))

    assert [batch.tolist() for batch in batches] == [[2, 0], [3]]


def test_items_newer_than_the_model_are_unknown_to_it() -> None:
    known = known_to_model(HISTORIES, 5)

    assert known.values.tolist() == [1, 1, 3, 1, 2, 4, 1]
    assert known.offsets is HISTORIES.offsets
