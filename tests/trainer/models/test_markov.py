import numpy as np
import pytest
import torch

from conf.contract import HISTORY_ITEMS
from trainer.data.columns import Columns, Ragged
from trainer.models import markov
from trainer.models.markov import fit_markov


def ragged(rows: list[list[int]]) -> Ragged:
    values = np.array([item for row in rows for item in row], dtype=np.int32)
    return Ragged(values, np.cumsum([0] + [len(row) for row in rows]).astype(np.int64))


def blocks(*parts: list[list[int]]) -> list[Columns]:
    return [{HISTORY_ITEMS: ragged(part)} for part in parts]


EVENTS = np.array([0, 0, 8, 4, 2, 0])


def test_markov_counts_what_follows_the_last_item() -> None:
    model = fit_markov(blocks([[2, 3, 2, 3], [3, 4]], [[2, 4], [2, 3]]), EVENTS)

    scores = model.scores(ragged([[4, 2], [2, 3], [5]]), np.arange(3)).numpy()

    popularity = EVENTS / 9
    np.testing.assert_allclose(scores[0, :5] - popularity[:5], [0, 0, 0, 3, 1], atol=1e-12)
    np.testing.assert_allclose(scores[1, :5] - popularity[:5], [0, 0, 1, 0, 1], atol=1e-12)
    np.testing.assert_allclose(scores[2, :5], popularity[:5])
    assert (scores[:, 5] == -np.inf).all(), "nothing is known of an item without events"


def test_markov_skips_unknown_items_and_never_joins_two_rows() -> None:
    model = fit_markov(blocks([[2, 1, 3], [4]], [[5]]), EVENTS)

    assert len(model.pair_weights) == 0


def test_markov_is_the_same_however_the_counting_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    rows = [rng.integers(2, 30, rng.integers(2, 9)).tolist() for _ in range(200)]
    whole = fit_markov(blocks(rows), np.ones(30, dtype=np.int64))
    monkeypatch.setattr(markov, "_MERGE_AT", 10)
    cut = fit_markov(
        blocks(*[rows[i : i + 7] for i in range(0, 200, 7)]), np.ones(30, dtype=np.int64)
    )

    for name in ("starts", "items", "pair_weights"):
        np.testing.assert_array_equal(getattr(cut, name), getattr(whole, name))


def test_an_unknown_last_item_gives_no_reasons_whatever_is_recommended() -> None:
    """Nothing follows an item that training does not know, nor an empty history."""
    model = fit_markov(blocks([[2, 3]]), EVENTS)

    for histories, longest in ((ragged([[2, 1], [3, 1], [1]]), 2), (ragged([[], [], []]), 0)):
        for length in (2, 0):
            wanted = torch.full((3, length), 3)
            parts = model.contributions(histories, np.arange(3), wanted)
            assert parts.shape == (3, length, longest) and not parts.any()
