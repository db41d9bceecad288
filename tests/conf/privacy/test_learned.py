"""What is said of models that learned from people who were erased since."""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest

from conf.contract import Bundle, Manifest
from conf.erasure.receipts import is_genuine
from conf.privacy.keys import require_keys
from conf.privacy.learned import learned_from_erased, warn_of_erased
from conf.runs.lineage import with_start
from conf.runs.looking import run_status
from conf.runs.managing import run_erase, run_rollback
from conf.workspace.hashes import with_content
from conf.workspace.json_files import read_json, write_json
from conf.workspace.pointers import publish
from conf.workspace.versions import commit, read_manifest
from tests.conf.erasable import (
    DATASET,
    DAY,
    GONE,
    LISTS,
    MODEL,
    NAMES,
    config_of,
    everything_in,
)

OTHER = "other-dataset"


def add_model(workspace: Path, name: str, start: str | None = None, dataset: str = DATASET) -> None:
    """Commit a copy of the model, of a dataset, that started from another model."""
    bundle = read_manifest(workspace, "models", MODEL, Bundle)
    shutil.copytree(workspace / "models" / MODEL, workspace / "models" / name)
    config = {"train": {"warm_start": {"model": start}}}
    changed = {"id": name, "config": config, "dataset_id": dataset, "learned_from_erased": "no"}
    commit(workspace, "models", bundle.model_copy(update=changed))


def add_dataset(workspace: Path) -> None:
    """Commit a dataset of the same day in which there is nobody."""
    manifest = read_manifest(workspace, "datasets", DATASET, Manifest)
    (workspace / "datasets" / OTHER).mkdir()
    files = dict.fromkeys(manifest.files, ())
    empty = manifest.model_copy(update={"id": OTHER, "files": files})
    commit(workspace, "datasets", with_content(empty))


def notes(workspace: Path) -> dict[str, str]:
    models = sorted(path.parent.name for path in (workspace / "models").glob("*/bundle.json"))
    return {model: learned_from_erased(workspace, model) for model in models}


@pytest.fixture
def many(workspace: Path) -> Path:
    add_dataset(workspace)
    add_model(workspace, "a-child", MODEL, OTHER)
    add_model(workspace, "a-grandchild", "a-child", OTHER)
    add_model(workspace, "a-stranger", None, OTHER)
    add_model(workspace, "an-orphan", None, "gone")
    add_model(workspace, "of-an-orphan", "an-orphan", OTHER)
    add_model(workspace, "of-a-lost-one", "lost", OTHER)
    return workspace


STATES = {
    "a-child": "yes", "a-grandchild": "yes", "a-stranger": "no", "an-orphan": "unknown",
    "of-an-orphan": "unknown", "of-a-lost-one": "unknown", MODEL: "yes",
}  # fmt: skip


def test_bundle_result_and_receipt_say_who_learned(
    many: Path, users: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert set(notes(many).values()) == {"no"}
    result = run_erase(config_of(many), users)

    assert notes(many) == STATES
    told = {model: state for model, state in STATES.items() if state != "no"}
    assert result["learned_from_erased"] == told
    receipt = Path(result["receipt"])
    assert read_json(receipt)["learned_from_erased"] == told
    assert is_genuine(receipt, require_keys(config_of(many).privacy, "this"))
    assert f"model {MODEL} learned from users who were erased since; run headrace" in caplog.text
    for model in STATES:
        assert read_manifest(many, "models", model, Bundle).learned_from_erased == STATES[model]
    (users.parent / "nobody").write_text("nobody")
    assert run_erase(config_of(many), users.parent / "nobody")["learned_from_erased"] == told


def test_models_of_an_earlier_release_are_judged_by_the_receipts(many: Path, users: Path) -> None:
    run_erase(config_of(many), users)
    for path in (many / "models").glob("*/bundle.json"):
        bundle = read_json(path)
        del bundle["learned_from_erased"]
        write_json(path, bundle)
    assert notes(many) == STATES
    shutil.rmtree(many / "erased")
    assert set(notes(many).values()) == {"no"}


def test_current_passes_over_models_that_learned_from_erased_users(
    many: Path, users: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = config_of(many)
    start = config.train.warm_start.model_copy(update={"model": "current"})
    config = config.model_copy(
        update={"train": config.train.model_copy(update={"warm_start": start})}
    )
    for model in ("a-stranger", "of-an-orphan", "a-child"):
        publish(many, "models", model, DAY)
    assert with_start(config, DATASET).train.warm_start.model == "a-child"

    run_erase(config_of(many), users)

    assert with_start(config, DATASET).train.warm_start.model == "a-stranger"
    assert "does not start from a-child, which learned from users who were erased" in caplog.text
    assert "does not start from of-an-orphan, which may have learned" in caplog.text


def test_status_and_rollback_say_it(
    many: Path, users: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for model in (MODEL, "a-stranger"):
        publish(many, "models", model, DAY)
    run_erase(config_of(many), users)
    assert "learned_from_erased" not in run_status(config_of(many))["models"]
    caplog.clear()
    run_rollback(config_of(many), "models")
    assert f"rollback: model {MODEL} learned from users who were erased" in caplog.text
    assert run_status(config_of(many))["models"]["learned_from_erased"] == "yes"
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        warn_of_erased(many, "a-stranger", "score")
    assert not caplog.text


def test_withdrawn_versions_are_covered(workspace: Path, users: Path) -> None:
    for kind, version in (("datasets", DATASET), ("lists", LISTS)):
        folder = workspace / kind
        pointer: dict[str, Any] = {"id": "x", "number": 2, "logical_date": DAY,
                                   "previous": [], "withdrawn": [version]}  # fmt: skip
        (folder / "CURRENT.json").write_text(json.dumps(pointer))
        (folder / "WITHDRAWN.json").write_text(json.dumps({"ids": [version]}))
    run_erase(config_of(workspace), users)
    found = everything_in(workspace)
    assert NAMES[0] in found
    whole = [name for name in GONE if name in found.replace(f"{NAMES[5]}9", "")
             .replace(f"{NAMES[2]}0", "")]  # fmt: skip
    assert not whole
