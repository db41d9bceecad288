import numpy as np
import pytest

from conf.contract import HISTORY_ITEMS, HISTORY_TIMES, USER_IDX
from tests.trainer.small_parts import ragged, train_block
from trainer.data.columns import Columns, Ragged
from trainer.models.popularity import (
    MICROSECONDS_PER_DAY,
    Popularity,
    fit_recent_popularity,
    training_lengths,
)


def whole_block(users: list[int], rows: list[list[int]], days: list[list[int]]) -> Columns:
    times = ragged(days)
    micros = Ragged(times.values.astype(np.int64) * MICROSECONDS_PER_DAY, times.offsets)
    return {USER_IDX: np.array(users), HISTORY_ITEMS: ragged(rows), HISTORY_TIMES: micros}


def test_popularity_gives_every_user_the_same() -> None:
    events = np.array([0, 0, 8, 4, 2, 0])

    scores = Popularity(events).scores(ragged([[2], [3, 4]]), np.array([1, 0])).numpy()

    np.testing.assert_array_equal(scores[:, :5], [events[:5], events[:5]])
    assert (scores[:, 5] == -np.inf).all(), "nobody had it"


def test_lengths_count_an_event_of_two_windows_once() -> None:
    newest, oldest = [4, 5, 6], [2, 3, 4]  # they overlap by item 4

    lengths = training_lengths(
        [train_block([newest, [7, 8]], users=[2, 3]), train_block([oldest], users=[2])], 6
    )

    assert lengths.tolist() == [0, 0, 5, 2, 0, 0]


def test_recent_events_weigh_by_their_age_at_the_end_of_the_training_part() -> None:
    blocks = [
        whole_block([2, 3], [[2, 3, 5], [3, 1, 4]], [[0, 10, 90], [10, 10, 80]]),
        whole_block([4], [[2, 2]], [[20, 70]]),
    ]

    model = fit_recent_popularity(blocks, np.array([0, 0, 2, 2, 1]), catalogue=6, half_life_days=10)

    # Day 20 is the newest: 2 at days 0 and 20, 3 twice at day 10; 5, 4 and day 70 are held out.
    np.testing.assert_allclose(model.train_events, [0, 0, 0.25 + 1, 0.5 + 0.5, 0, 0])


def test_held_out_events_change_nothing_whatever_they_are() -> None:
    lengths = np.array([0, 0, 1])
    first = fit_recent_popularity(
        [whole_block([2], [[2, 3]], [[5, 6]])], lengths, catalogue=9, half_life_days=1
    )
    other = fit_recent_popularity(
        [whole_block([2], [[2, 8, 8]], [[5, 900, 901]])], lengths, catalogue=9, half_life_days=1
    )

    np.testing.assert_array_equal(first.train_events, other.train_events)
    assert first.train_events.sum() == pytest.approx(1)
