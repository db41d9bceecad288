"""Scoring delivers what it has published; a target that fails does not undo it."""

from pathlib import Path

import pytest

from conf.errors import TargetDownError
from conf.runs.managing import run_deliver, run_rollback
from conf.runs.stages import run_score
from conf.settings.config import Config
from conf.workspace.pointers import current_version, read_pointer
from serving.delivery.versions import State
from tests.damage import workspaces
from tests.serving import tiny_shop


def with_target(workspace: Path, **target: object) -> Config:
    config = tiny_shop.tiny_config(workspace)
    given = {**config.model_dump(mode="json", by_alias=True), "deliver": {"there": target}}
    return Config.model_validate(given)


def delivered_to(folder: Path) -> State:
    return State.model_validate_json((folder / "CURRENT.json").read_text())


def test_scores_are_delivered_and_rolled_back(tmp_path: Path) -> None:
    workspaces.make_shop(tmp_path)
    folder = Path(f"{tmp_path}-delivered")
    config = with_target(tmp_path, kind="jsonl", path=str(folder))
    result = run_score(config)
    assert result["published"] == "published"
    assert result["delivered"]["there"]["status"] == "delivered"
    assert delivered_to(folder).current.id == result["id"]
    assert delivered_to(folder).number == (read_pointer(tmp_path, "lists") or {})["number"]
    again = run_score(config)
    assert (again["status"], again["delivered"]["there"]["status"]) == ("already done", "current")
    back = run_rollback(config, "lists")
    assert delivered_to(folder).current.id == back["current"] != result["id"]


def test_what_is_published_stays_so_if_a_target_is_down(tmp_path: Path) -> None:
    workspaces.make_shop(tmp_path)
    before = current_version(tmp_path, "lists")
    url = "redis://127.0.0.1:1/0"
    config = with_target(tmp_path, kind="redis", url=url, timeout_seconds=1)
    with pytest.raises(TargetDownError, match="not delivered to there") as caught:
        run_score(config)
    made = caught.value.made or {}
    assert (made["stage"], made["status"], made["published"]) == ("score", "failed", "published")
    assert current_version(tmp_path, "lists") == made["id"] != before
    with pytest.raises(TargetDownError) as again:
        run_deliver(config)
    assert (again.value.made or {})["delivered"]["there"]["status"] == "failed"
    with pytest.raises(TargetDownError) as back:
        run_rollback(config, "lists")
    assert (back.value.made or {})["current"] == before == current_version(tmp_path, "lists")


def test_targets_make_no_other_lists(tmp_path: Path) -> None:
    config = with_target(tmp_path, kind="csv", path="somewhere")
    plain = config.model_copy(update={"deliver": {}})
    requests = {tiny_shop.request_of(one, "dataset", "model") for one in (config, plain)}
    assert len(requests) == 1
