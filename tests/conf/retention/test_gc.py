"""What goes and what stays, against reachability that is computed from the JSON files alone."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from conf.command.printing.tables import print_result
from conf.errors import ConfigError, LockHeldError, VersionError
from conf.runs.looking import run_status
from conf.runs.managing import run_gc, run_rollback
from conf.workspace.lock import workspace_lock
from conf.workspace.pointers import publish
from tests.conf.retention.thirty_days import (
    config_of,
    day_of,
    graph_of,
    reachable,
    there,
    write_days,
    write_lists,
)

RETENTION = {"lists": {"keep": 5}, "models": {"keep": 3}, "datasets": {"keep": 2}, "hold": ["l3"]}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    workspace = tmp_path_factory.mktemp("made") / "shop"
    write_days(workspace)
    return workspace


@pytest.fixture
def shop(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "shop")
    return tmp_path / "shop"


def expected(workspace: Path) -> set[tuple[str, str]]:
    """Return what stays under RETENTION: lists 29 is current, lists 30 is withdrawn."""
    seeds = {("lists", f"l{n}") for n in (29, 28, 27, 26, 25, 24)}  # five to go back to
    seeds |= {("lists", "l30"), ("lists", "l3")}  # one of the five newest, and held
    seeds |= {("models", f"{role}{n}") for role in "mr" for n in (30, 29, 28, 27)}
    seeds |= {("datasets", f"d{n}") for n in (30, 29, 28)}
    graph, starts = graph_of(workspace)
    kept = reachable(graph, seeds)
    return reachable(graph, kept | {("models", starts[one]) for kind, one in kept if one in starts})


def test_what_nothing_needs_goes_and_all_else_stays(shop: Path) -> None:
    stays, before = expected(shop), there(shop)
    config = config_of(shop, retention=RETENTION)

    dry = run_gc(config, True)
    assert there(shop) == before and dry["status"] == "dry run"
    result = run_gc(config)

    assert there(shop) == stays
    assert {key: result[key] for key in ("removed", "kept", "removed_bytes")} == {
        key: dry[key] for key in ("removed", "kept", "removed_bytes")
    }
    told = {(kind, one) for kind, found in result["removed"].items() for one in found}
    assert told == before - stays
    assert {(kind, one) for kind, found in result["kept"].items() for one in found} == stays
    assert ("models", "m23") in stays and ("models", "m22") not in stays  # m24 started from m23
    assert ("models", "compared5") in told
    assert {path.name for path in (shop / "identities").iterdir()} == {
        one for kind, one in stays if kind == "datasets"
    }
    reasons = result["kept"]
    assert reasons["lists"]["l29"] == "current"
    assert reasons["lists"]["l30"] == "one of the 5 newest; it was rolled back"
    assert result["withdrawn_versions"] == {"lists": ["l30"], "models": [], "datasets": []}
    assert reasons["lists"]["l24"] == "rollback can go back to it"
    assert reasons["lists"]["l3"] == "retention.hold"
    assert reasons["models"]["r30"] == "current (role ranker)"
    assert reasons["models"]["m24"] == "lists/l24 needs it"
    assert reasons["models"]["m23"] == "models/m24 started from it"
    assert reasons["datasets"]["d23"] == "models/m23 needs it"
    assert run_gc(config)["removed_bytes"] == 0


def test_rollback_goes_back_as_often_as_it_says(shop: Path) -> None:
    config = config_of(shop, retention=RETENTION)
    run_gc(config)
    gone_back = [run_rollback(config, "lists")["current"] for _ in range(5)]
    assert gone_back == ["l28", "l27", "l26", "l25", "l24"]
    assert run_rollback(config, "lists")["current"] == "l3"  # held, and still there
    assert "earlier" not in run_status(config)["lists"]
    for _ in range(3):
        run_rollback(config, None, None, "ranker")


def test_the_canary_stays_with_what_it_was_made_from(shop: Path) -> None:
    write_lists(shop, "l31", day_of(30), "d5", "compared5", {})
    publish(shop, "lists", "l31", day_of(30), share=0.1)
    write_lists(shop, "l32", day_of(31), "d30", "m30", {})
    config = config_of(shop, retention={"lists": {"keep": 1}})
    assert run_gc(config)["kept"]["lists"]["l31"] == "canary"
    assert {("models", "compared5"), ("datasets", "d5")} <= there(shop)


@pytest.mark.parametrize(("days", "stays"), [(1, 2), (10, 10), (40, 30)])
def test_days_keep_more_than_the_number(shop: Path, days: int, stays: int) -> None:
    lists = {"keep": 1, "days": days}
    result = run_gc(config_of(shop, retention={"lists": lists}))
    assert len(result["kept"]["lists"]) == max(stays, 3)  # 30, 29 and 28 stay anyway
    if days == 10:
        assert result["kept"]["lists"]["l21"] == "of the last 10 days"


@pytest.mark.parametrize(
    ("more", "kind", "version", "why"),
    [
        ({"train": {"algorithm": "neural", "warm_start": {"model": "m2"}}}, "models", "m2",
         "train.warm_start starts from it"),
        ({"score": {"rules": {"fatigue": {"versions": 9, "events": ["view"]}}}}, "lists", "l21",
         "score.rules.fatigue looks at it"),
    ],
)  # fmt: skip
def test_what_the_configuration_refers_to_stays(
    shop: Path, more: dict[str, Any], kind: str, version: str, why: str
) -> None:
    keep = {kind: {"keep": 1} for kind in ("lists", "models", "datasets")}
    without = run_gc(config_of(shop, retention=keep), True)
    assert version in without["removed"][kind]
    assert run_gc(config_of(shop, retention=keep, **more))["kept"][kind][version] == why


def test_the_next_network_and_the_next_dataset_have_what_they_continue(shop: Path) -> None:
    """The newest networks were rolled back, so the newest published one is older than they are."""
    one = {kind: {"keep": 1} for kind in ("lists", "models", "datasets")}
    for _ in range(3):
        run_rollback(config_of(shop), "datasets")
    config = config_of(
        shop, retention=one, etl={"vocabulary": "extend"},
        train={"algorithm": "neural", "warm_start": {"model": "current"}},
    )  # fmt: skip
    kept = run_gc(config)["kept"]
    assert {"d27", "d26", "d30"} <= {*kept["datasets"]} and {"m30", "m29"} <= {*kept["models"]}


class Killed(BaseException):
    """Stands for a signal that no code can catch."""


def killed_after(shop: Path, steps: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Collect, killed after so many renames and removals; return whether it came to its end."""
    left, rename, rmtree = iter(range(steps)), Path.rename, shutil.rmtree

    def step() -> None:
        if next(left, None) is None:
            raise Killed

    def stepped_rename(path: Path, target: Path) -> Path:
        step()
        return rename(path, target)

    def stepped_rmtree(path: Path) -> None:
        step()
        rmtree(path)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", stepped_rename)
        patched.setattr("conf.workspace.folders.shutil.rmtree", stepped_rmtree)
        try:
            run_gc(config_of(shop, retention=RETENTION))
        except Killed:
            return False
    return True


def files_in(shop: Path) -> set[Path]:
    found = (path.relative_to(shop) for path in shop.rglob("*"))
    return {path for path in found if path.name != ".lock.json"}


def test_killed_at_any_moment_it_leaves_no_version_without_what_it_needs(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, stays = tmp_path / "whole", expected(made)
    shutil.copytree(made, whole)
    run_gc(config_of(whole, retention=RETENTION))
    steps, is_done = 0, False
    while not is_done:
        shop = tmp_path / f"shop{steps}"
        shutil.copytree(made, shop)
        is_done = killed_after(shop, steps, monkeypatch)
        left, (graph, _) = there(shop), graph_of(shop)
        assert stays <= left <= there(made)
        assert [one for one, needs in graph.items() if not left.issuperset(needs)] == []
        run_gc(config_of(shop, retention=RETENTION))
        assert files_in(shop) == files_in(whole)  # and nothing is left over
        shutil.rmtree(shop)
        steps += 41  # an odd number: renames and removals take turns
    assert steps > 150


@pytest.mark.parametrize(
    ("retention", "told"),
    [
        ({"lists": {"keep": 0}}, r"retention\.lists\.keep"),
        ({"datasets": {"days": 0}}, r"retention\.datasets\.days"),
        ({"models": {"keep": None}}, r"retention\.models\.keep"),
        ({"hold": ["../x"]}, r"retention\.hold"),
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path: Path, retention: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        config_of(tmp_path, retention=retention)


def test_holding_a_version_that_is_not_there_is_refused(shop: Path) -> None:
    with pytest.raises(ConfigError, match=r"retention\.hold names l99, but .* no such version"):
        run_gc(config_of(shop, retention={"hold": ["l99", "l3"]}))


def damage_manifest(shop: Path) -> None:
    (shop / "lists/l7/lists.json").write_text("{")
    (shop / "models/m8/bundle.json").write_text('{"id": "m8"}')


def damage_day(shop: Path) -> None:
    path = shop / "lists/l7/lists.json"
    found = json.loads(path.read_text()) | {"logical_date": "soon"}
    path.write_text(json.dumps({key: one for key, one in found.items() if key != "checksum"}))


def other_manifest(shop: Path) -> None:
    shutil.copy(shop / "lists/l8/lists.json", shop / "lists/l7/lists.json")


def damage_pointer(shop: Path) -> None:
    (shop / "lists/CURRENT.json").write_text("[]")


def remove_current(shop: Path) -> None:
    shutil.rmtree(shop / "lists/l29")


def link_version(shop: Path) -> None:
    (shop / "lists/l7").rename(shop / "elsewhere")
    (shop / "lists/l7").symlink_to(shop / "elsewhere")


def leave_erasure_open(shop: Path) -> None:
    (shop / "erased").mkdir()
    (shop / "erased/journal.json").write_text("{}")


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (damage_manifest, r"(?s)nothing is removed.*l7/lists\.json is damaged.*m8/bundle\.json is"),
        (damage_day, r"l7/lists\.json is damaged: logical_date is 'soon'"),
        (other_manifest, r"l7/lists\.json is the manifest of 'l8'"),
        (damage_pointer, r"CURRENT\.json is damaged"),
        (remove_current, r"l29 is published, but it is not there"),
        (link_version, r"l7 is a link, and links are not followed"),
        (leave_erasure_open, "an erasure was interrupted"),
    ],
)
def test_what_cannot_be_understood_stops_it_before_anything_goes(
    shop: Path, damage: Any, told: str
) -> None:
    damage(shop)
    before = sorted(shop.rglob("*"))
    with pytest.raises(VersionError, match=told) as error:
        run_gc(config_of(shop, retention=RETENTION))
    assert error.value.exit_code == 6
    assert [path for path in sorted(shop.rglob("*")) if path.name[:5] != ".lock"] == before


def test_a_folder_without_a_manifest_and_what_is_no_version_stay(shop: Path) -> None:
    for name in ("lists/l99", "datasets/refused-0123456789ab", "models/.work-0123456789ab"):
        (shop / name).mkdir()
        (shop / name / "part").write_text("unfinished")
    run_gc(config_of(shop, retention=RETENTION))
    assert (shop / "lists/l99/part").is_file()
    assert (shop / "datasets/refused-0123456789ab/part").is_file()
    assert (shop / "models/.work-0123456789ab/part").is_file()


def test_identities_of_a_dataset_that_is_gone_go_too(shop: Path) -> None:
    shutil.rmtree(shop / "datasets/d1")
    result = run_gc(config_of(shop, retention={"lists": {"keep": 1}, "models": {"keep": 1}}))
    assert not (shop / "identities/d1").exists()
    assert (shop / "identities/d30").exists()
    assert "d1" not in result["removed"]["datasets"]


def test_another_run_keeps_it_out(shop: Path) -> None:
    before = there(shop)
    with workspace_lock(shop, 60), pytest.raises(LockHeldError):
        run_gc(config_of(shop, retention=RETENTION))
    assert there(shop) == before


def test_a_file_counts_once_and_links_count_nothing(shop: Path) -> None:
    retention = {"lists": {"keep": 1}}
    before = run_gc(config_of(shop, retention=retention), True)
    large = shop / "lists/l5/part-00009.parquet"
    large.write_bytes(b"x" * 100_000)
    (shop / "lists/l6/part-00009.parquet").hardlink_to(large)
    (shop / "lists/l6/part-00010.parquet").hardlink_to(large)
    (shop / "lists/l7/link").symlink_to(shop / "models")

    result = run_gc(config_of(shop, retention=retention), True)

    assert {"l5", "l6", "l7"} <= {*result["removed"]["lists"]}
    assert result["removed_bytes"] == before["removed_bytes"] + 100_000
    assert result["removed"]["lists"]["l6"] == before["removed"]["lists"]["l6"]
    assert result["removed"]["lists"]["l7"] == before["removed"]["lists"]["l7"]


def test_a_list_of_withdrawn_versions_that_is_damaged_stops_it(shop: Path) -> None:
    (shop / "lists/WITHDRAWN.json").write_text('{"ids": ["../x"]}')
    with pytest.raises(VersionError, match=r"WITHDRAWN\.json is damaged"):
        run_gc(config_of(shop, retention=RETENTION))


def test_an_empty_workspace_has_nothing_to_remove(tmp_path: Path) -> None:
    assert run_gc(config_of(tmp_path / "new"))["removed_bytes"] == 0


def test_the_tables_say_what_goes_and_why_the_rest_stays(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    print_result(run_gc(config_of(shop, retention=RETENTION), True))
    told = capsys.readouterr().out
    assert "would be removed" in told and "rollback can go back to it" in told
    assert "MiB" in told
