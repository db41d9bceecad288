import numpy as np
import pytest
import torch

from conf.contract import HISTORY_ITEMS, HISTORY_WEIGHTS
from trainer.data.batches import block_batches, history_batch, train_batch
from trainer.data.columns import Columns, Ragged, concatenate


def ragged(rows: list[list[int]], dtype: type = np.int32) -> Ragged:
    values = np.array([item for row in rows for item in row], dtype=dtype)
    return Ragged(values, np.cumsum([0] + [len(row) for row in rows]).astype(np.int64))


def block(rows: list[list[int]]) -> Columns:
    weights = [[item / 10 for item in row] for row in rows]
    return {HISTORY_ITEMS: ragged(rows), HISTORY_WEIGHTS: ragged(weights, np.float32)}  # type: ignore[arg-type]


def made_up(count: int) -> list[list[int]]:
    """Rows whose first item is their own number, so that each can be told."""
    rng = np.random.default_rng(4)
    return [[2 + row, *rng.integers(2, 50, rng.integers(1, 30)).tolist()] for row in range(count)]


def test_a_history_batch_holds_the_newest_events_padded_behind() -> None:
    batch = history_batch(ragged([[5, 6, 7, 8], [9], [2, 3]]), np.array([2, 0, 1]), 3)

    assert batch.item_idx.tolist() == [[2, 3, 0], [6, 7, 8], [9, 0, 0]]
    assert batch.lengths.tolist() == [2, 3, 1]


def test_a_training_batch_pairs_each_event_with_the_next_and_its_weight() -> None:
    batch = train_batch(block([[5, 6, 7], [8, 9]]), np.array([0, 1]), 4)

    assert batch.item_idx.tolist() == [[5, 6], [8, 0]]
    assert batch.target_idx.tolist() == [[6, 7], [9, 0]]
    torch.testing.assert_close(batch.target_weight, torch.tensor([[0.6, 0.7], [0.9, 0.0]]))


@pytest.mark.parametrize(("rows", "steps"), [(200, 7), (200, 130), (5, 9), (1, 1)])
def test_a_blocks_batches_hold_each_row_once_in_the_steps_asked_for(rows: int, steps: int) -> None:
    batches = list(
        block_batches(
            block(made_up(rows)), steps=steps, max_length=50, row_seed=(1, 0), order_seed=(1,)
        )
    )

    assert len(batches) == steps
    firsts = [int(first) for batch in batches for first in batch.item_idx[:, :1].flatten()]
    assert sorted(firsts) == list(range(2, rows + 2))
    sizes = [len(batch.item_idx) for batch in batches]
    assert max(sizes) - min(sizes) <= 1


def test_batches_of_like_length_leave_little_padding() -> None:
    batches = list(
        block_batches(
            block(made_up(2000)), steps=60, max_length=50, row_seed=(1, 0), order_seed=(1,)
        )
    )

    cells = sum(batch.item_idx.numel() for batch in batches)
    padding = sum(int((batch.target_idx == 0).sum()) for batch in batches)
    assert padding / cells < 0.05


def test_another_seed_gives_another_order_and_the_same_seed_the_same() -> None:
    def order(*seed: int) -> list[int]:
        batches = block_batches(
            block(made_up(100)), steps=10, max_length=50, row_seed=seed, order_seed=seed
        )
        return [int(first) for batch in batches for first in batch.item_idx[:, :1].flatten()]

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(1, 1)


def test_blocks_are_joined_row_by_row() -> None:
    joined = concatenate([block([[5, 6], [7]]), block([[8]]), block([[9, 2, 3]])])

    histories = joined[HISTORY_ITEMS]
    assert isinstance(histories, Ragged)
    assert histories.values.tolist() == [5, 6, 7, 8, 9, 2, 3]
    assert histories.offsets.tolist() == [0, 2, 3, 4, 7]
