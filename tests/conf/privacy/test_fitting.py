"""Versions that show more of people than the configuration allows are not published again."""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest

from conf.errors import VersionError
from conf.privacy.fitting import require_protected, warn_of_raw_ids, weaker_setting
from conf.privacy.keys import load_keys
from conf.runs.choosing import run_card, run_compare, run_tune
from conf.runs.looking import run_status
from conf.runs.managing import run_rollback
from conf.runs.stages import KINDS, run_score, run_train
from conf.settings.config import Config
from conf.workspace.json_files import read_json, write_json
from conf.workspace.pointers import publish
from tests.conf.erasable import (
    DATASET,
    DAY,
    LISTS,
    MODEL,
    NAMES,
    REPORT,
    config_of,
    write_workspace,
)

VERSIONS = {"datasets": DATASET, "models": MODEL, "lists": LISTS}
LABELS = tuple(f"{n:032x}" for n in range(6))


def made_with(workspace: Path, privacy: dict[str, Any] | None) -> None:
    """Write into the dataset's manifest with which section it was made."""
    path = workspace / "datasets" / DATASET / "manifest.json"
    manifest = read_json(path)
    manifest["config"]["privacy"] = privacy
    write_json(path, manifest)


def labelled(workspace: Path, **privacy: Any) -> Config:
    return config_of(workspace, mode="pseudonymise", **privacy)


def newer(workspace: Path) -> None:
    """Publish a second version of each kind, so that the first can be gone back to."""
    for kind, version in VERSIONS.items():
        (workspace / kind / "CURRENT.json").unlink(missing_ok=True)
        for name in (version, "newer"):
            publish(workspace, kind, name, DAY)


@pytest.mark.parametrize("section", [None, {"mode": "none"}, {"mode": "none", "ids": ["users"]}])
@pytest.mark.parametrize("kind", KINDS)
def test_raw_ids_are_not_gone_back_to_once_labels_are_on(
    workspace: Path, kind: str, section: dict[str, Any] | None
) -> None:
    made_with(workspace, section)
    newer(workspace)
    with pytest.raises(VersionError) as told:
        run_rollback(labelled(workspace), kind)
    assert told.value.exit_code == 6
    for part in (f"{kind}/{VERSIONS[kind]}", "ids of users", "privacy.mode=none", "\n"):
        assert (part in str(told.value)) == (part != "\n")
    assert read_json(workspace / kind / "CURRENT.json")["id"] == "newer"

    # What the message says allows it.
    assert run_rollback(config_of(workspace), kind)["id"] == VERSIONS[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_labels_are_gone_back_to(workspace: Path, kind: str) -> None:
    made_with(workspace, {"mode": "pseudonymise", "ids": ["users"]})
    newer(workspace)
    both = labelled(workspace, ids=["users", "items"])
    with pytest.raises(VersionError, match=r"privacy\.ids=\[users\] to the command"):
        run_rollback(both, kind)
    assert run_rollback(labelled(workspace), kind)["id"] == VERSIONS[kind]


@pytest.mark.parametrize("ids", [NAMES, LABELS])
def test_lists_whose_dataset_is_gone_are_judged_by_their_ids(
    tmp_path: Path, ids: tuple[str, ...]
) -> None:
    write_workspace(tmp_path, ids, REPORT)
    shutil.rmtree(tmp_path / "datasets" / DATASET)
    path = tmp_path / "lists" / LISTS / "lists.json"
    lists = read_json(path)
    lists["config"]["privacy"] = {"mode": "pseudonymise", "ids": ["users"]}
    write_json(path, lists)
    found = weaker_setting(labelled(tmp_path), "lists", LISTS)
    assert (found is None) == (ids == LABELS)


def test_no_stage_goes_on_with_a_dataset_of_raw_ids(
    workspace: Path, caplog: pytest.LogCaptureFixture
) -> None:
    publish(workspace, "models", MODEL, DAY)
    config = labelled(workspace)
    changed = config.model_copy(
        update={
            "compare": config.compare.model_copy(update={"models": {"a": {"algorithm": "ease"}}}),
            "tune": config.tune.model_copy(update={"space": {"x": None}}),
            "train": config.train.model_copy(update={"algorithm": "neural", "gate": "none"}),
        }
    )
    for stage in (run_train, run_score, run_compare, run_tune):
        with pytest.raises(VersionError, match="run headrace etl, and then the stages after it"):
            stage(changed)
    with pytest.raises(VersionError, match="run headrace run for a model of labels"):
        run_card(changed, workspace / "card.html")
    warn_of_raw_ids(config_of(workspace), LISTS)
    assert not caplog.text
    with caplog.at_level(logging.WARNING):
        warn_of_raw_ids(config, LISTS)
    assert "was made with privacy.mode=none" in caplog.text and NAMES[0] not in caplog.text


FIELDS: list[tuple[dict[str, Any], dict[str, Any], str | None]] = [
    ({"columns": {"users": {"age": {"method": "drop"}}}}, {}, "privacy.columns.users.age.method"),
    (
        {"columns": {"events": {"time": {"method": "generalise", "to": "day"}}}},
        {"columns": {"events": {"time": {"method": "generalise", "to": "hour"}}}},
        None,
    ),
    ({"quasi_identifiers": ["age"]}, {}, "privacy.quasi_identifiers=[]"),
    ({"quasi_identifiers": ["age"], "k": 9}, {"quasi_identifiers": ["age"], "k": 3}, "privacy.k=3"),
    ({"quasi_identifiers": ["age"], "k": 3}, {"quasi_identifiers": ["age"], "k": 9}, None),
    ({"k": 9}, {"k": 3}, None),
    ({"min_users_per_item": 2}, {}, "privacy.min_users_per_item=1"),
    ({}, {"mode": "pseudonymise", "min_users_per_item": 2}, None),
]


@pytest.mark.parametrize(("now", "then", "allowed_by"), FIELDS)
def test_datasets_are_judged_by_the_rules_of_fields_too(
    workspace: Path, now: dict[str, Any], then: dict[str, Any], allowed_by: str | None
) -> None:
    made_with(workspace, then)
    config = config_of(workspace)
    privacy = type(config.privacy).model_validate(
        {**config.privacy.model_dump(exclude={"key"}), **now}
    )
    config = config.model_copy(update={"privacy": privacy})
    found = weaker_setting(config, "datasets", DATASET)
    assert (found is None) == (allowed_by is None)
    if allowed_by is not None:
        with pytest.raises(VersionError) as told:
            require_protected(config, "datasets", DATASET, "do something else")
        assert f"do something else, or add {allowed_by}" in str(told.value)
        assert weaker_setting(config, "lists", LISTS) is None


def test_a_version_that_is_missing_is_left_to_whoever_reads_it(workspace: Path) -> None:
    assert weaker_setting(labelled(workspace), "datasets", "none-such") is None
    assert json.loads((workspace / "datasets/CURRENT.json").read_text())["id"] == DATASET


def test_a_rollback_of_lists_warns_of_another_key_and_of_what_their_model_learned(
    workspace: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made_with(workspace, {"mode": "pseudonymise", "ids": ["users"]})
    path = workspace / "datasets" / DATASET / "manifest.json"
    keys = load_keys(labelled(workspace).privacy)
    assert keys is not None
    for key_id, check, told in (("old", "0" * 8, True), (keys.key_id, keys.check, False)):
        manifest = read_json(path)
        manifest["privacy"] = {
            **REPORT.model_dump(),
            "ids": ["users"],
            "key_id": key_id,
            "key_check": check,
        }
        write_json(path, manifest)
        (workspace / "lists" / "WITHDRAWN.json").unlink(missing_ok=True)
        newer(workspace)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            run_rollback(labelled(workspace), "lists")
        assert ("has labels that the key old made" in caplog.text) == told

    bundle = workspace / "models" / MODEL / "bundle.json"
    write_json(bundle, {**read_json(bundle), "learned_from_erased": "yes"})
    (workspace / "lists" / "WITHDRAWN.json").unlink()
    newer(workspace)
    with caplog.at_level(logging.WARNING):
        run_rollback(labelled(workspace), "lists")
    assert f"{MODEL} learned from" in caplog.text


def test_status_tells_of_an_open_erasure_and_of_what_was_rolled_back(workspace: Path) -> None:
    config = config_of(workspace)
    newer(workspace)
    assert "erasure" not in run_status_of(config)
    for kind in VERSIONS:
        (workspace / kind / "CURRENT.json").unlink()
    made_with(workspace, None)
    newer(workspace)
    run_rollback(config, "models")
    (workspace / "erased").mkdir(exist_ok=True)
    (workspace / "erased" / "journal.json").write_text("{}")

    status = run_status_of(config)

    assert status["erasure"].startswith("interrupted: run headrace erase again")
    assert status["models"]["withdrawn"] == ["newer"]


def run_status_of(config: Config) -> dict[str, Any]:
    """Return the status of a workspace whose versions called `newer` are names alone."""
    for kind, version in VERSIONS.items():
        pointer = Path(config.run.output) / kind / "CURRENT.json"
        if read_json(pointer)["id"] == "newer":
            write_json(pointer, {**read_json(pointer), "id": version, "previous": []})
    return run_status(config)
