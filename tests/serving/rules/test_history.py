import numpy as np

from conf.contract import NO_ITEM
from serving.rules.history import fallback_lists, known_to_model, popular_items, seen_items
from trainer.data.batches import rows_of_like_length
from trainer.data.columns import Ragged

HISTORIES = Ragged(np.array([5, 5, 3, 1, 2, 4, 6]), np.array([0, 3, 3, 4, 7]))
"""Four users: three events, none, one with an unknown item, three."""


def test_seen_items_name_the_row_in_the_batch() -> None:
    seen = seen_items(HISTORIES, np.array([3, 0]))

    assert seen.rows.tolist() == [0, 0, 0, 1, 1, 1]
    assert seen.item_idx.tolist() == [2, 4, 6, 5, 5, 3]
    assert len(seen_items(HISTORIES, np.array([1])).rows) == 0


def test_items_without_an_event_are_not_popular() -> None:
    items, shares = popular_items(np.array([0, 0, 4, 0, 12]))

    assert items.tolist() == [4, 2]
    assert shares.tolist() == [0.75, 0.25]


def test_popular_items_break_ties_by_number_and_leave_reserved_ones_out() -> None:
    items, shares = popular_items(np.array([99, 99, 1, 3, 3, 1]))

    assert items.tolist() == [3, 4, 2, 5]
    assert shares.tolist() == [0.375, 0.375, 0.125, 0.125]


def test_fallback_lists_go_as_deep_as_the_user_has_seen() -> None:
    popular = popular_items(np.array([0, 0, 6, 5, 4, 3, 2]))  # 2, 3, 4, 5, 6
    rows = np.array([3, 1, 0])  # they have seen 2, 4 and 6; nothing; 3 and 5

    items, shares = fallback_lists(popular, HISTORIES, rows, k=3, drop_seen=True)

    assert items.tolist() == [[3, 5, NO_ITEM], [2, 3, 4], [2, 4, 6]]
    assert shares.tolist() == [
        [np.float32(5 / 20), np.float32(3 / 20), -np.inf],
        [np.float32(6 / 20), np.float32(5 / 20), np.float32(4 / 20)],
        [np.float32(6 / 20), np.float32(4 / 20), np.float32(2 / 20)],
    ]
    items, _ = fallback_lists(popular, HISTORIES, rows, k=3, drop_seen=False)
    assert items.tolist() == [[2, 3, 4]] * 3


def test_batches_hold_each_chosen_row_once_by_length() -> None:
    batches = list(rows_of_like_length(HISTORIES, np.array([0, 2, 3]), 2))

    assert [batch.tolist() for batch in batches] == [[2, 0], [3]]


def test_items_newer_than_the_model_are_unknown_to_it() -> None:
    known = known_to_model(HISTORIES, 5)

    assert known.values.tolist() == [1, 1, 3, 1, 2, 4, 1]
    assert known.offsets is HISTORIES.offsets
