import numpy as np

from tests.trainer.small_parts import ragged
from trainer.data.columns import newest_events, without_items

HISTORIES = ragged([[2, 3, 4], [5], [], [2, 2, 7, 5]])
TOLD = HISTORIES._replace(beside={"times": HISTORIES.values * 10})


def test_an_item_is_taken_out_with_all_its_events_and_what_stands_beside_them() -> None:
    shorter = without_items(TOLD, np.array([0, 3, 1, 2, 3]), np.array([3, 2, 5, 4, 8]))

    assert shorter.offsets.tolist() == [0, 2, 4, 4, 4, 8]
    assert shorter.values.tolist() == [2, 4, 7, 5, 2, 2, 7, 5]
    assert shorter.beside is not None
    assert shorter.beside["times"].tolist() == [20, 40, 70, 50, 20, 20, 70, 50]


def test_the_newest_events_stay_in_their_order() -> None:
    newest = newest_events(TOLD, np.array([3, 2, 0]), 2)

    assert newest.offsets.tolist() == [0, 2, 2, 4]
    assert newest.values.tolist() == [7, 5, 3, 4]
    assert newest.beside is not None and newest.beside["times"].tolist() == [70, 50, 30, 40]
