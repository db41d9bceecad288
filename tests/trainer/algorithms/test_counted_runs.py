"""Train, measure and publish through the real stages: one Ray for all of it."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from conf.contract import NUM_RESERVED, Bundle, Manifest, RowGroup
from conf.errors import ConfigError, DivergedError
from conf.runs.choosing import run_card, run_compare
from conf.runs.stages import run_evaluate, run_score, run_train
from conf.settings.config import Config
from conf.settings.load import load_config
from conf.workspace.hashes import hash_file
from conf.workspace.pointers import publish
from conf.workspace.versions import read_manifest
from tests.trainer.small_parts import write_config, write_dataset
from trainer.cluster.shares import on_workers
from trainer.models.bundle import (
    Trained,
    build_model,
    load_bundle,
    load_scorer,
    model_section,
    save_bundle,
)
from trainer.models.hybrid import Hybrid

ITEMS = 12
# Everybody goes round the items, one after the other; but at the end they all take the first.
TRAIN = [[2 + (user + step) % ITEMS for step in range(4)] for user in range(60)]
VALID = [2 + (user + 4) % ITEMS for user in range(60)]
TEST = [2 if (user + 4) % ITEMS > 5 else 13 for user in range(60)]


@pytest.fixture(scope="module")
def workspace(shared_ray: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    write_dataset(folder, TRAIN, VALID, TEST, items=ITEMS)
    return folder


def test_an_error_of_a_task_is_told_without_its_traceback(workspace: Path) -> None:
    def work(shared: str, groups: Sequence[RowGroup]) -> list[int]:
        raise DivergedError(f"{shared} is not a number")

    groups = [RowGroup(path="train/part-00000.parquet", index=0, rows=1, bytes=1)]
    with pytest.raises(DivergedError) as told:
        on_workers(configured(workspace), groups, work, "the score")
    assert str(told.value) == "the score is not a number"


def configured(workspace: Path, *overrides: str) -> Config:
    return load_config(write_config(workspace), overrides)


@pytest.mark.parametrize("name", ["recent_popularity", "ease"])
def test_a_model_that_counts_goes_all_the_way(workspace: Path, name: str) -> None:
    settings = (f"train.algorithm={name}", "train.baselines=[markov,als]")
    config = configured(workspace, *settings)

    trained = run_train(config)
    lists = run_score(config)

    metrics = trained["metrics"]
    assert set(metrics["test"]) == {"model", "markov", "als"} and metrics["test_users"] == 60
    assert 0 <= metrics["valid"]["ndcg@10"] <= 1
    again = run_evaluate(configured(workspace, *settings, "train.workers=2"))["metrics"]
    assert all(again[key] == metrics[key] for key in ("test", "segments", "lists"))
    assert again["training"]["peak_memory_bytes"] == metrics["training"]["peak_memory_bytes"] > 1e7
    assert again["scoring"]["flops_per_example"] is None  # it counts
    assert all(lists["gates"].values()) and lists["counts"]["model_lists"] == 60
    card = Path(trained["card"])
    assert run_card(config, workspace / "again.html")["id"] == trained["id"]
    assert (workspace / "again.html").read_bytes() == card.read_bytes()
    (entry,) = read_manifest(workspace, "models", trained["id"], Bundle).files["card"]
    assert entry.path == card.name and entry.sha256 == hash_file(card)


def test_more_workers_than_ray_has_room_for_are_refused(workspace: Path) -> None:
    config = configured(workspace, "train.algorithm=popularity", "train.workers=3")
    with pytest.raises(ConfigError, match=r"train\.workers=3 .*Ray has 2 here.*ray\.num_cpus"):
        run_train(config)


@pytest.mark.slow
def test_a_hybrid_is_blended_by_validation_and_published(workspace: Path) -> None:
    """Validation follows the chain, the test does not: the chain has the weight all the same."""
    config = configured(
        workspace, "train.algorithm=hybrid", "train.hybrid.members=[popularity,neural,markov]"
    )

    metrics = run_train(config)["metrics"]
    lists = run_score(config)

    assert metrics["valid"]["ndcg@10"] == 1.0 and metrics["blend"]["markov"] >= 0.25
    assert sum(metrics["blend"].values()) == pytest.approx(1)
    assert set(metrics["test"]) == {"model", "popularity", "neural", "markov"}
    assert metrics["test"]["model"]["hr@1"] < 0.5
    assert metrics["members"]["neural"]["training"]["steps"] > 0
    assert run_evaluate(config)["metrics"]["test"] == metrics["test"]
    assert all(lists["gates"].values())


def test_a_hybrid_takes_a_network_that_is_there(workspace: Path) -> None:
    network = write_network(workspace, "small")
    config = configured(
        workspace, "train.algorithm=hybrid", f"train.hybrid.neural={network}",
        "train.hybrid.members=[markov,neural]",
    )  # fmt: skip

    trained = run_train(config)

    _, hybrid = load_scorer(workspace, trained["id"])
    assert isinstance(hybrid, Hybrid) and list(hybrid.members) == ["markov", "neural"]
    ours = hybrid.members["neural"].model.state_dict()  # type: ignore[attr-defined]
    for name, tensor in load_bundle(workspace, network)[1].state_dict().items():
        assert bool((ours[name] == tensor).all())
    assert trained["metrics"]["members"]["neural"] == {"id": network}


def test_a_network_of_other_data_is_refused(workspace: Path) -> None:
    """It may have seen what is held out here."""
    network = write_network(workspace, "another")

    with pytest.raises(ConfigError, match="was trained on dataset another"):
        run_train(configured(workspace, "train.algorithm=hybrid", f"train.hybrid.neural={network}"))


def write_network(workspace: Path, dataset_id: str) -> str:
    """Commit a network with random weights, as if it were trained on a dataset."""
    config = configured(workspace)
    manifest = read_manifest(workspace, "datasets", "small", Manifest)
    section = model_section(config, manifest)
    weights = build_model(section, ITEMS + NUM_RESERVED).state_dict()
    manifest = manifest.model_copy(update={"id": dataset_id})
    return save_bundle(config, manifest, dataset_id * 12, Trained(section, weights, {}))


@pytest.mark.slow
def test_a_network_is_trained_anew_on_what_validation_held_out(workspace: Path) -> None:
    more = (
        "train.epochs=3",
        "train.model.event_types=true",
        "train.model.time_gaps=true",
        "train.model.calendar=true",
    )
    alone = run_train(configured(workspace, *more))
    refitted = run_train(configured(workspace, *more, "train.refit=with_valid"))
    everything = run_train(configured(workspace, *more, "train.refit=everything"))

    first, second = alone["metrics"], refitted["metrics"]
    assert second["test"] == first["test"] and "refit" not in first
    assert first["training"]["peak_memory_bytes"] > 1 << 26
    assert first["scoring"]["flops_per_example"] > 2 * 8 * (ITEMS + NUM_RESERVED)
    assert "trained again with more data" in Path(refitted["card"]).read_text()
    assert second["refit"]["epochs"] == first["best_epoch"] + 1
    assert second["refit"]["test_users"] == 60 and "test" not in everything["metrics"]["refit"]
    weights = [
        load_bundle(workspace, run["id"])[1].items.embedding.weight
        for run in (alone, refitted, everything)
    ]
    assert not weights[0].equal(weights[1]) and not weights[1].equal(weights[2])
    # A part that was trained on measures nothing.
    with pytest.raises(ConfigError, match=r"train\.refit=everything, on the test part too"):
        run_evaluate(configured(workspace))
    blend = ("train.algorithm=hybrid", f"train.hybrid.neural={refitted['id']}")
    with pytest.raises(ConfigError, match=r"train\.refit=with_valid, on the valid part too"):
        run_train(configured(workspace, *blend))
    with pytest.raises(ConfigError, match=r"compare\.models\.all: train\.refit=everything"):
        run_compare(configured(workspace, "compare.models={all: {refit: everything}}"))
    with pytest.raises(ConfigError, match=r"compare\.models\.a: train\.metric='auc'"):
        run_compare(configured(workspace, "compare.models={a: {metric: auc}}"))


def test_models_are_compared_on_the_same_targets(workspace: Path) -> None:
    """Half of the test follows the chain: what knows it is right there, and no more often."""
    models = "{chain: {algorithm: markov}, best: {algorithm: popularity}}"
    compared = run_compare(configured(workspace, f"compare.models={models}"))

    assert compared["targets"] == 60 and set(compared["models"]) == {"chain", "best"}
    for row in compared["models"].values():
        figure = row["ndcg@10"]
        assert figure["low"] <= figure["value"] <= figure["high"]
        told = json.loads((workspace / "models" / row["id"] / "metrics.json").read_text())
        assert figure["value"] == pytest.approx(told["test"]["model"]["ndcg@10"])
    page = Path(compared["page"]).read_text()
    assert 'class="whisker"' in page and "chain" in page and "best" in page
    reasons = compared["models"]["chain"]["reasons"]
    assert reasons["score_falls_without_the_reason"] > 0.9
    assert len(compared["differences"]) == 1
    # Done already: the second time nothing is trained.
    again = run_compare(configured(workspace, f"compare.models={models}"))
    assert {n: m["id"] for n, m in again["models"].items()} == {
        n: m["id"] for n, m in compared["models"].items()
    }


@pytest.mark.slow
def test_what_was_seen_is_ranked_where_lists_may_hold_it(workspace: Path, tmp_path: Path) -> None:
    """Everybody takes the same item again: nobody may have it in a list, or everybody has it."""
    write_dataset(tmp_path, [[2, 3, 2]] * 8, [2] * 8, [2] * 8, items=20)
    for algorithm in ("popularity", "neural"):
        own = (f"train.algorithm={algorithm}", "train.baselines=[]")
        dropped = run_train(configured(tmp_path, *own))
        kept = run_train(configured(tmp_path, *own, "score.drop_seen=false"))

        assert dropped["id"] != kept["id"]
        for run, is_kept in ((dropped, False), (kept, True)):
            metrics = run["metrics"]
            valid = metrics.get("valid") or metrics["epochs"][-1]
            assert (valid["ndcg@10"] > 0) == (metrics["test"]["model"]["ndcg@10"] > 0) == is_kept
            assert metrics["drop_seen"] is not is_kept
            note = "ranked, including items that" if is_kept else "ranked, leaving out items that"
            assert note in Path(run["card"]).read_text()
    compared = run_compare(
        configured(tmp_path, "compare.models={a: {algorithm: popularity}}", "score.drop_seen=false")
    )
    assert compared["models"]["a"]["hr@10"]["value"] == 1


@pytest.mark.slow
def test_a_network_goes_on_from_one_of_the_dataset_before(workspace: Path) -> None:
    """Two items more than before; run again, it is done."""
    before = read_manifest(workspace, "datasets", "small", Manifest)
    keep = ("train.save_optimizer=true", "train.baselines=[]")
    first = run_train(configured(workspace, *keep))
    train = [*TRAIN, [2, ITEMS + 2, 3], [3, ITEMS + 3, 4]]
    write_dataset(workspace, train, [*VALID, 4, 5], [*TEST, 5, 6], items=ITEMS + 2, name="later",
                  base=before)  # fmt: skip
    warm = configured(workspace, *keep, "train.warm_start.model=current")

    second = run_train(warm)
    again = run_train(warm)

    assert (second["status"], again["status"]) == ("done", "already done")
    assert again["id"] == second["id"] != first["id"]
    bundle = read_manifest(workspace, "models", second["id"], Bundle)
    assert bundle.config["train"]["warm_start"]["model"] == first["id"]
    assert len(load_bundle(workspace, second["id"])[1].items.embedding.weight) == ITEMS + 4
    publish(workspace, "datasets", "small", before.logical_date)
