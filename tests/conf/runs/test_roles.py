"""Models by role: pointers, dates, keys and going back, each role by itself."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from conf.contract import MAIN, RANKER, Bundle
from conf.errors import ConfigError, VersionError
from conf.runs.chosen import chosen_version
from conf.runs.inputs.request_keys import model_request
from conf.runs.managing import run_rollback
from conf.runs.roles import role_configs, with_roles
from conf.settings.config import Config
from conf.settings.load import load_config
from conf.settings.privacy import Privacy
from conf.settings.rules.uses import useless_keys, warn_of_settings
from conf.workspace.json_files import read_json, write_json
from conf.workspace.lock import workspace_lock
from conf.workspace.pointers import (
    current_version,
    publish,
    published_roles,
    read_pointer,
    rollback,
)
from conf.workspace.versions import commit, read_manifest
from tests.conf.workspace.test_versions import commit_model

DAY = "2026-01-01"
YAML = """
run: {{name: tiny, output: "{output}"}}
input: {{root: none, events: {{log: {{paths: [none], time_unit: seconds}}}}}}
etl:
  event_types: {{view: {{}}, buy: {{}}}}
  impressions: {{labels: {{bought: [buy]}}}}
train: {{algorithm: item_knn, max_workers: 6}}
ranker: {{workers: 5, ranking: {{interaction: dcnv2}}}}
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    path = tmp_path / "run.yaml"
    path.write_text(YAML.format(output=tmp_path / "workspace"))
    return load_config(path, [])


def changed(config: Config, tmp_path: Path, *overrides: str) -> Config:
    return load_config(tmp_path / "run.yaml", overrides)


def plain(workspace: Path) -> Config:
    run = SimpleNamespace(output=str(workspace), lock_lease_seconds=60, verify="sizes")
    return cast(Config, SimpleNamespace(run=run, privacy=Privacy(), ranker=None))


def of_role(workspace: Path, version: str, role: str) -> str:
    bundle = read_manifest(workspace, "models", version, Bundle)
    commit(workspace, "models", bundle.model_copy(update={"role": role}))
    return version


def test_each_role_has_a_pointer_of_its_own(tmp_path: Path) -> None:
    main, first, second = (commit_model(tmp_path, digit * 64) for digit in "abc")
    publish(tmp_path, "models", main, DAY)
    for version in (first, second):
        publish(tmp_path, "models", version, DAY, role=RANKER)

    assert current_version(tmp_path, "models") == main
    assert current_version(tmp_path, "models", RANKER) == second
    assert published_roles(tmp_path, "models") == [RANKER]
    assert read_json(tmp_path / "models/CURRENT.json")["previous"] == []
    assert read_json(tmp_path / "models/CURRENT-ranker.json")["previous"] == [first]


def test_going_back_withdraws_for_that_role_alone(tmp_path: Path) -> None:
    first, second = (commit_model(tmp_path, digit * 64) for digit in "ab")
    for version in (first, second):
        publish(tmp_path, "models", version, DAY)
        publish(tmp_path, "models", version, DAY, role=RANKER)

    assert rollback(tmp_path, "models", role=RANKER) == (first, second)

    assert publish(tmp_path, "models", second, DAY, role=RANKER) == "withdrawn"
    assert publish(tmp_path, "models", second, DAY) == "current"
    assert not (tmp_path / "models/WITHDRAWN.json").exists()
    (tmp_path / "models/CURRENT-ranker.json").unlink()  # the list of withdrawn ones outlives it
    with pytest.raises(VersionError, match=rf"--role ranker --allow {second}"):
        publish(tmp_path, "models", second, DAY, role=RANKER)


def test_the_command_goes_back_by_role(tmp_path: Path) -> None:
    first, second = (commit_model(tmp_path, digit * 64) for digit in "ab")
    for version in (first, second):
        publish(tmp_path, "models", version, DAY, role=RANKER)

    result = run_rollback(plain(tmp_path), None, role=RANKER)

    assert (result["kind"], result["role"], result["current"]) == ("models", RANKER, first)
    assert run_rollback(plain(tmp_path), None, second, RANKER)["allowed"] == second
    assert publish(tmp_path, "models", second, DAY, role=RANKER) == "published"
    with pytest.raises(ConfigError, match="only models have roles, but --kind is 'lists'"):
        run_rollback(plain(tmp_path), "lists", role=RANKER)
    with pytest.raises(ConfigError, match=r"--role='other'.*roles there: main, ranker"):
        run_rollback(plain(tmp_path), None, role="other")


def test_a_late_writer_of_a_role_is_refused(tmp_path: Path) -> None:
    first, second = (commit_model(tmp_path, digit * 64) for digit in "ab")
    publish(tmp_path, "models", first, DAY, 7, role=RANKER)
    with pytest.raises(VersionError, match=r"models \(role ranker\): a later writer"):
        publish(tmp_path, "models", second, DAY, 6, role=RANKER)


def test_a_lock_that_was_lost_counts_on_from_every_role(tmp_path: Path) -> None:
    publish(tmp_path, "models", commit_model(tmp_path, "a" * 64), DAY, 41, role=RANKER)
    with workspace_lock(tmp_path, 60) as lease:
        assert lease.number == 42


def test_a_day_finds_models_of_the_role_alone(tmp_path: Path) -> None:
    other = "2025-12-31"
    main, late = commit_model(tmp_path, "b" * 64), commit_model(tmp_path, "c" * 64)
    ranker = of_role(tmp_path, commit_model(tmp_path, "a" * 64, other), RANKER)
    publish(tmp_path, "models", main, DAY)
    publish(tmp_path, "models", of_role(tmp_path, late, RANKER), DAY, role=RANKER)

    with pytest.raises(VersionError, match=f"no version of {other}"):
        chosen_version(plain(tmp_path), "models", other)
    assert chosen_version(plain(tmp_path), "models", other, RANKER) == ranker
    assert chosen_version(plain(tmp_path), "models", None, RANKER) == late


def test_an_old_bundle_is_of_the_main_role(tmp_path: Path) -> None:
    version = commit_model(tmp_path, "a" * 64)
    path = tmp_path / "models" / version / "bundle.json"
    bundle = read_json(path)
    assert bundle.pop("role") == MAIN
    write_json(path, bundle)
    assert read_manifest(tmp_path, "models", version, Bundle).role == MAIN


def test_a_damaged_pointer_of_a_role_is_told(tmp_path: Path) -> None:
    publish(tmp_path, "models", commit_model(tmp_path, "a" * 64), DAY, role=RANKER)
    path = tmp_path / "models/CURRENT-ranker.json"
    write_json(path, {**read_json(path), "previous": 3})
    with pytest.raises(VersionError, match=r"CURRENT-ranker.json is damaged: previous is 3"):
        read_pointer(tmp_path, "models", RANKER)


def test_the_ranker_is_trained_with_its_own_section(config: Config) -> None:
    ((role, own),) = role_configs(config)
    assert role == RANKER and own.ranker is None
    assert (own.train.algorithm, own.train.metric) == ("ranking", "auc")
    assert (own.train.workers, own.train.max_workers) == (5, 6)
    assert model_request(own, "d", RANKER) != model_request(own, "d")


def test_a_new_version_of_ranking_models_makes_only_those_again(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    ((_, own),) = role_configs(config)
    before = [model_request(one, "d") for one in (config, own)]

    monkeypatch.setattr("conf.runs.inputs.request_keys._RANKING", 99)

    after = [model_request(one, "d") for one in (config, own)]
    assert after[0] == before[0] and after[1] != before[1]


def test_the_main_key_does_not_depend_on_the_ranker(config: Config, tmp_path: Path) -> None:
    without = changed(config, tmp_path, "ranker=null")
    assert model_request(config, "d") == model_request(without, "d")


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("etl.impressions=null", r"ranker\.algorithm is 'ranking', but etl\.impressions is null"),
        ("ranker.metric=ndcg@10", r"ranker\.metric='ndcg@10' does not fit ranker\.algorithm"),
        ("ranker.workers=7", r"ranker\.workers=7 is above ranker\.max_workers=6"),
        ("ranker.max_workers=5", r"made for train\.max_workers=6"),
        ("ranker.refit=everything", r"ranker\.refit='everything', but ranker\.algorithm"),
        ("ranker.algorithm=ease", r"ranker\.algorithm='ease'"),
    ],
)
def test_a_rule_names_the_section(config: Config, tmp_path: Path, override: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        changed(config, tmp_path, override)


def test_a_setting_of_the_ranker_without_effect_is_named(
    config: Config, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    odd = changed(config, tmp_path, "ranker.model.width=8")
    assert not useless_keys(odd)
    warn_of_settings(odd)
    assert "ranker.model.width has no effect: used only by neural" in caplog.text
    assert "ranker orders no list, as score.candidates is null" in caplog.text


def test_a_run_is_done_already_only_if_all_roles_are() -> None:
    done, old = {"status": "done"}, {"status": "already done"}
    assert with_roles(old, {}) == old
    assert with_roles(old, {RANKER: old})["status"] == "already done"
    assert with_roles(old, {RANKER: done})["status"] == "done"
    assert with_roles(done, {RANKER: old})["status"] == "done"
