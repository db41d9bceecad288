"""Segments, intervals and list figures, worked out by hand."""

from math import log2

import numpy as np
import pytest
import torch
from torch import Tensor

from conf.contract import HISTORY_ITEMS, HISTORY_TIMES, HISTORY_TYPES, TARGET_ITEM, USER_IDX
from tests.trainer.small_parts import ragged
from trainer.data.columns import Columns, Ragged
from trainer.evaluation.intervals import MOST_UNITS, interval, intervals
from trainer.evaluation.list_figures import list_figures
from trainer.evaluation.metrics import figures, gains, rank_counts
from trainer.evaluation.ranks import Given, joined, rank_targets
from trainer.evaluation.segments import (
    POPULARITY,
    Division,
    by_activity,
    by_popularity,
    by_user,
    divisions_of,
    popularity_of,
    segment_figures,
)

# Of 20 events the items 2 and 3 hold 8 and 4, then come 3, 2, 2, 1 and one without any.
EVENTS = np.array([0, 0, 8, 4, 3, 2, 2, 1, 0])
KINDS = popularity_of(EVENTS)
HEAD, MID, TAIL, COLD = range(4)


def test_the_head_holds_half_of_the_events_and_the_tail_what_is_behind_four_fifths() -> None:
    # Before item 2 stand 0 % of the events, before 3 40 %, before 4 60 %, 5 75 %, 6 85 %, 7 95 %.
    assert popularity_of(EVENTS).tolist() == [COLD, COLD, HEAD, HEAD, MID, MID, TAIL, TAIL, COLD]
    unknown_and_new = by_popularity(np.array([1, 8, 2]), popularity_of(EVENTS))
    assert unknown_and_new.of_target.tolist() == [COLD, COLD, HEAD]
    assert popularity_of(np.zeros(4, dtype=np.int64)).tolist() == [COLD] * 4


def test_activity_has_the_bins_that_its_names_say() -> None:
    names, places = by_activity(np.array([0, 1, 4, 5, 9, 10, 19, 20, 49, 50, 1000]))
    assert [names[place] for place in places] == [
        "0", "1-4", "1-4", "5-9", "5-9", "10-19", "10-19", "20-49", "20-49", "50+", "50+",
    ]  # fmt: skip


def test_a_bin_that_lengths_are_cut_in_has_all_that_is_longer() -> None:
    for most, last in ((20, "20+"), (19, "10+"), (15, "10+"), (50, "50+"), (1, "1+")):
        names, places = by_activity(np.minimum([0, 3, 9, 12, most, 70], most), most)
        assert names[-1] == names[places[-1]] == names[places[-2]] == last
        assert names[places[0]] == "0"
        if most > 9:
            assert [names[place] for place in places[1:3]] == ["1-4", "5-9"]


def test_users_without_a_training_row_are_new() -> None:
    names, places = by_user(np.array([7, 3, 7, 5]), np.array([3, 4, 5]))
    assert [names[place] for place in places] == ["new", "known", "new", "known"]


def test_figures_of_segments_are_those_worked_out_by_hand() -> None:
    hits = np.array([1.0, 0.0, 0.0, 1.0, 1.0])
    found = segment_figures(
        {"model": {"hr@1": hits}, "other": {"hr@1": 1 - hits}}, np.arange(5),
        {"kind": Division(("a", "b", "empty"), np.array([0, 0, 0, 1, 1]))}, seed=1,
    )["kind"]  # fmt: skip

    assert list(found) == ["a", "b"]
    assert found["a"]["targets"] == 3 and found["b"]["targets"] == 2
    assert found["a"]["model"]["hr@1"]["value"] == pytest.approx(1 / 3)
    assert found["b"]["model"]["hr@1"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert found["b"]["other"]["hr@1"]["value"] == 0.0
    weighted = segment_figures(
        {"model": {"loss": hits}}, np.arange(5),
        {"kind": Division(("a", "b"), np.array([0, 0, 0, 1, 1]))}, seed=1,
        weights=np.array([3.0, 0.5, 0.5, 1.0, 1.0]),
    )  # fmt: skip
    assert weighted["kind"]["a"]["model"]["loss"]["value"] == pytest.approx(3 / 4)


def test_without_targets_there_are_no_segments() -> None:
    none = joined([], ["model"])
    divisions = divisions_of(
        none.users, none.lengths, none.targets, trained_users=none.users, kinds=KINDS
    )
    gained = {"model": {"hr@10": gains(none.ranks["model"], "hr@10")}}
    found = segment_figures(gained, none.users, divisions, seed=1)
    assert found == {"all": {}, "activity": {}, "users": {}, "popularity": {}}
    assert list_figures(none.given["model"], EVENTS, KINDS) == {
        "coverage": None, "gini": None, "novelty": None, "shares": dict.fromkeys(POPULARITY),
    }  # fmt: skip


def test_figures_of_all_segments_add_up_to_the_whole() -> None:
    rng = np.random.default_rng(3)
    users, ranks = rng.integers(2, 60, 500), rng.integers(1, 30, 500)
    divisions = divisions_of(
        users, rng.integers(0, 80, 500), rng.integers(1, 9, 500),
        trained_users=np.arange(10, 50), kinds=KINDS,
    )  # fmt: skip
    names = ("hr@10", "ndcg@10")
    found = segment_figures(
        {"model": {name: gains(ranks, name) for name in names}}, users, divisions, seed=1
    )

    whole = figures(rank_counts(torch.from_numpy(ranks), 10), [10])
    assert list(found) == ["all", "activity", "users", "popularity"]
    assert {len(segments) for segments in found.values()} == {1, 6, 2, 4}
    for segments in found.values():
        assert sum(segment["targets"] for segment in segments.values()) == 500
        for name in names:
            total = sum(s["targets"] * s["model"][name]["value"] for s in segments.values())
            assert total / 500 == pytest.approx(whole[name], abs=1e-12)
            for segment in segments.values():
                bounds = segment["model"][name]
                assert bounds["low"] <= bounds["value"] <= bounds["high"]


def test_bounds_of_a_segment_are_those_of_its_targets_alone() -> None:
    """The draws differ, so they agree as far as a thousand draws tell; groups of users too."""
    rng = np.random.default_rng(5)
    for users in (900, 3 * MOST_UNITS):
        owners = np.repeat(np.arange(users), 2)
        hits = (rng.random(2 * users) < 0.3).astype(float)
        segments = (owners % 3 == 0).astype(np.int64)
        low, high = intervals(hits[:, None], owners, segments, 2, weights=np.ones(2 * users))
        alone = interval(hits[segments == 1], owners[segments == 1])
        width = alone.high - alone.low
        assert float(high[1, 0] - low[1, 0]) == pytest.approx(width, rel=0.15)
        assert float(low[1, 0]) == pytest.approx(alone.low, abs=0.15 * width)


class _InOrder:
    """Gives every user the items by their numbers, the smallest first."""

    unknown = None

    def scores(self, histories: Ragged, rows: np.ndarray) -> Tensor:
        return -torch.arange(9.0).repeat(len(rows), 1)

    def contributions(self, histories: Ragged, rows: np.ndarray, recommended: Tensor) -> Tensor:
        raise NotImplementedError

    def to(self, device: torch.device) -> "_InOrder":
        return self


def _block(users: list[int], histories: list[list[int]], targets: list[int]) -> Columns:
    zeros = ragged([[0] * len(history) for history in histories])
    return {
        USER_IDX: np.array(users), HISTORY_ITEMS: ragged(histories), HISTORY_TYPES: zeros,
        HISTORY_TIMES: zeros, TARGET_ITEM: np.array(targets),
    }  # fmt: skip


def test_lists_hold_the_best_items_that_were_not_seen() -> None:
    blocks = [_block([2, 3], [[2, 4], [5, 5, 6]], [3, 4]), _block([4], [[2]], [8])]
    parts = [
        rank_targets({"model": _InOrder()}, block, batch_rows=2, list_length=2, drop_seen=True)
        for block in blocks
    ]
    ranked = joined(parts, ["model"])

    assert ranked.users.tolist() == [2, 3, 4] and ranked.lengths.tolist() == [2, 3, 1]
    # Without what was seen: 3 5 6 7 8, then 2 3 4 7 8, then 3 4 5 6 7 8.
    assert ranked.ranks["model"].tolist() == [1, 3, 6]
    items, times = ranked.given["model"]
    assert dict(zip(items.tolist(), times.tolist(), strict=True)) == {2: 1, 3: 3, 4: 1, 5: 1}


def test_list_figures_are_those_worked_out_by_hand() -> None:
    found = list_figures(Given(np.array([2, 3, 4, 5]), np.array([1, 3, 1, 1])), EVENTS, KINDS)

    assert found["coverage"] == 4 / 7
    # Sorted 0 0 0 1 1 1 3 with factors -6 -4 -2 0 2 4 6: 24 over 7 items times 6 places.
    assert found["gini"] == pytest.approx(24 / (7 * 6))
    bits = [-log2((events + 1) / 27) for events in (8, 4, 4, 4, 3, 2)]
    assert found["novelty"] == pytest.approx(sum(bits) / 6)
    assert found["shares"] == pytest.approx({"head": 4 / 6, "mid": 2 / 6, "tail": 0, "cold": 0})
