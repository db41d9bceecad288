"""Train, measure and publish through the real stages: one Ray for all of it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from conf.errors import ConfigError
from conf.load import load_config
from conf.schema import Config
from conf.stages import run_evaluate, run_score, run_train
from conf.workspace import publish
from tests.trainer.small_parts import DAY, write_config, write_dataset
from trainer.bundle import load_scorer
from trainer.hybrid import Hybrid
from trainer.ray_session import ray_session

ITEMS = 12
# Everybody goes round the items, one after the other; but at the end they all take the first.
TRAIN = [[2 + (user + step) % ITEMS for step in range(4)] for user in range(60)]
VALID = [2 + (user + 4) % ITEMS for user in range(60)]
TEST = [2 if (user + 4) % ITEMS > 5 else 13 for user in range(60)]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("runs")
    write_dataset(folder, TRAIN, VALID, TEST, items=ITEMS)
    with ray_session(load_config(write_config(folder))):
        yield folder


def configured(workspace: Path, *overrides: str) -> Config:
    return load_config(write_config(workspace), overrides)


@pytest.mark.parametrize("name", ["recent_popularity", "ease"])
def test_a_model_that_counts_goes_all_the_way(workspace: Path, name: str) -> None:
    config = configured(workspace, f"train.algorithm={name}", "train.baselines=[markov,als]")

    trained = run_train(config)
    lists = run_score(config)

    metrics = trained["metrics"]
    assert set(metrics["test"]) == {"model", "markov", "als"} and metrics["test_users"] == 60
    assert 0 <= metrics["valid"]["ndcg@10"] <= 1
    assert run_evaluate(config)["metrics"]["test"] == metrics["test"]
    assert all(lists["gates"].values()) and lists["counts"]["model_lists"] == 60


def test_a_hybrid_is_blended_by_validation_and_published(workspace: Path) -> None:
    """Validation follows the chain, the test does not: the chain has the weight all the same."""
    config = configured(
        workspace, "train.algorithm=hybrid", "train.hybrid.members=[neural,popularity,markov]"
    )

    metrics = run_train(config)["metrics"]
    lists = run_score(config)

    assert metrics["valid"]["ndcg@10"] == 1.0
    assert metrics["blend"]["markov"] >= 0.5 > metrics["blend"]["popularity"]
    assert sum(metrics["blend"].values()) == pytest.approx(1)
    assert set(metrics["test"]) == {"model", "neural", "popularity", "markov"}
    assert metrics["test"]["model"]["hr@1"] < 0.5
    assert metrics["members"]["neural"]["training"]["steps"] > 0
    assert run_evaluate(config)["metrics"]["test"] == metrics["test"]
    assert all(lists["gates"].values())


def test_a_hybrid_takes_a_network_that_is_there(workspace: Path) -> None:
    alone = run_train(configured(workspace))
    _, network = load_scorer(workspace, alone["id"])
    config = configured(
        workspace, "train.algorithm=hybrid", f"train.hybrid.neural={alone['id']}",
        "train.hybrid.members=[markov,neural]",
    )  # fmt: skip

    trained = run_train(config)

    _, hybrid = load_scorer(workspace, trained["id"])
    assert isinstance(hybrid, Hybrid) and list(hybrid.members) == ["markov", "neural"]
    ours = hybrid.members["neural"].model.state_dict()  # type: ignore[attr-defined]
    for name, tensor in network.model.state_dict().items():  # type: ignore[attr-defined]
        assert bool((ours[name] == tensor).all())
    assert trained["metrics"]["test"]["neural"] == alone["metrics"]["test"]["model"]
    assert trained["metrics"]["members"]["neural"] == {"id": alone["id"]}

    # A network of other data may have seen what is held out here.
    bundle = workspace / "models" / alone["id"] / "bundle.json"
    record = json.loads(bundle.read_text())
    bundle.write_text(json.dumps({**record, "dataset_id": "another"}))
    publish(workspace, "models", trained["id"], DAY)
    with pytest.raises(ConfigError, match="was trained on dataset another"):
        run_train(configured(workspace, "train.algorithm=hybrid", "run.seed=2",
                             f"train.hybrid.neural={alone['id']}"))  # fmt: skip
