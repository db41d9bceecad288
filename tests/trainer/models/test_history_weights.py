import numpy as np

from tests.trainer.small_parts import ragged
from trainer.models.history_weights import weighted_events

HISTORIES = ragged([[9], [2, 3, 2, 1, 4], [], [5, 5]])


def test_each_item_counts_once_at_its_newest_place() -> None:
    weights = weighted_events(HISTORIES, np.array([3, 1, 2]), 0.5).matrix(10).toarray()

    expected = np.zeros((3, 10))
    expected[0, 5] = 1
    expected[1, [2, 3, 4]] = [0.25, 0.125, 1]  # the unknown item 1 keeps its place
    np.testing.assert_array_equal(weights, expected)


def test_with_a_decay_of_nothing_the_last_event_alone_counts() -> None:
    events = weighted_events(HISTORIES, np.array([1, 3]), 0.0)

    assert (events.row.tolist(), events.item.tolist()) == ([0, 1], [4, 5])
    assert events.weight.tolist() == [1, 1]


def test_parts_go_back_to_where_their_events_stand() -> None:
    events = weighted_events(HISTORIES, np.array([1, 0]), 1.0)

    spread = events.spread(events.item[:, None] * np.array([[1.0, 10.0]]))

    assert spread[:, 0].tolist() == [[0, 3, 2, 0, 4], [9, 0, 0, 0, 0]]
    assert spread[:, 1].tolist() == [[0, 30, 20, 0, 40], [90, 0, 0, 0, 0]]
