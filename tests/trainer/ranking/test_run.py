"""A ranking model through Ray: trained by two workers, committed, read back, measured again."""

import json
from pathlib import Path

import pytest
import torch

from conf.contract import Bundle
from conf.errors import InputError, VersionError
from conf.runs.choosing import run_tune
from conf.settings.choosing import Tune
from conf.workspace.pointers import publish
from conf.workspace.versions import commit, read_manifest
from tests.strict_json import strict_json
from tests.trainer.impression_log import PARTS, config_for, with_one_class, write_impressions
from trainer.algorithms import launch
from trainer.algorithms import measure as evaluate
from trainer.ranking.bundle import load_ranking

pytestmark = pytest.mark.slow


def test_two_workers_train_a_model_that_is_measured_again_alike(tmp_path: Path) -> None:
    ranking = {
        "labels": {"liked": 1.0, "bought": 1.0}, "multi_task": "mmoe", "experts": 2,
        "history": "target_attention", "batch_norm": True, "calibration": "platt",
    }  # fmt: skip
    config = config_for(tmp_path, ranking, workers=2, epochs=3)
    manifest = write_impressions(tmp_path / "datasets/impressions", config)
    commit(tmp_path, "datasets", manifest)
    publish(tmp_path, "datasets", manifest.id, manifest.logical_date)

    version = launch.run(config, dataset_id=manifest.id, request="c" * 64)

    metrics = json.loads((tmp_path / "models" / version / "metrics.json").read_text())
    assert set(metrics["test"]) == {"model", "linear", "item_rate", "label_mean"}
    assert metrics["test_rows"] == PARTS["test"]
    for label in ("liked", "bought"):
        loss = {name: figures[f"{label}.log_loss"] for name, figures in metrics["test"].items()}
        assert loss["model"] < min(loss["linear"], loss["item_rate"], loss["label_mean"])
    gate = metrics["gate"]
    assert set(gate["baselines"]) == {"linear", "item_rate", "label_mean"}
    assert gate["model"] == pytest.approx(metrics["valid"]["liked.auc"], abs=1e-9)
    assert gate["verdict"] == "passed" and gate["baselines"]["label_mean"]["value"] == 0.5
    assert set(metrics["calibration"]) == {"liked", "bought"}
    for segments in metrics["segments"].values():
        total = sum(s["targets"] * s["model"]["liked.log_loss"]["value"] for s in segments.values())
        loss = metrics["test"]["model"]["liked.log_loss"]
        assert total / PARTS["test"] == pytest.approx(loss, abs=1e-9)
    assert metrics["scoring"]["flops_per_example"] > 0
    assert metrics["training"]["peak_memory_bytes"] > 1 << 26
    html = (tmp_path / "models" / version / "card.html").read_text()
    assert "Reliability of bought" in html and "there are no figures of lists" in html
    assert [record["rows"] for record in metrics["epochs"]] == [PARTS["train"]] * 3
    assert read_manifest(tmp_path, "models", version, Bundle).algorithm == "ranking"

    again = evaluate.run(config.model_copy(update={
        "train": config.train.model_copy(update={"workers": 1})
    }), model_id=version)  # fmt: skip
    assert again["test"]["model"] == metrics["test"]["model"]  # to the last digit
    assert again["test"]["item_rate"] == metrics["test"]["item_rate"]

    publish(tmp_path, "models", version, manifest.logical_date)

    _, (weights, calibrations) = load_ranking(tmp_path, version)
    assert not bool(weights["known_users"][-1]) and int(weights["known_users"].sum()) == 39
    assert len(calibrations) == 2 and all(len(one.numbers) == 2 for one in calibrations)
    path = tmp_path / "models" / version / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(VersionError, match="SHA-256 differs"):
        load_ranking(tmp_path, version)
    assert isinstance(weights["user_embedding.weight"], torch.Tensor)


def test_a_ranking_model_is_tuned_by_its_log_loss(tmp_path: Path) -> None:
    config = config_for(tmp_path, {"baselines": []}, metric="log_loss", epochs=2)
    tune = Tune.model_validate({"trials": 4, "space": {
        "optimizer.learning_rate": {"choice": [0.00001, 0.02]}, "ranking.loss": {"choice": ["bce"]},
    }})  # fmt: skip
    manifest = write_impressions(tmp_path / "datasets/impressions", config)
    commit(tmp_path, "datasets", manifest)
    publish(tmp_path, "datasets", manifest.id, manifest.logical_date)

    found = run_tune(config.model_copy(update={"tune": tune}))

    values = {row["settings"]["train.optimizer.learning_rate"]: row["value"]
              for row in found["trials"]}  # fmt: skip
    assert found["best"]["settings"]["train.optimizer.learning_rate"] == 0.02
    assert 0 < found["best"]["value"] == values[0.02] < values[0.00001]


def test_a_label_that_is_no_class_is_an_error_of_the_input(tmp_path: Path) -> None:
    """A worker finds it: the error keeps its kind, and with it the exit code 3."""
    config = config_for(tmp_path, {"labels": {"stars": 1.0}})
    manifest = write_impressions(tmp_path / "datasets/impressions", config)
    commit(tmp_path, "datasets", manifest)

    with pytest.raises(InputError, match=r"label stars is .* accepts only 0 and 1") as raised:
        launch.run(config, dataset_id=manifest.id, request="d" * 64)

    assert raised.value.exit_code == 3


def test_one_class_everywhere_is_trained_without_an_auc(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What nobody likes: the order has no quality, but the log loss has."""
    config = config_for(tmp_path, {"calibration": "platt"}, epochs=2)
    folder = tmp_path / "datasets/impressions"
    manifest = write_impressions(folder, config)
    for part in PARTS:
        manifest = with_one_class(folder, manifest, 0.0, f"{part}_impressions")
    commit(tmp_path, "datasets", manifest)

    version = launch.run(config, dataset_id=manifest.id, request="e" * 64)

    metrics = strict_json(tmp_path / "models" / version / "metrics.json")
    for figures in (metrics["valid"], *metrics["test"].values()):
        assert figures["auc"] is figures["gauc"] is None and 0 <= figures["log_loss"] < 0.1
    assert metrics["best_epoch"] == 1 and "the newest weights are kept" in caplog.text
    assert ">-<" in (tmp_path / "models" / version / "card.html").read_text()
