import numpy as np
import pytest
import torch

from conf.errors import DivergedError
from tests.trainer.small_parts import best_unseen, checkerboard, matrix, ragged
from trainer.models.als import Factors, fit_als


def fit(rows: list[list[int]], catalogue: int, **changes: float) -> Factors:
    settings = {"factors": 4, "regularisation": 0.1, "alpha": 10.0, "iterations": 15}
    settings |= {"history_decay": 1.0, "seed": 1, "threads": 1, **changes}
    return fit_als(matrix(rows, catalogue), **settings)  # type: ignore[arg-type]


def test_the_withheld_cell_of_a_checkerboard_comes_first() -> None:
    rows, withheld = checkerboard()
    model = fit(rows, 14)

    assert best_unseen(model.scores(ragged(rows), np.arange(len(rows))).numpy(), rows) == withheld


def test_a_user_is_the_least_squares_solution_of_hu_et_al() -> None:
    rng = np.random.default_rng(2)
    vectors = rng.normal(size=(9, 3)).astype(np.float32)
    vectors[:2] = 0
    model = Factors(vectors, regularisation=0.7, alpha=5.0, history_decay=0.5)

    scores = model.scores(ragged([[4, 1, 7]]), np.arange(1)).numpy()

    confidence = np.ones(9)
    confidence[[4, 7]] = 1 + 5 * 0.25, 1 + 5
    has_had = np.isin(np.arange(9), [4, 7]).astype(float)
    left = vectors.T @ np.diag(confidence) @ vectors + 0.7 * np.eye(3)
    user = np.linalg.inv(left) @ vectors.T @ np.diag(confidence) @ has_had
    np.testing.assert_allclose(scores[0], vectors @ user, rtol=1e-4, atol=1e-6)


def test_factors_are_a_fixed_point_of_the_users_and_the_items_equations() -> None:
    """After many rounds each item's vector solves its own least squares, given the users'."""
    rng = np.random.default_rng(4)
    rows = [rng.choice(np.arange(2, 14), 5, replace=False).tolist() for _ in range(50)]
    model = fit(rows, 14, factors=2, iterations=300)
    had = matrix(rows, 14).matrix.toarray()
    items = model.item_factors.astype(np.float64)
    users = np.stack([_solve(items, had[user], 0.1, 10.0) for user in range(len(rows))])

    again = np.stack([_solve(users, had[:, item], 0.1, 10.0) for item in range(14)])

    np.testing.assert_allclose(again, items, atol=2e-3)


def _solve(others: np.ndarray, had: np.ndarray, regularisation: float, alpha: float) -> np.ndarray:
    confidence = 1 + alpha * had
    left = (others.T * confidence) @ others + regularisation * np.eye(others.shape[1])
    return np.linalg.solve(left, others.T @ (confidence * had))


def test_the_same_seed_gives_the_same_factors() -> None:
    rows, _ = checkerboard()

    np.testing.assert_array_equal(fit(rows, 14).item_factors, fit(rows, 14).item_factors)
    assert np.abs(fit(rows, 14).item_factors - fit(rows, 14, seed=2).item_factors).max() > 1e-3


def test_reserved_numbers_have_no_factors() -> None:
    model = fit([[2, 3], [2, 4]], 6)

    assert not model.item_factors[:2].any() and model.item_factors[2:5].any()
    scores = model.scores(ragged([[1], [3]]), np.arange(2)).numpy()
    assert not scores[0, :5].any() and scores[1, 3] == pytest.approx(1, abs=0.2)
    assert scores[0, 5] == -np.inf, "nobody had it"


@pytest.mark.parametrize("changes", [{"alpha": 1e38}, {"regularisation": 1e-300}])
def test_equations_without_a_solution_are_told_with_the_keys(changes: dict[str, float]) -> None:
    settings = {"regularisation": 1.0, "alpha": 10.0, **changes}
    with pytest.raises(DivergedError, match=r"als\.regularisation=.* leave equations without"):
        fit_als(
            matrix([[2, 3, 4]] * 20, 7), factors=4, iterations=3, history_decay=1.0, seed=1,
            threads=1, **settings,
        )  # fmt: skip


def test_a_user_has_the_same_scores_whatever_the_other_users() -> None:
    rng = np.random.default_rng(3)
    model = Factors(rng.normal(size=(500, 64)).astype(np.float32), 0.1, 5.0, 0.8)
    histories = ragged([rng.integers(2, 500, 9).tolist() for _ in range(40)])
    together = model.scores(histories, np.arange(40))
    for rows in (np.array([7]), np.array([3, 12]), np.arange(5), np.arange(8, 25)):
        assert torch.equal(model.scores(histories, rows), together[rows])
