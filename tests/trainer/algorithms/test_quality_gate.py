"""A model that a baseline beats is kept, but not published: the real stages, one Ray for all."""

import logging
from pathlib import Path

import pytest

from conf.errors import GateError
from conf.runs.looking import run_status
from conf.runs.stages import run_score, run_train
from conf.settings.config import Config
from conf.settings.load import load_config
from conf.workspace.json_files import read_json, write_json
from conf.workspace.pointers import read_pointer
from tests.trainer.small_parts import DAY, write_config, write_dataset

ITEMS = 30
# Everybody goes round the items: Markov's next item is always right, and none is more popular.
ROUND = [[2 + (user + step) % ITEMS for step in range(6)] for user in range(60)]
VALID, TEST = ([2 + (user + step) % ITEMS for user in range(60)] for step in (4, 5))
TRAIN = [row[:4] for row in ROUND]
pytestmark = pytest.mark.usefixtures("shared_ray")


def configured(workspace: Path, algorithm: str, gate: str, *more: str) -> Config:
    changes = [f"train.algorithm={algorithm}", f"train.gate={gate}", *more]
    return load_config(write_config(workspace), changes)


def test_a_model_worse_than_its_baseline_is_not_published(tmp_path: Path) -> None:
    write_dataset(tmp_path, TRAIN, VALID, TEST, items=ITEMS)
    run_train(configured(tmp_path, "markov", "refuse"))
    good = read_pointer(tmp_path, "models")
    worse = configured(tmp_path, "popularity", "refuse")

    with pytest.raises(GateError) as first:
        run_train(worse)
    with pytest.raises(GateError) as second:
        run_train(worse)

    said = str(first.value)
    assert first.value.exit_code == 5 and str(second.value) == said
    for piece in ("the published one stays", "ndcg@10 on validation, 60 users", "markov 1.0000",
                  "headrace advise", "headrace compare", "train.algorithm=auto",
                  "train.gate=warn"):  # fmt: skip
        assert piece in said
    made = first.value.made
    assert made is not None and (made["stage"], made["status"]) == ("train", "refused")
    assert made["metrics"]["gate"]["baselines"]["markov"]["value"] == 1
    assert read_pointer(tmp_path, "models") == good
    status = run_status(worse)
    (refused,) = status["refused_models"]
    assert (tmp_path / "models" / refused / "card.html").is_file()
    assert (status["models"]["algorithm"], status["models"]["gate"]) == ("markov", "passed")
    card = (tmp_path / "models" / refused / "card.html").read_text()
    assert "the gate train.gate refuses the model" in card


def test_the_gate_can_be_opened_without_training_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_dataset(tmp_path, TRAIN, VALID, TEST, items=ITEMS)
    with pytest.raises(GateError):
        run_train(configured(tmp_path, "popularity", "refuse"))
    with caplog.at_level(logging.WARNING):
        opened = run_train(configured(tmp_path, "popularity", "warn"))
    assert (opened["status"], opened["published"]) == ("already done", "published")
    assert any("markov 1.0000" in record.getMessage() for record in caplog.records)
    assert opened["metrics"]["gate"]["verdict"] == "beaten"
    again = run_train(configured(tmp_path, "popularity", "refuse"))
    assert again["published"] == "current"  # a person has accepted it


def test_without_a_validation_part_the_model_is_published_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    manifest = write_dataset(tmp_path, TRAIN, VALID, TEST, items=ITEMS)
    bare = manifest.model_copy(update={"files": {**manifest.files, "valid": ()}})
    (tmp_path / "datasets" / "small" / "manifest.json").write_text(bare.model_dump_json())

    with caplog.at_level(logging.WARNING):
        trained = run_train(configured(tmp_path, "popularity", "refuse"))

    gate = trained["metrics"]["gate"]
    assert (trained["published"], gate["verdict"], gate["model"]) == (
        "published",
        "unchecked",
        None,
    )
    assert trained["metrics"]["valid"] == {"ndcg@10": None}
    assert any("no validation part" in record.getMessage() for record in caplog.records)


def test_a_dated_scoring_takes_no_refused_model(tmp_path: Path) -> None:
    """The published model is of the day before; the only one of this day was refused."""
    write_dataset(tmp_path, TRAIN, VALID, TEST, items=ITEMS)
    good = run_train(configured(tmp_path, "markov", "refuse"))
    bundle = Path(good["folder"]) / "bundle.json"
    write_json(bundle, {**read_json(bundle), "logical_date": "2026-01-30"})
    worse = configured(tmp_path, "popularity", "refuse")
    with pytest.raises(GateError):
        run_train(worse)

    with pytest.raises(GateError, match="is not published"):
        run_score(worse, DAY)
    assert read_pointer(tmp_path, "lists") is None
