import json
from dataclasses import replace
from pathlib import Path

import pytest

from conf.contract import Manifest
from conf.settings.load import load_config
from conf.workspace.json_files import read_json, write_json
from tests.trainer.choosing.test_advise import FILMS, LAPTOP, SERVER, SHOP
from tests.trainer.small_parts import write_config, write_dataset
from trainer.choosing.candidates import Plan, kept_plan, make_plan
from trainer.choosing.dataset_profile import Profile
from trainer.cluster.machine import Machine

PLAIN = """
run: {{name: plain, output: "{output}"}}
input: {{root: none, events: {{log: {{paths: [none], time_unit: seconds}}}}}}
etl: {{event_types: {{view: {{}}}}}}
"""


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return write_dataset(
        tmp_path_factory.mktemp("data"), [[2, 3, 4]] * 8, [5] * 8, [6] * 8, items=5
    )


def plan(
    folder: Path, manifest: Manifest, profile: Profile, machine: Machine, *changes: str
) -> Plan:
    path = folder / "plain.yaml"
    path.write_text(PLAIN.format(output=folder))
    return make_plan(load_config(path, changes), manifest, profile, machine)


def test_few_events_are_for_counting_models_alone(tmp_path: Path, manifest: Manifest) -> None:
    found = plan(tmp_path, manifest, replace(SHOP, events=5000), LAPTOP)
    assert found.counting == [
        "popularity",
        "recent_popularity",
        "markov",
        "item_knn",
        "ease",
        "als",
    ]
    assert not found.network and "5,000 events" in found.skipped["neural"]
    assert "ranking" not in found.skipped


def test_more_events_are_for_a_network_too_with_the_advised_settings(
    tmp_path: Path, manifest: Manifest
) -> None:
    found = plan(tmp_path, manifest, SHOP, SERVER)
    assert found.network and found.settings["model.width"] == 512
    assert found.settings["epochs"] == 30 and found.reasons


def test_what_was_written_counts_even_if_it_is_the_default(
    tmp_path: Path, manifest: Manifest
) -> None:
    written = ("train.model.width=64", "train.epochs=20", "train.workers=1")
    found = plan(tmp_path, manifest, SHOP, SERVER, *written)
    assert not {"model.width", "epochs", "workers"} & set(found.settings)
    assert "model.encoder" in found.settings


def test_advice_that_does_not_fit_what_was_written_is_dropped(
    tmp_path: Path, manifest: Manifest
) -> None:
    """The dataset has a feature of items that the configuration has no longer."""
    cold = replace(FILMS, cold_share=0.2, item_features=("item_colour",))
    found = plan(tmp_path, manifest, cold, SERVER)
    assert found.network and set(found.settings) <= {"workers", "gpus_per_worker", "precision"}
    assert "do not fit" in found.reasons[0]


def test_a_model_that_takes_too_long_is_left_out_and_named(
    tmp_path: Path, manifest: Manifest
) -> None:
    slow = replace(LAPTOP, gflops=1)
    found = plan(tmp_path, manifest, FILMS, slow, "train.auto.max_minutes=5")
    assert {"als", "neural"} <= set(found.skipped) and not found.network
    assert "of train.auto.max_minutes are left" in found.skipped["neural"]
    assert (
        "that is for all of train.epochs=30, though train.patience_epochs=5"
        in (found.skipped["neural"])
    )
    assert {"popularity", "markov"} <= set(found.counting)
    assert sum(found.minutes.values()) <= 5 + 0.1


def test_ease_needs_its_memory_and_its_limit(tmp_path: Path, manifest: Manifest) -> None:
    wide = replace(SHOP, items=25_000)
    small = replace(LAPTOP, memory_gib=10, gflops=10_000)
    assert "needs 7.0 GiB" in plan(tmp_path, manifest, wide, small).skipped["ease"]
    larger = replace(small, memory_gib=100)
    assert "ease" in plan(tmp_path, manifest, wide, larger).counting
    too_many = replace(wide, items=40_000)
    assert "ease.max_items=30,000" in plan(tmp_path, manifest, too_many, larger).skipped["ease"]


def test_popularity_of_late_needs_times(tmp_path: Path, manifest: Manifest) -> None:
    log = {"log": {"time_unit": "order"}}
    undated = manifest.model_copy(update={"config": {**manifest.config, "input": {"events": log}}})
    found = plan(tmp_path, undated, SHOP, LAPTOP)
    assert "time_unit=order" in found.skipped["recent_popularity"]
    assert "recent_popularity" not in found.counting


def test_impressions_do_not_lead_to_a_model_without_lists(
    tmp_path: Path, manifest: Manifest
) -> None:
    logged = replace(SHOP, labels=("clicked",), logged_negatives=True)
    found = plan(tmp_path, manifest, logged, SERVER)
    assert "only a ranking model learns" in found.skipped["ranking"] and found.network


def test_a_cluster_keeps_what_is_configured(tmp_path: Path, manifest: Manifest) -> None:
    cluster = plan(tmp_path, manifest, SHOP, SERVER, "ray.address=10.0.0.1:6379")
    assert cluster.machine == {} and "workers" not in cluster.settings


def test_a_run_that_was_killed_tries_the_same_models(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path, [[2, 3, 4]] * 8, [5] * 8, [6] * 8, items=5)
    config = load_config(write_config(tmp_path), ["train.algorithm=auto"])
    work = tmp_path / "work"
    work.mkdir()
    first = kept_plan(config, manifest, work)
    plan = json.dumps(read_json(work / "plan.json"))
    write_json(work / "plan.json", json.loads(plan.replace('"als"', '"ease"')))
    assert kept_plan(config, manifest, work).counting == [
        "ease" if name == "als" else name for name in first.counting
    ]
