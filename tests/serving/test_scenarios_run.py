"""The stage with scenarios, as the command runs it."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from conf.command.printing.tables import print_result
from conf.contract import ListsManifest
from conf.erasure.lists_and_models import rebuild_lists
from conf.erasure.rows import Target
from conf.errors import ConfigError, GateError
from conf.runs.inputs.request_keys import lists_request
from conf.runs.lineage import shown_lists
from conf.runs.looking import run_show, run_status
from conf.runs.stages import run_score
from conf.settings.config import Config
from conf.settings.load import load_config
from conf.workspace.pointers import current_version, publish
from conf.workspace.publications import ShownLists
from conf.workspace.versions import read_manifest
from serving.rules.shown import shown_version
from tests.serving.random_shop import Shop, random_shop
from tests.serving.tiny_shop import DAY

NORTH = "score.scenarios.north={list_length: 3, users: \"user.region = 'north'\"}"
CART = "score.scenarios.cart={drop_seen: false, rules: {where: {in_stock: 'stock > 0'}}}"
Made = tuple[Shop, dict[str, Any]]


@pytest.fixture(scope="module")
def scored(shared_ray: None, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Lists of three kinds, made by two workers and published."""
    shop = random_shop(tmp_path_factory.mktemp("kinds"), 3, NORTH, CART, "score.workers=2")
    publish(Path(shop.config.run.output), "models", shop.model_id, DAY)
    return shop, run_score(shop.config)


def manifest_of(shop: Shop, result: dict[str, Any]) -> ListsManifest:
    return read_manifest(Path(shop.config.run.output), "lists", result["id"], ListsManifest)


def changed(shop: Shop, *overrides: str) -> Config:
    return load_config(Path(shop.config.run.output) / "run.yaml", [NORTH, CART, *overrides])


def test_each_scenario_has_files_counts_and_gates_of_its_own(
    scored: Made, capsys: pytest.CaptureFixture[str]
) -> None:
    shop, result = scored
    manifest, north = manifest_of(shop, result), result["scenarios"]["north"]

    in_north = sum(user["region"] == "north" for user in shop.users)
    assert 0 < in_north < len(shop.users) == manifest.counts["users"]
    assert north["counts"]["users"] == manifest.scenarios["north"].counts["users"] == in_north
    assert north["counts"]["full_lists"] == north["counts"]["lists"] == in_north
    assert north["counts"]["rows"] == 3 * in_north and north["users_without_lists"] == {}
    assert north["gates"]["short_lists"] and all(north["gates"].values())
    assert result["scenarios"]["cart"]["counts"]["seen_items"] is None
    rule = manifest.scenarios["cart"].rules["score.scenarios.cart.rules.where.in_stock"]
    assert rule["excluded_items"] == sum(not item["stock"] for item in shop.items)
    assert manifest.rules == {}
    paths = [file.path for file in manifest.files["scenarios.north"]]
    assert paths == [f"north/part-0000{part}.parquet" for part in range(3)]
    print_result(result)
    assert "gates of the lists of north" in capsys.readouterr().out
    status = run_status(shop.config)["lists"]
    counts = manifest.scenarios["north"].counts
    told = {name: counts[name] for name in ("users", "lists", "full_lists")}
    assert status["scenarios"]["north"] == told
    assert run_score(shop.config)["status"] == "already done"


def test_show_finds_the_list_of_a_scenario(
    scored: Made, capsys: pytest.CaptureFixture[str]
) -> None:
    shop, result = scored
    rows = pq.read_table(Path(result["folder"]) / "north").to_pylist()
    inside = rows[0]["user_id"]
    outside = next(f"u{n}" for n, user in enumerate(shop.users) if user["region"] != "north")

    found = run_show(shop.config, inside, "north")

    own = [row["item_id"] for row in rows if row["user_id"] == inside]
    assert [row["item_id"] for row in found["list"]] == own and len(own) == 3
    assert len(run_show(shop.config, inside)["list"]) == 4
    nothing = run_show(shop.config, outside, "north")
    assert nothing["list"] == [] and not nothing["in_scenario"] and nothing["why_absent"] is None
    print_result(nothing)
    assert "not in the scenario" in capsys.readouterr().out
    with pytest.raises(ConfigError, match=r"no such scenario; there are: north, cart"):
        run_show(shop.config, inside, "home")


def test_the_key_of_lists_follows_from_the_scenarios_but_not_from_their_gates(
    scored: Made,
) -> None:
    shop, _ = scored

    def key(*overrides: str) -> str:
        return lists_request(changed(shop, *overrides), "d", "m")

    assert key() == key("score.scenarios.cart.gates.short_lists.warn_above=0.5")
    others = ["score.scenarios.north.list_length=2", "score.scenarios.new={}",
              "score.scenarios.north.users=\"user.region = 'south'\""]  # fmt: skip
    assert len({key(), *map(key, others)}) == 4


@pytest.mark.usefixtures("scored_here")
def test_a_killed_run_makes_only_the_parts_that_a_scenario_lacks(scored: Made) -> None:
    shop, result = scored
    folder = Path(result["folder"])
    lost = folder / "cart" / "part-00001.parquet"
    before = {path: (path.read_bytes(), path.stat().st_ino) for path in folder.rglob("*.parquet")}
    (folder / "lists.json").unlink()
    lost.unlink()

    again = run_score(shop.config)

    assert again["id"] == result["id"] and again["status"] == "done"
    for path, (content, inode) in before.items():
        assert path.read_bytes() == content
        assert path == lost or path.stat().st_ino == inode


@pytest.mark.slow
@pytest.mark.usefixtures("scored_here")
def test_a_gate_of_a_scenario_refuses_all_lists(scored: Made) -> None:
    shop, _ = scored
    workspace = Path(shop.config.run.output)
    current = current_version(workspace, "lists")
    config = changed(
        shop, "score.scenarios.north.list_length=100",
        "score.scenarios.north.gates.short_lists.refuse_above=0.5",
    )  # fmt: skip

    with pytest.raises(GateError) as refused:
        run_score(config)

    told = str(refused.value)
    assert "short_lists: scenario north: " in told and "1 gate(s) failed" in told
    assert "the limit is score.scenarios.north.gates.short_lists.refuse_above=0.5" in told
    assert refused.value.made is not None
    gates = refused.value.made["scenarios"]["north"]["gates"]
    assert not gates["short_lists"] and gates["seen_items"]
    assert current_version(workspace, "lists") == current


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("users=\"user.region = 'west'\"", r"users=.* is true for none of the 30 users of"),
        ("users='stock > 1 and user.budget > 3'", r"north\.users uses fields of items \(stock\)"),
        ("users='run_date is not null'", r"north\.users=.* uses no field of users"),
        ("rules.where.a='stok > 0'", r"score\.scenarios\.north\.rules\.where\.a=.*uses stok"),
    ],
)
def test_a_condition_that_cannot_be_used_makes_no_lists(
    scored: Made, override: str, told: str
) -> None:
    shop, _ = scored
    current = current_version(Path(shop.config.run.output), "lists")

    with pytest.raises(ConfigError, match=told):
        run_score(changed(shop, f"score.scenarios.north.{override}"))

    assert current_version(Path(shop.config.run.output), "lists") == current


def test_an_erasure_reaches_the_lists_of_scenarios(scored: Made, tmp_path: Path) -> None:
    shop, result = scored
    before, folder = manifest_of(shop, result), Path(result["folder"])
    north = [n for n, user in enumerate(shop.users) if user["region"] == "north"]
    south = next(n for n, user in enumerate(shop.users) if user["region"] != "north")
    names = frozenset({f"u{north[0]}", f"u{south}"})
    numbers = frozenset({north[0] + 2, south + 2})

    target = Target(names, names, numbers, (AESGCM(bytes(32)),))
    after, removed = rebuild_lists(before, folder, tmp_path, target, [False] * 3)

    assert removed["scenarios.north"] == 3 and removed["scenarios.cart"] > 0
    for name, gone in (("north", 1), ("cart", 2)):
        counts, earlier = after.scenarios[name].counts, before.scenarios[name].counts
        assert counts["users"] == earlier["users"] - gone  # type: ignore[operator]
        files = after.files[f"scenarios.{name}"]
        rows = pa.concat_tables(pq.read_table(tmp_path / file.path) for file in files)
        assert counts["rows"] == rows.num_rows == sum(file.rows for file in files)
        assert names.isdisjoint(rows["user_id"].to_pylist())


def test_fatigue_of_a_scenario_reads_the_lists_of_that_scenario(scored: Made) -> None:
    shop, result = scored
    workspace = Path(shop.config.run.output)

    assert {
        path.parent.name
        for path in shown_version(workspace, ShownLists(result["id"]), "cart").paths
    } == {"cart"}
    fatigue = "score.scenarios.{}.rules={{fatigue: {{versions: 1, events: [buy]}}}}"
    config = changed(shop, fatigue.format("new"), fatigue.format("north"))
    later = shop.manifest.model_copy(update={"id": "later", "logical_date": "2026-02-05"})
    (workspace / "datasets" / "later").mkdir()
    path = workspace / "datasets" / "later" / "manifest.json"
    path.write_text(later.model_dump_json())
    assert shown_lists(config, "later", "north") == (ShownLists(result["id"]),)
    assert shown_lists(config, "later", "new") == ()
