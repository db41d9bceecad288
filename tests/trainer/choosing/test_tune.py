"""Searches through the real stage: one Ray for all of them."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from conf.errors import ConfigError
from conf.runs.choosing import run_tune
from conf.settings.config import Config
from conf.settings.load import load_config
from tests.trainer.small_parts import write_config, write_dataset

ITEMS = 12
# Everybody goes round the items, one after the other.
TRAIN = [[2 + (user + step) % ITEMS for step in range(6)] for user in range(60)]
VALID = [2 + (user + 6) % ITEMS for user in range(60)]
QUICK = ("train.batch_rows=8", "train.optimizer.warmup_steps=0", "train.model.dropout=0",
         "train.metric=hr@1")  # fmt: skip
RATE = "optimizer.learning_rate: {choice: [0.00001, 0.03]}"


@pytest.fixture(scope="module")
def workspace(shared_ray: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tune")
    write_dataset(folder, TRAIN, VALID, VALID, items=ITEMS)
    for path in (folder / "datasets" / "small" / "test").glob("*.parquet"):
        # A search that reads the test part fails; footers are checked, so that stays.
        sound = path.read_bytes()
        footer = 8 + int.from_bytes(sound[-8:-4], "little")
        path.write_bytes(b"x" * (len(sound) - footer) + sound[-footer:])
    return folder


def configured(workspace: Path, space: str, *overrides: str) -> Config:
    return load_config(
        write_config(workspace), [*QUICK, f"tune.space={{{space}}}", *overrides]
    )  # fmt: skip


@pytest.mark.slow
def test_the_better_learning_rate_is_found_and_the_others_are_given_up(workspace: Path) -> None:
    """Three heads do not divide the width: the rules refuse them, as the table tells."""
    config = configured(
        workspace, f"{RATE}, model.heads: {{choice: [1, 3]}}", "tune.trials=9", "train.epochs=5",
        "tune.pruning={kind: halving, warmup_epochs: 1, reduction_factor: 2}", "tune.seed=3",
    )  # fmt: skip

    found = run_tune(config)

    rows, best = found["trials"], found["best"]
    assert len(rows) == 9
    assert best["settings"]["train.optimizer.learning_rate"] == 0.03 and best["value"] > 0.9
    refused = [row for row in rows if row["state"] == "refused"]
    assert refused and all(row["settings"]["train.model.heads"] == 3 for row in refused)
    assert all("heads=3 has to divide" in row["message"] for row in refused)
    slow = [row for row in rows if row["settings"] == {
        "train.optimizer.learning_rate": 0.00001, "train.model.heads": 1}]  # fmt: skip
    assert [(row["state"], row["epochs"]) for row in slow if row["same_as"] is None] == [
        ("pruned", 1)
    ]
    again = [row for row in rows if row["same_as"] is not None]
    assert again and all(row["seconds"] == 0 for row in again)
    trained = [row for row in rows if row["seconds"] > 0]
    assert len({json.dumps(row["settings"]) for row in trained}) == len(trained) == 2
    assert list((workspace / "models").glob(".work-*")) == []


def test_models_that_count_are_searched_and_more_trials_go_on(workspace: Path) -> None:
    space = (
        "algorithm: {choice: [markov, ease, popularity]}, "
        "counting.ease.regularisation: {low: 1, high: 500, log: true}"
    )
    first = run_tune(configured(workspace, space, "tune.trials=2"))
    whole = run_tune(configured(workspace, space, "tune.trials=14"))

    assert whole["id"] == first["id"] and whole["trials"][:2] == first["trials"]
    assert len(whole["trials"]) == 14
    assert whole["best"]["settings"]["train.algorithm"] != "popularity"
    assert whole["best"]["value"] == 1
    keys = {"train.algorithm", "train.counting.ease.regularisation"}
    assert set(whole["importance"]) == keys
    again = run_tune(configured(workspace, space, "tune.trials=14"))
    assert again == whole
    spent = run_tune(configured(workspace, space, "tune.trials=9999", "tune.budget_seconds=1"))
    assert 14 <= len(spent["trials"]) < 9999


def test_a_search_without_any_figure_says_why(workspace: Path) -> None:
    space = "counting.ease.max_items: {choice: [2]}"
    with pytest.raises(ConfigError, match=r"none of 1 trials has a figure; reason of .*ease"):
        run_tune(configured(workspace, space, "tune.trials=1", "train.algorithm=ease"))
    with pytest.raises(ConfigError, match=r"tune\.space is empty"):
        run_tune(configured(workspace, ""))


def test_the_test_part_cannot_be_read_here(workspace: Path) -> None:
    path = next((workspace / "datasets" / "small" / "test").glob("*.parquet"))
    with pytest.raises(OSError, match="thrift"):
        pq.read_table(path)
