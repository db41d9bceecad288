import math

import numpy as np
import pytest

from tests.trainer.small_parts import best_unseen, checkerboard, matrix, ragged
from trainer.models import item_knn
from trainer.models.item_knn import fit_item_knn
from trainer.models.item_to_item import ItemToItem

NO_EVENTS = np.zeros(40)


def fit(rows: list[list[int]], catalogue: int, **changes: object) -> ItemToItem:
    settings = {"neighbours": 99, "similarity": "cosine", "shrinkage": 0.0, "history_decay": 1.0}
    settings |= changes  # type: ignore[arg-type]
    return fit_item_knn(matrix(rows, catalogue), NO_EVENTS[:catalogue], **settings)  # type: ignore[arg-type]


def brute_force(
    rows: list[list[int]], catalogue: int, similarity: str, shrinkage: float, neighbours: int
) -> np.ndarray:
    """Compare sets of users, pair by pair."""
    users = [{u for u, row in enumerate(rows) if item in row} for item in range(catalogue)]
    table = np.zeros((catalogue, catalogue))
    for i in range(2, catalogue):
        found = []
        for j in range(2, catalogue):
            both = len(users[i] & users[j])
            size = (math.sqrt(len(users[i]) * len(users[j])) if similarity == "cosine"
                    else len(users[i] | users[j]))  # fmt: skip
            if i != j and both:
                found.append((-both / (size + shrinkage), j))
        for minus, j in sorted(found)[:neighbours]:
            table[i, j] = -minus
    return table


@pytest.mark.parametrize("similarity", ["cosine", "jaccard"])
@pytest.mark.parametrize(("shrinkage", "neighbours"), [(0.0, 99), (3.5, 5)])
def test_likeness_equals_that_of_sets_of_users(
    similarity: str, shrinkage: float, neighbours: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(3)
    rows = [rng.integers(1, 30, 6).tolist() for _ in range(60)]
    monkeypatch.setattr(item_knn, "_BLOCK_ITEMS", 7)

    model = fit(rows, 30, similarity=similarity, shrinkage=shrinkage, neighbours=neighbours)

    expected = brute_force(rows, 30, similarity, shrinkage, neighbours)
    np.testing.assert_allclose(model.pairs.toarray(), expected, rtol=1e-6)


def test_an_example_by_hand() -> None:
    model = fit([[2, 3], [2, 3], [2, 4]], 5, shrinkage=1.0)

    scores = model.scores(ragged([[2], [4, 3, 3]]), np.arange(2)).numpy()

    to_3, to_4 = 2 / (math.sqrt(3 * 2) + 1), 1 / (math.sqrt(3 * 1) + 1)
    np.testing.assert_allclose(scores[0], [0, 0, 0, to_3, to_4], rtol=1e-6)
    np.testing.assert_allclose(scores[1], [0, 0, to_3 + to_4, 0, 0], rtol=1e-6)


def test_older_events_count_less() -> None:
    model = fit([[2, 3], [4, 5]], 6, history_decay=0.5)

    scores = model.scores(ragged([[2, 4]]), np.arange(1)).numpy()

    np.testing.assert_allclose(scores[0], [0, 0, 0, 0.5, 0, 1])


def test_the_withheld_cell_of_a_checkerboard_comes_first() -> None:
    rows, withheld = checkerboard()
    model = fit(rows, 14)

    assert best_unseen(model.scores(ragged(rows), np.arange(len(rows))).numpy(), rows) == withheld


def test_where_no_neighbour_says_anything_the_popular_come_first() -> None:
    events = np.array([0, 0, 5, 4, 3, 9])
    model = fit_item_knn(
        matrix([[2, 3], [4, 5]], 6), events,
        neighbours=9, similarity="cosine", shrinkage=0.0, history_decay=1.0,
    )  # fmt: skip

    scores = model.scores(ragged([[2]]), np.arange(1)).numpy()[0]

    assert sorted([3, 4, 5], key=lambda item: -scores[item]) == [3, 5, 4]
