"""The figures of users with several held-out items, and the drawing of those."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.bench.quality.random_quarter import ndcg, write_parts


def test_ndcg_of_several_targets_is_worked_out_by_hand() -> None:
    hits = np.array([[True, False, True], [False, True, False], [True, True, True]])
    num_targets = np.array([2, 1, 7])

    found = ndcg(hits, num_targets)

    # Discounts 1, 1/log2(3), 1/2; the ideal has as many hits in front as there is room for.
    second = 1 / math.log2(3)
    assert found == pytest.approx([1.5 / (1 + second), second, 1.0])


def test_a_quarter_of_each_user_is_held_out_and_nothing_is_lost(tmp_path: Path) -> None:
    lines = [f"{user}\t{item}\t3\t{1000 + item}\n" for user in (1, 2) for item in range(4 * user)]
    (tmp_path / "u.data").write_text("".join(lines))

    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_parts(tmp_path / "u.data", tmp_path / folder, seed)

    train, test = ((tmp_path / f"a/{part}.tsv").read_text() for part in ("train", "test"))
    assert sorted((train + test).splitlines(keepends=True)) == sorted(lines)
    held_out = pd.read_csv(tmp_path / "a/test.tsv", sep="\t", header=None)
    assert held_out[0].value_counts().to_dict() == {1: 1, 2: 2}
    assert (tmp_path / "b/test.tsv").read_text() == test
    assert (tmp_path / "c/test.tsv").read_text() != test
