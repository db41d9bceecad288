from pathlib import Path

import numpy as np
import pytest
import torch

from conf.contract import HISTORY_ITEMS, TARGET_ITEM
from tests.bench.made_up import write_dataset
from tests.trainer.small_model import SMALL
from trainer.data.columns import Columns, Ragged
from trainer.data.stream import read_row_groups
from trainer.evaluation.figures import count_ranks
from trainer.evaluation.held_out import COLUMNS
from trainer.models.bundle import build_model
from trainer.models.scorer import ModelScorer, Scorer

SECTION = {**SMALL, "blocks": 1, "dropout": 0.5, "history_length": 6, "embedding_std": 0.5}


@pytest.fixture(scope="module")
def blocks(tmp_path_factory: pytest.TempPathFactory) -> list[Columns]:
    folder = tmp_path_factory.mktemp("evaluate")
    manifest = write_dataset(folder, users=300, items=40, mean_length=8, row_group_rows=64)
    groups = manifest.row_groups("test")
    dataset: Path = folder / "datasets" / manifest.id
    return [columns for _, columns in read_row_groups(dataset, groups, COLUMNS)]


def model_scorer() -> ModelScorer:
    torch.manual_seed(2)
    return ModelScorer(build_model(SECTION, 42).eval())


def rank_by_hand(scorer: Scorer, columns: Columns, largest: int) -> np.ndarray:
    """Rank one row at a time, with lists and loops."""
    histories, targets = columns[HISTORY_ITEMS], columns[TARGET_ITEM]
    assert isinstance(histories, Ragged) and isinstance(targets, np.ndarray)
    counts = np.zeros(largest + 1, dtype=np.int64)
    for row, target in enumerate(targets):
        with torch.no_grad():
            scores = scorer.scores(histories, np.array([row]))[0].tolist()
        seen = set(histories.values[histories.offsets[row] : histories.offsets[row + 1]].tolist())
        others = [i for i in range(2, len(scores)) if i != target and i not in seen]
        rank = 1 + sum(scores[item] >= scores[target] for item in others)
        counts[rank if target not in seen and rank <= largest else 0] += 1
    return counts


def test_ranks_equal_those_worked_out_row_by_row(blocks: list[Columns]) -> None:
    scorer = model_scorer()

    counts = count_ranks(scorer, blocks, batch_rows=17, largest=10, drop_seen=True)

    expected = sum(rank_by_hand(scorer, columns, 10) for columns in blocks)
    np.testing.assert_array_equal(counts, expected)
    assert counts[1:].sum() > 20


def test_shares_of_workers_add_up_to_the_whole(blocks: list[Columns]) -> None:
    scorer = model_scorer()
    whole = count_ranks(scorer, blocks, batch_rows=17, largest=10, drop_seen=True)

    for workers in (2, 3):
        shares = [blocks[worker::workers] for worker in range(workers)]
        parts = [
            count_ranks(scorer, share, batch_rows=17, largest=10, drop_seen=True)
            for share in shares
        ]
        np.testing.assert_array_equal(np.sum(parts, axis=0), whole)
