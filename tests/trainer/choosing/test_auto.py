"""`train.algorithm: auto` through the real stages, one Ray for all."""

import json
from pathlib import Path
from typing import Any

import pytest

from conf.contract import Bundle
from conf.errors import ConfigError
from conf.runs.choosing import run_compare, run_tune
from conf.runs.inputs.request_keys import model_request
from conf.runs.looking import run_status
from conf.runs.stages import run_evaluate, run_score, run_train
from conf.settings.config import Config
from conf.settings.load import load_config
from conf.workspace.pointers import publish
from conf.workspace.versions import read_manifest
from tests.trainer.small_parts import DAY, write_config, write_dataset
from trainer.choosing import auto
from trainer.models.bundle import load_scorer
from trainer.models.markov import fit_markov
from trainer.retrieval import train as retrieval_train

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("shared_ray")]

ITEMS = 30
# Everybody goes round the items, one after the other: Markov is always right.
TRAIN = [[2 + (user + step) % ITEMS for step in range(4)] for user in range(60)]
VALID, TEST = ([2 + (user + step) % ITEMS for user in range(60)] for step in (4, 5))


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("auto")
    write_dataset(folder, TRAIN, VALID, TEST, items=ITEMS)
    return folder


def configured(workspace: Path, *changes: str) -> Config:
    return load_config(write_config(workspace), ["train.algorithm=auto", *changes])


@pytest.fixture(scope="module")
def trained(workspace: Path) -> dict[str, Any]:
    return run_train(configured(workspace, "train.gate=refuse"))


def test_validation_chooses_and_the_simplest_of_equals_is_published(
    workspace: Path, trained: dict[str, Any]
) -> None:
    bundle = read_manifest(workspace, "models", trained["id"], Bundle)
    assert bundle.algorithm == bundle.config["train"]["algorithm"] == "markov"
    found = trained["metrics"]["auto"]
    assert found["chosen"] == "markov" and found["users"] == 60
    assert set(found["tried"]) >= {"popularity", "recent_popularity", "markov", "item_knn", "ease"}
    assert found["tried"]["markov"]["value"] == 1.0 == trained["metrics"]["valid"]["ndcg@10"]
    assert "few: a network would overfit" in found["skipped"]["neural"]
    assert trained["metrics"]["gate"]["verdict"] == "passed"
    assert "Why this model" in Path(trained["card"]).read_text()
    status = run_status(configured(workspace))["models"]
    assert status["algorithm"] == "markov" and status["auto"] == found["reason"]


def test_the_model_is_a_normal_one(workspace: Path, trained: dict[str, Any]) -> None:
    config = configured(workspace)
    again = run_train(config)
    assert (again["status"], again["id"]) == ("already done", trained["id"])
    assert run_evaluate(config)["metrics"]["test"] == trained["metrics"]["test"]
    assert all(run_score(config)["gates"].values())


def test_a_blend_is_published_with_the_members_that_were_fitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the users go round; the others, whose last event says nothing, take the first."""
    train = [row if user % 2 else [*row[:3], 2 + ITEMS] for user, row in enumerate(TRAIN)]
    valid = [item if user % 2 else 3 + ITEMS for user, item in enumerate(VALID)]
    popular = [[4 + ITEMS, 3 + ITEMS]] * 30
    write_dataset(
        tmp_path, [*train, *popular], [*valid, *[5 + ITEMS] * 30], [*TEST, *[2] * 30],
        items=ITEMS + 4,
    )  # fmt: skip
    fitted = []

    def counted(*args: Any) -> Any:
        fitted.append("markov")
        return fit_markov(*args)

    monkeypatch.setattr("trainer.models.counting.fit_markov", counted)
    monkeypatch.setattr(auto, "choose", lambda *_, **__: auto.Choice("hybrid", "it was asked", {}))

    result = run_train(configured(tmp_path))

    bundle = read_manifest(tmp_path, "models", result["id"], Bundle)
    assert bundle.algorithm == "hybrid" and fitted == ["markov"]
    blend = result["metrics"]["auto"]["blend"]
    assert blend == result["metrics"]["blend"] and sum(blend.values()) == pytest.approx(1)
    assert tuple(bundle.config["train"]["hybrid"]["members"]) == tuple(blend)
    assert load_scorer(tmp_path, result["id"])[0].id == result["id"]


def test_a_network_is_tried_where_the_data_bears_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_dataset(tmp_path, TRAIN, VALID, TEST, items=ITEMS)
    monkeypatch.setattr("trainer.choosing.candidates.is_small", lambda _: False)
    refused = retrieval_train.fit_network
    calls = []

    def once_killed(*args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return refused(*args, **kwargs)

    monkeypatch.setattr(retrieval_train, "fit_network", once_killed)
    config = configured(tmp_path, "train.epochs=2")
    with pytest.raises(KeyboardInterrupt):
        run_train(config)
    (work,) = (tmp_path / "models").glob(".work-*")
    plan = json.loads((work / "plan.json").read_text())

    result = run_train(config)

    found = result["metrics"]["auto"]
    assert plan["network"] and "neural" in found["tried"] and not work.exists()
    assert found["chosen"] == "markov" and found["network"]["train.model.encoder"] == "gru"
    assert "train.epochs" not in found["network"]  # it was written


def test_a_model_that_cannot_be_fitted_is_left_out_with_its_reason(tmp_path: Path) -> None:
    write_dataset(tmp_path, TRAIN, VALID, TEST, items=ITEMS)
    config = configured(tmp_path, "train.counting.ease.regularisation=1e-30")
    found = run_train(config)["metrics"]["auto"]
    assert "train.counting.ease.regularisation" in found["skipped"]["ease"]
    assert "ease" not in found["tried"] and found["chosen"] == "markov"


def test_without_a_validation_part_the_model_is_popularity(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path, TRAIN, VALID, TEST, items=ITEMS)
    bare = manifest.model_copy(update={"files": {**manifest.files, "valid": ()}})
    (tmp_path / "datasets/small/manifest.json").write_text(bare.model_dump_json())
    publish(tmp_path, "datasets", "small", DAY)
    trained = run_train(configured(tmp_path, "train.gate=refuse"))
    assert read_manifest(tmp_path, "models", trained["id"], Bundle).algorithm == "popularity"
    found = trained["metrics"]["auto"]
    assert found["tried"] == {} and "no validation part" in found["reason"]
    assert trained["metrics"]["gate"]["verdict"] == "unchecked"
    assert "no validation part" in Path(trained["card"]).read_text()


def test_what_was_written_makes_another_model(workspace: Path) -> None:
    one, other = (
        model_request(configured(workspace, *more), "d")
        for more in ([], ["train.model.dropout=0.2"])
    )
    default = load_config(write_config(workspace)).train.model.dropout
    assert default == 0.2 and one != other  # the same value, but now it is not chosen
    opened = model_request(configured(workspace, "train.gate=none"), "d")
    assert opened == one


def test_compare_takes_auto_and_tune_says_why_it_does_not(workspace: Path) -> None:
    models = "compare.models={chosen: {}, ease: {algorithm: ease}}"
    compared = run_compare(configured(workspace, models))
    assert set(compared["models"]) == {"chosen", "ease"}
    space = "tune.space={model.width: {choice: [8, 16]}}"
    with pytest.raises(ConfigError, match="chooses among models"):
        run_tune(configured(workspace, space))
