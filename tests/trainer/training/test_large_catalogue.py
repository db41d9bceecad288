"""A catalogue of two million items trains in the memory of one machine."""

from pathlib import Path

import pytest

from tests.bench.runs import timed_python
from tests.bench.training.large_catalogue import BATCH_ROWS, CASES, ITEMS, USERS

MOST_GIB = 8.0


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_two_million_items_train_in_eight_gib(tmp_path: Path) -> None:
    for kind, embeddings in CASES:
        command = ["-m", "tests.bench.training.large_catalogue", str(tmp_path), kind, embeddings]
        figures, _, _ = timed_python(command)
        print(kind, embeddings, figures)  # shown by pytest -s

        assert figures["items"] == ITEMS and figures["steps"] == USERS // BATCH_ROWS
        assert figures["peak_gib"] < MOST_GIB
        # Both vectors are small at first, so that all items are about as likely: a full softmax
        # begins at ln 2,000,000 = 14.5, one of 256 negatives and the target at ln 257 = 5.5.
        expected = 14.5 if kind == "cross_entropy" else 5.5
        assert figures["loss"] == pytest.approx(expected, abs=0.5)
