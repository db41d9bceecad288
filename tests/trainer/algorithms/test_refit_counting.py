"""Models that count, and blends of them, fitted anew to what was held out."""

from pathlib import Path

import numpy as np
import pytest
import torch

from conf.errors import ConfigError
from conf.runs.stages import run_train
from conf.settings.config import Config
from conf.settings.load import load_config
from tests.trainer.small_parts import checkerboard, ragged, write_config, write_dataset
from trainer.algorithms import blended as blending
from trainer.algorithms import counted
from trainer.evaluation.figures import source_of
from trainer.models.bundle import load_scorer
from trainer.models.counting import COUNTING, fit_counting
from trainer.models.hybrid import Hybrid
from trainer.models.scorer import Scorer

ROWS, VALID = checkerboard()
TEST = VALID[1:] + VALID[:1]
WITH_VALID = [[*row, item] for row, item in zip(ROWS, VALID, strict=True)]
EVERYTHING = [[*row, item] for row, item in zip(WITH_VALID, TEST, strict=True)]

SURE = [[(user + 3 * place) % 7 / 3 for place in range(9)] for user in range(len(ROWS))]
"""Confidence in each event of each user, some of them 0."""


def configured(folder: Path, *changes: str) -> Config:
    return load_config(write_config(folder), changes)


@pytest.mark.parametrize("sure", [None, SURE], ids=["counts", "confidences"])
@pytest.mark.parametrize("name", COUNTING)
@pytest.mark.parametrize(
    ("kind", "whole"), [("with_valid", WITH_VALID), ("everything", EVERYTHING)]
)
def test_it_is_as_if_it_had_been_the_training_part(
    tmp_path: Path, name: str, kind: str, whole: list[list[int]], sure: list[list[float]] | None
) -> None:
    held_out = write_dataset(tmp_path / "held_out", ROWS, VALID, TEST, items=12, sure=sure)
    given = write_dataset(tmp_path / "given", whole, VALID, TEST, items=12, sure=sure)
    config = configured(tmp_path / "held_out", f"train.refit={kind}")

    alone, again = (
        fit_counting(name, source_of(config, held_out, refit=refit)).weights()
        for refit in (False, True)
    )
    wanted = fit_counting(name, source_of(configured(tmp_path / "given"), given)).weights()

    assert again.keys() == wanted.keys()
    for key, tensor in wanted.items():
        torch.testing.assert_close(again[key], tensor)
    assert sure is None or name.endswith("popularity") or "mean_confidence" in again
    assert any(alone[key].shape != again[key].shape or not alone[key].equal(again[key])
               for key in again)  # fmt: skip


def test_windows_of_long_histories_count_each_event_once(tmp_path: Path) -> None:
    rows = [[2 + (user + step) % 12 for step in range(70)] for user in range(8)]
    manifest = write_dataset(tmp_path, rows, [3] * 8, [4] * 8, items=12)
    config = configured(tmp_path, "train.refit=everything")

    source = source_of(config, manifest, refit=True)
    assert manifest.config["etl"]["window_length"] == 50
    assert sum(source.item_weights()) == 8 * 72 and source.item_weights()[3] > 8
    pairs = fit_counting("markov", source).weights()
    assert pairs.keys() == fit_counting("markov", source_of(config, manifest)).weights().keys()


@pytest.mark.slow
def test_what_is_published_knows_what_was_held_out(tmp_path: Path) -> None:
    write_dataset(tmp_path, ROWS, VALID, TEST, items=12)
    for blend in (False, True):
        more = ["train.algorithm=ease"]
        if blend:
            more = ["train.algorithm=hybrid", "train.hybrid.members=[ease,markov,neural]"]
        alone = run_train(configured(tmp_path, *more))
        again = run_train(configured(tmp_path, *more, "train.refit=with_valid"))
        everything = run_train(configured(tmp_path, *more, "train.refit=everything"))

        assert again["metrics"]["test"] == alone["metrics"]["test"]
        refit = again["metrics"]["refit"]
        assert refit["trained_on"] == "with_valid" and refit["test"]["model"]["hr@10"] > 0
        assert "test" not in everything["metrics"]["refit"]
        assert "trained again with more data (with_valid)" in Path(again["card"]).read_text()
        (_, first), (_, second) = (load_scorer(tmp_path, run["id"]) for run in (alone, again))
        if blend:
            assert isinstance(first, Hybrid) and isinstance(second, Hybrid)
            assert first.blend == second.blend
            pairs = [(first.members[name], second.members[name]) for name in first.members]
        else:
            pairs = [(first, second)]
        for old, new in pairs:
            assert told(old) != told(new)


def told(scorer: Scorer) -> list[float]:
    """Return what it says to a history of three events."""
    scores = scorer.scores(ragged([[2, 4, 6]]), np.array([0]))
    return [round(value, 9) for value in scores[0, 2:].tolist()]


def test_splits_that_leave_no_last_event_are_refused(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path, ROWS, VALID, TEST, items=12)
    manifest.config["etl"]["split"]["kind"] = "random"
    for algorithm, train in (("ease", counted.train), ("hybrid", blending.train)):
        config = configured(
            tmp_path, f"train.algorithm={algorithm}", "train.refit=with_valid",
            "train.hybrid.members=[ease,markov]",
        )  # fmt: skip
        with pytest.raises(ConfigError, match="split of dataset small is 'random'"):
            train(config, manifest, tmp_path)
    taken = ("train.algorithm=hybrid", "train.hybrid.neural=abc", "train.refit=with_valid")
    with pytest.raises(ConfigError, match="trains all members again"):
        configured(tmp_path, *taken)
