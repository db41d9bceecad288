"""Counting models on events that differ in confidence."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from conf.contract import HISTORY_ITEMS, HISTORY_TIMES, HISTORY_WEIGHTS, USER_IDX
from conf.errors import InputError
from conf.runs.stages import run_train
from conf.settings.load import load_config
from tests.trainer.small_parts import (
    Numbers,
    Rows,
    ragged,
    sure_block,
    train_block,
    write_config,
    write_dataset,
)
from trainer.data.columns import Columns, Ragged, lists_of
from trainer.data.trained_on import require_confidence
from trainer.models.als import Factors, fit_als
from trainer.models.counting import COUNTING
from trainer.models.ease import fit_ease
from trainer.models.fit_source import user_items
from trainer.models.history_weights import weighted_events
from trainer.models.item_knn import fit_item_knn
from trainer.models.item_to_item import ItemToItem
from trainer.models.markov import fit_markov
from trainer.models.popularity import fit_recent_popularity
from trainer.models.scorer import Scorer

V = 14
NOBODY = np.zeros(V)
Fit = Callable[[Columns], Scorer]


def knn(block: Columns, similarity: str = "cosine", shrinkage: float = 2.0) -> ItemToItem:
    return fit_item_knn(
        user_items([block], V), NOBODY, neighbours=99, similarity=similarity, shrinkage=shrinkage,
        history_decay=0.8,
    )  # fmt: skip


def ease(block: Columns) -> ItemToItem:
    return fit_ease(
        user_items([block], V), NOBODY, regularisation=3.0, history_decay=0.8,
        weights_per_item=99, max_items=99,
    )  # fmt: skip


def als(block: Columns, iterations: int = 30) -> Factors:
    return fit_als(
        user_items([block], V), factors=2, regularisation=0.5, alpha=4.0, iterations=iterations,
        history_decay=0.8, seed=1, threads=1,
    )  # fmt: skip


def markov(block: Columns) -> ItemToItem:
    return fit_markov([block], NOBODY)


MATRIX_FITS = [knn, ease, als]


def some_log(seed: int = 3, users: int = 60) -> tuple[Rows, Numbers]:
    """Return histories with repeated items, and confidences with zeros among them."""
    rng = np.random.default_rng(seed)
    rows = [rng.integers(2, V, rng.integers(3, 9)).tolist() for _ in range(users)]
    levels = np.array([0.0, 0.25, 1.0, 3.0])
    return rows, [rng.choice(levels, len(row)).tolist() for row in rows]


def dense(rows: Rows, sure: Numbers) -> np.ndarray:
    """Return the largest confidence of each user and item over the mean of those above 0."""
    table = np.zeros((len(rows), V))
    for user, (row, own) in enumerate(zip(rows, sure, strict=True)):
        for item, confidence in zip(row, own, strict=True):
            table[user, item] = max(table[user, item], confidence)
    return table / table[table > 0].mean()


@pytest.mark.parametrize("similarity", ["cosine", "jaccard"])
def test_neighbours_are_those_of_the_dense_matrix(similarity: str) -> None:
    rows, sure = some_log()
    table = dense(rows, sure)
    both = table.T @ table
    own = np.diag(both)
    size = (np.sqrt(np.outer(own, own)) if similarity == "cosine"
            else own[:, None] + own[None] - both)  # fmt: skip
    wanted = np.where(both > 0, both, 0) / (size + 2.0)
    np.fill_diagonal(wanted, 0)

    found = knn(sure_block(rows, sure), similarity).pairs.toarray()

    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_ease_is_the_closed_form_of_the_dense_matrix() -> None:
    rows, sure = some_log()
    table = dense(rows, sure)
    inverse = np.linalg.inv(table.T @ table + 3.0 * np.eye(V))
    wanted = -inverse / np.diag(inverse)
    np.fill_diagonal(wanted, 0)

    found = ease(sure_block(rows, sure)).pairs.toarray()

    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_als_is_a_fixed_point_of_both_least_squares() -> None:
    rows, sure = some_log()
    confidence = 1 + 4.0 * dense(rows, sure)
    prefers = (confidence > 1).astype(float)
    model = als(sure_block(rows, sure), iterations=400)
    items = model.item_factors.astype(float)

    def solved(other: np.ndarray, sure: np.ndarray, likes: np.ndarray) -> np.ndarray:
        return np.stack([
            np.linalg.solve(other.T @ (c[:, None] * other) + 0.5 * np.eye(2), other.T @ (c * p))
            for c, p in zip(sure, likes, strict=True)
        ])  # fmt: skip

    users = solved(items, confidence, prefers)
    again = solved(users, confidence.T, prefers.T)

    np.testing.assert_allclose(again[2:], items[2:], atol=2e-3)


def test_transitions_count_by_what_was_chosen_next() -> None:
    rows, sure = [[2, 3, 4, 3], [2, 3], [3, 2, 3]], [[1, 0.5, 0, 2], [9, 3], [2, 0.25, 1]]

    model = markov(sure_block(rows, sure))

    table = np.zeros((V, V))
    table[2, 3], table[3, 2] = 0.5 + 3 + 1, 0.25  # none to or from 4, which says nothing
    np.testing.assert_allclose(model.pairs.toarray(), table)
    histories = histories_of([[3, 2, 4]], [[1, 5, 0]])
    assert model.scores(histories, np.arange(1))[0, 3] == 4.5, "the last event that says something"


def test_recent_popularity_multiplies_confidence_and_recency() -> None:
    day = 86_400_000_000
    times = Ragged(np.array([0, 10 * day, 10 * day, 5 * day]), np.array([0, 3, 4]))
    block = {**sure_block([[2, 3, 4], [2]], [[4, 2, 0], [1]]), HISTORY_TIMES: times}

    model = fit_recent_popularity([block], np.full(9, 9), catalogue=6, half_life_days=5)

    np.testing.assert_allclose(model.train_events, [0, 0, 4 / 4 + 1 / 2, 2, 0, 0])
    assert model.unknown is not None and model.unknown[4], "its only event says nothing"


@pytest.mark.parametrize("fit", MATRIX_FITS)
def test_equal_confidences_change_nothing_at_all(fit: Fit) -> None:
    rows, _ = some_log()
    plain = fit(train_block(rows)).weights()  # type: ignore[attr-defined]
    for level in (1.0, 3.0, 0.1):
        same = fit(sure_block(rows, [[level] * len(row) for row in rows])).weights()  # type: ignore[attr-defined]
        for name, tensor in plain.items():
            np.testing.assert_array_equal(same[name].numpy(), tensor.numpy())


@pytest.mark.parametrize("fit", MATRIX_FITS)
def test_only_the_ratios_of_confidences_matter(fit: Fit) -> None:
    rows, sure = some_log()
    first, fourfold = (fit(sure_block(rows, by(sure, factor))) for factor in (1, 4))

    one, other = (
        model.scores(histories_of(rows, by(sure, factor)), np.arange(len(rows))).numpy()
        for model, factor in ((first, 1), (fourfold, 4))
    )

    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("fit", [*MATRIX_FITS, markov])
def test_contributions_add_up_to_the_score(fit: Fit) -> None:
    rows, sure = some_log()
    model, histories = fit(sure_block(rows, sure)), histories_of(rows, sure)
    every = np.arange(len(rows))
    wanted = np.tile(np.arange(2, V), (len(rows), 1))

    scores = model.scores(histories, every).numpy()[:, 2:]
    parts = model.contributions(histories, every, as_tensor(wanted)).numpy()

    np.testing.assert_allclose(parts.sum(2), scores, atol=1e-4)
    for user, own in enumerate(sure):
        silent = np.flatnonzero(np.array(own) == 0)
        assert not parts[user][:, silent].any(), "an event of confidence 0 is no reason"


def test_an_event_of_a_history_counts_by_its_confidence_over_the_mean() -> None:
    histories = histories_of([[5, 3, 5, 4], [2], [3, 1]], [[8, 2, 4, 0], [0], [2, 6]])

    weights = weighted_events(histories, np.arange(3), 0.5, mean=2.0).matrix(6).toarray()

    # 4 says nothing and has no position; the largest confidence of item 5 is 8, at position 0.
    np.testing.assert_allclose(weights, [[0, 0, 0, 0.5, 0, 4], [0] * 6, [0, 0, 0, 0.5, 0, 0]])
    plain = weighted_events(histories, np.arange(3), 0.5).matrix(6).toarray()
    np.testing.assert_allclose(plain[0], [0, 0, 0, 0.25, 1, 0.5]), "fitted without confidences"


def test_markov_follows_purchases_past_a_banner_that_all_see_next() -> None:
    """Who buys 2 buys 3 next, but sees the banner item 6 three times after it."""
    pairs = [(2, 3), (3, 2), (4, 5), (5, 4)]
    rows = [[one, two, one, 6, one, 6, one, 6] for one, two in pairs]
    sure = [[5, 5, 5, 0.1, 5, 0.1, 5, 0.1] for _ in rows]
    asked = ragged([[2], [3], [4], [5]])

    weighted = markov(sure_block(rows, sure)).scores(asked, np.arange(4)).numpy()
    counted = markov(train_block(rows)).scores(asked, np.arange(4)).numpy()

    assert weighted.argmax(1).tolist() == [3, 2, 5, 4]
    assert counted.argmax(1).tolist() == [6, 6, 6, 6]


@pytest.mark.parametrize("fit", MATRIX_FITS)
def test_purchases_are_found_among_views_that_are_noise(fit: Fit) -> None:
    """Who buys, buys within one half of the catalogue; what is viewed, is drawn from all of it."""
    rng = np.random.default_rng(5)
    rows, sure, halves = [], [], []
    for user in range(400):
        half = user % 2
        bought = rng.choice(np.arange(2, V)[half::2], 2, replace=False)
        viewed = rng.choice(np.arange(2, V), 4)
        order = rng.permutation(6)
        rows.append(np.concatenate([viewed, bought])[order].tolist())
        sure.append(np.array([0.01] * 4 + [10.0] * 2)[order].tolist())
        halves.append(half)
    rows = [[*row, int(bought_last(row, own))] for row, own in zip(rows, sure, strict=True)]
    sure = [[*own, 10.0] for own in sure]

    weighted = right_half(fit(sure_block(rows, sure)), histories_of(rows, sure), rows, halves)
    counted = right_half(fit(train_block(rows)), ragged(rows), rows, halves)

    assert weighted > 0.95 and counted < 0.9 and weighted > counted + 0.1, (weighted, counted)


def bought_last(row: Sequence[int], own: Sequence[float]) -> int:
    """Return the item of the last purchase, which the user buys once more."""
    return [item for item, sure in zip(row, own, strict=True) if sure > 1][-1]


def right_half(model: Scorer, histories: Ragged, rows: Rows, halves: Sequence[int]) -> float:
    """Return the share of users whose best unseen item is of the half that they buy from."""
    scores = model.scores(histories, np.arange(len(rows))).numpy().astype(float)
    scores[:, :2] = -np.inf
    for user, row in enumerate(rows):
        scores[user, list(row)] = -np.inf
    return float(np.mean((scores.argmax(1) - 2) % 2 == np.array(halves)))


def histories_of(rows: Rows, sure: Numbers) -> Ragged:
    block = sure_block(rows, sure)
    return lists_of(block, HISTORY_ITEMS)._replace(
        beside={HISTORY_WEIGHTS: lists_of(block, HISTORY_WEIGHTS).values}
    )


def by(sure: Numbers, factor: float) -> Numbers:
    return [[factor * one for one in row] for row in sure]


def as_tensor(numbers: np.ndarray):  # type: ignore[no-untyped-def]
    import torch

    return torch.from_numpy(numbers.astype(np.int64))


def test_windows_of_a_user_are_one_row_with_the_largest_confidence() -> None:
    first, second = sure_block([[2, 3]], [[1, 0]]), sure_block([[3, 2, 4]], [[0, 3, 2]])
    assert first[USER_IDX] == second[USER_IDX]

    found = user_items([first, second], 6)

    assert found.mean == 2.5
    np.testing.assert_allclose(found.matrix.toarray(), [[0, 0, 3 / 2.5, 0, 2 / 2.5, 0]])


@pytest.mark.parametrize("algorithm", [*COUNTING, "hybrid", "neural", "auto"])
def test_training_events_without_any_confidence_are_refused_with_the_cause(
    tmp_path: Path, algorithm: str
) -> None:
    nothing = [[0.0] * 5] * 6
    write_dataset(tmp_path, [[2, 3, 4]] * 6, [5] * 6, [6] * 6, items=5, sure=nothing)
    config = load_config(write_config(tmp_path), [f"train.algorithm={algorithm}"])

    with pytest.raises(
        InputError, match=r"all 18 training events .* have the confidence 0"
    ) as told:
        run_train(config)

    assert told.value.exit_code == 3 and "etl.event_types" in str(told.value)


def test_one_sure_event_is_something_to_learn_from(tmp_path: Path) -> None:
    sure = [[0.0] * 5, [0.0, 0.25, 0.0, 0.0, 0.0]]
    manifest = write_dataset(tmp_path, [[2, 3, 4]] * 2, [5] * 2, [6] * 2, items=5, sure=sure)
    require_confidence(tmp_path / "datasets" / manifest.id, manifest)
