"""What lists could have, and why they are as they are, worked out by hand."""

import numpy as np

from serving.rules.possible import (
    FALLBACK_REASONS,
    MEANINGS,
    SHORT_REASONS,
    Pools,
    Possible,
    count_possible,
    recommendable,
    seen_pairs,
    why_fallback,
    why_short,
)

OWNER = np.array([0, 0, 0, 1, 3])
ITEMS = np.array([2, 2, 4, 1, 5])
"""Four users: one has x twice and z, one an item that the dataset does not know, one nothing."""


def test_a_model_recommends_what_it_knows_and_nothing_newer() -> None:
    unknown = np.array([False, False, True, False])

    assert recommendable(6, 4, unknown).tolist() == [False, False, False, True, False, False]
    assert recommendable(5, 5, None).tolist() == [False, False, True, True, True]


def test_seen_items_count_once_and_unknown_ones_not_at_all() -> None:
    assert seen_pairs(OWNER, ITEMS, 6).tolist() == [2, 4, 23]


def test_what_is_possible_is_what_is_left_of_each_pool() -> None:
    model = np.array([False, False, True, True, False, False])  # 2 and 3
    popular = np.array([False, False, False, False, True, True])  # 4 and 5

    possible = count_possible(seen_pairs(OWNER, ITEMS, 6), 4, Pools(model, popular))

    assert possible.unseen.tolist() == [2, 4, 4, 3]
    assert possible.model.tolist() == [1, 2, 2, 2]
    assert possible.fallback.tolist() == [1, 2, 2, 1]


def test_users_without_events_are_told_from_those_whose_events_say_nothing() -> None:
    known = np.array([False, False, True, True, True, False])

    codes = why_fallback(OWNER, ITEMS, 4, known)

    assert [FALLBACK_REASONS[code] for code in codes] == [
        None, "history_unknown_to_model", "no_history", "history_unknown_to_model",
    ]  # fmt: skip


def short(length: int, unseen: int, ours: int, items: int) -> str | None:
    possible = Possible(np.array([unseen]), np.array([ours]), np.array([0]))
    codes = why_short(np.array([length]), np.array([False]), possible, items=items, list_length=3)
    return SHORT_REASONS[codes[0]]


def test_the_reason_is_what_keeps_the_list_short() -> None:
    assert short(3, unseen=9, ours=9, items=9) is None
    assert short(2, unseen=9, ours=3, items=9) == "unexplained"
    assert short(2, unseen=9, ours=2, items=9) == "few_known_items"
    assert short(0, unseen=2, ours=0, items=9) == "few_known_items"
    assert short(2, unseen=2, ours=2, items=9) == "catalogue_exhausted"
    assert short(0, unseen=0, ours=0, items=9) == "catalogue_exhausted"
    assert short(2, unseen=2, ours=2, items=2) == "catalogue_small"
    assert short(1, unseen=2, ours=1, items=2) == "few_known_items"
    assert short(0, unseen=0, ours=0, items=2) == "catalogue_exhausted"


def test_every_reason_has_a_meaning() -> None:
    assert set(MEANINGS) == {*FALLBACK_REASONS, *SHORT_REASONS} - {None}
