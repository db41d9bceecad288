import numpy as np
import pytest

from conf.errors import ConfigError, DivergedError
from tests.trainer.small_parts import best_unseen, checkerboard, matrix, ragged
from trainer.models import ease
from trainer.models.ease import fit_ease
from trainer.models.item_to_item import ItemToItem

RNG = np.random.default_rng(5)
ROWS = [RNG.integers(2, 40, RNG.integers(2, 12)).tolist() for _ in range(120)]


def fit(rows: list[list[int]], catalogue: int, **changes: float) -> ItemToItem:
    settings = {"regularisation": 3.0, "history_decay": 1.0, "weights_per_item": catalogue}
    settings |= {"max_items": 1000, **changes}  # type: ignore[dict-item]
    return fit_ease(matrix(rows, catalogue), np.zeros(catalogue), **settings)  # type: ignore[arg-type]


def closed_form(rows: list[list[int]], catalogue: int, regularisation: float) -> np.ndarray:
    """Steck 2019, algorithm 1, in double precision."""
    had = np.zeros((len(rows), catalogue))
    for user, row in enumerate(rows):
        had[user, row] = 1
    inverse = np.linalg.inv(had.T @ had + regularisation * np.eye(catalogue))
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return weights


def test_weights_and_scores_equal_the_closed_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ease, "_BLOCK_ITEMS", 7)
    expected = closed_form(ROWS, 40, 3.0)

    model = fit(ROWS, 40)

    np.testing.assert_allclose(model.pairs.toarray(), expected, rtol=1e-3, atol=1e-6)
    had = np.zeros((2, 40))
    had[0, [5, 6]], had[1, 9] = 1, 1
    scores = model.scores(ragged([[5, 6], [9, 9]]), np.arange(2)).numpy()
    np.testing.assert_allclose(scores, had @ expected, rtol=1e-3, atol=1e-6)


def test_the_largest_weights_of_each_item_are_kept() -> None:
    whole = fit(ROWS, 40).pairs.toarray()

    kept = fit(ROWS, 40, weights_per_item=4).pairs.toarray()

    for item in range(2, 40):
        largest = sorted(range(40), key=lambda j: -abs(whole[item, j]))[:4]
        assert set(np.flatnonzero(kept[item])) == set(largest)
    np.testing.assert_array_equal(kept[kept != 0], whole[kept != 0])


def test_the_withheld_cell_of_a_checkerboard_comes_first() -> None:
    rows, withheld = checkerboard()
    model = fit(rows, 14)

    assert best_unseen(model.scores(ragged(rows), np.arange(len(rows))).numpy(), rows) == withheld


def test_a_catalogue_that_is_too_large_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"max_items=39, but there are 40 items"):
        fit(ROWS, 40, max_items=39)


@pytest.mark.parametrize("regularisation", [1e-30, 1e300])
def test_equations_without_a_solution_are_told_with_the_key(regularisation: float) -> None:
    """Three items that always come together: without regularisation nothing tells them apart."""
    with pytest.raises(DivergedError, match=r"ease\.regularisation=1e.* leaves equations without"):
        fit([[2, 3, 4]] * 20, 7, regularisation=regularisation)


def test_a_number_that_leaves_no_weight_is_told_with_the_key() -> None:
    """Items that no user has in common: nothing but the regularisation is in the equations."""
    with pytest.raises(DivergedError, match=r"ease\.regularisation=1e\+300 leaves equations"):
        fit([[2], [3], [4]], 5, regularisation=1e300)
