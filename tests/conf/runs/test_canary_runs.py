"""A canary from the run that makes it to its end, as each command sees it."""

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conf.command.printing.tables import print_result
from conf.contract import ListsManifest
from conf.errors import ConfigError, GateError, VersionError
from conf.runs.looking import run_show, run_status
from conf.runs.managing import run_promote, run_rollback
from conf.runs.stages import run_score
from conf.settings.config import Config
from conf.workspace.json_files import read_json
from conf.workspace.pointers import allow, publish
from conf.workspace.publications import in_canary
from conf.workspace.versions import commit, read_manifest
from tests.conf import erasable
from tests.damage.workspaces import LENGTHS, _erase, make_erasable, make_shop, tiny_shop_lists
from tests.serving import tiny_shop

USERS = [f"u{number}" for number in range(len(tiny_shop.HISTORIES))]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    workspace = tmp_path_factory.mktemp("made") / "shop"
    make_shop(workspace)
    allow(workspace, "lists", tiny_shop_lists(workspace, LENGTHS[2]))
    return workspace


@pytest.fixture
def shop(made: Path, tmp_path: Path) -> Path:
    """A shop whose current lists have three items; those of four and of two are made too."""
    workspace = tmp_path / "shop"
    shutil.copytree(made, workspace)
    return workspace


def config_of(workspace: Path, *overrides: str) -> Config:
    return tiny_shop.tiny_config(workspace, *overrides)


def canary(workspace: Path, *overrides: str) -> dict[str, Any]:
    """Score with two items a list; the lists are done, so they are only published."""
    return run_score(config_of(workspace, LENGTHS[2], "publish.share=0.5", *overrides))


def test_a_run_makes_a_canary_and_every_command_knows(shop: Path) -> None:
    old, new = (tiny_shop_lists(shop, more) for more in (LENGTHS[1], LENGTHS[2]))
    result = canary(shop)
    assert (result["published"], result["share"], result["id"]) == ("canary", 0.5, new)

    status = run_status(config_of(shop))["lists"]
    assert status["id"] == old
    told = {key: status["canary"][key] for key in ("id", "share", "logical_date", "dataset_id")}
    assert told == {
        "id": new, "share": 0.5, "logical_date": tiny_shop.DAY, "dataset_id": "tiny-dataset",
    }  # fmt: skip

    is_in = dict(zip(USERS, in_canary(pa.array(USERS), 0.5, "tiny").tolist(), strict=True))
    assert 0 < sum(is_in.values()) < len(USERS)
    for user, sees in is_in.items():
        shown = run_show(config_of(shop), user)
        assert (shown["lists_id"], shown["sees"]) == ((new, "canary") if sees else (old, "current"))
        assert len(shown["list"]) == (2 if sees else 3)
    assert run_show(config_of(shop), "first")["share"] == 0.5
    with pytest.raises(ConfigError, match="user 'nobody' is not in dataset"):
        run_show(config_of(shop), "nobody")

    again = canary(shop)
    assert (again["status"], again["published"]) == ("already done", "canary")
    promoted = run_promote(config_of(shop, LENGTHS[2]))
    assert (promoted["current"], promoted["previous"]) == (new, old)
    assert run_show(config_of(shop), "u1")["lists_id"] == new
    assert "canary" not in run_status(config_of(shop))["lists"]


def test_show_prints_who_sees_the_list(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    canary(shop)
    print_result(run_show(config_of(shop), "u1"))
    print_result(run_status(config_of(shop)))
    told = capsys.readouterr().out
    assert "canary of 0.5 of the users" in " ".join(told.split())
    assert "share: 0.5" in told


def test_a_rollback_takes_it_back_and_the_same_run_does_not_show_it_again(shop: Path) -> None:
    old, new = (tiny_shop_lists(shop, more) for more in (LENGTHS[1], LENGTHS[2]))
    canary(shop)
    damaged = next((shop / "lists" / old).glob("part-*"))
    damaged.write_bytes(b"")  # what most users see already is no reason to leave the canary
    result = run_rollback(config_of(shop), None)
    assert (result["current"], result["withdrawn"]) == (old, new)
    assert canary(shop)["published"] == "withdrawn"
    assert run_rollback(config_of(shop), None)["current"] == tiny_shop_lists(shop, LENGTHS[0])


def test_a_share_of_one_promotes_it(shop: Path) -> None:
    canary(shop)
    result = run_score(config_of(shop, LENGTHS[2]))
    assert result["published"] == "published" and "share" not in result
    assert run_status(config_of(shop))["lists"]["id"] == result["id"]


def test_the_first_lists_are_seen_by_all(shop: Path, caplog: pytest.LogCaptureFixture) -> None:
    (shop / "lists/CURRENT.json").unlink()
    (shop / "lists/WITHDRAWN.json").unlink()
    with caplog.at_level("INFO"):
        assert canary(shop)["published"] == "published"
    assert "no lists are published yet, so publish.share=0.5 has no effect" in caplog.text


def test_a_gate_that_became_stricter_stops_the_promotion(shop: Path) -> None:
    canary(shop)
    strict = config_of(shop, "score.gates.fallback_lists.refuse_above=0.01")
    with pytest.raises(GateError, match=r"(?s)stay published; .*fallback_lists") as refusal:
        run_promote(strict)
    made = refusal.value.made or {}
    assert (made["status"], made["gates"]["fallback_lists"]) == ("refused", False)
    with pytest.raises(GateError) as again:
        canary(shop, "score.gates.fallback_lists.refuse_above=0.01")
    told = again.value.made or {}
    assert (told["published"], told["share"]) == ("canary", 0.5)
    assert "canary" in run_status(config_of(shop))["lists"]


def test_a_damaged_canary_is_not_promoted(shop: Path) -> None:
    new = tiny_shop_lists(shop, LENGTHS[2])
    canary(shop)
    next((shop / "lists" / new).glob("part-*")).write_bytes(b"")
    with pytest.raises(VersionError, match="has 0 bytes"):
        run_promote(config_of(shop))


@pytest.mark.parametrize("share", ["0", "1.5", "-0.1", "null"])
def test_a_share_that_is_none_is_refused(tmp_path: Path, share: str) -> None:
    with pytest.raises(ConfigError, match=r"publish\.share"):
        config_of(tmp_path, f"publish.share={share}")


def test_an_erasure_reaches_the_canary(tmp_path: Path) -> None:
    make_erasable(tmp_path)
    first, lists = erasable.LISTS, tmp_path / "lists"
    shutil.copytree(lists / first, lists / "second-lists")
    (lists / "second-lists/lists.json").unlink()
    manifest = read_manifest(tmp_path, "lists", first, ListsManifest)
    commit(tmp_path, "lists", manifest.model_copy(update={"id": "second-lists"}))
    publish(tmp_path, "lists", first, erasable.DAY)
    assert publish(tmp_path, "lists", "second-lists", erasable.DAY, share=0.2) == "canary"
    before = read_json(lists / "CURRENT.json")

    removed = _erase(tmp_path, erasable.NAMES[2])["removed"]

    assert removed["lists/second-lists"] == removed[f"lists/{first}"]
    for version in (first, "second-lists"):
        rows = [row for path in (lists / version).glob("part-*")
                for row in pq.read_table(path)["user_id"].to_pylist()]  # fmt: skip
        assert rows and erasable.NAMES[2] not in rows
    assert read_json(lists / "CURRENT.json") == before
