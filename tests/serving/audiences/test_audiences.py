"""Lists of users for items: in shops whose right answer is known by construction."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conf.contract import AUDIENCES, ListsManifest, Manifest
from conf.erasure.lists_and_models import rebuild_lists
from conf.erasure.rows import Target
from conf.errors import ConfigError, HeadraceError, InputError
from conf.runs.inputs.list_files import list_files
from conf.runs.inputs.request_keys import lists_request
from conf.runs.stages import run_score
from conf.settings.config import Config
from conf.workspace.folders import own_folder
from conf.workspace.pointers import publish
from conf.workspace.versions import read_manifest
from serving.audiences.items import items_of_audiences
from serving.audiences.merged import AUDIENCE_SCHEMA, _counted, write_audiences
from serving.audiences.worker import PARTS, AudienceScorer
from serving.publishing.parts import read_item_ids
from serving.rules.reading.given import read_given
from serving.scoring.list_model import load_model
from serving.scoring.worker import ScoringJob
from tests.serving.tiny_shop import DAY, HISTORIES, ITEMS, tiny_config, write_dataset, write_model
from tests.trainer.small_parts import matrix
from trainer.models.bundle import Trained, save_bundle
from trainer.models.item_knn import fit_item_knn

# Two blocks: items 2 to 5 and items 6 to 9. Users know some items of their own block.
BLOCKS = [[2, 3, 4], [6, 7, 8], [2, 4, 5], [6, 8], [3, 5], [7, 8, 9], [], [6, 9]]
REGIONS = ["north", "south", "south", "north", "north", "south", "north", None]
KINDS = ["tent"] * 4 + ["boat"] * 4


def block_shop(folder: Path, *overrides: str, group_rows: int = 3) -> tuple[Config, Manifest, str]:
    config = tiny_config(
        folder, "train.algorithm=item_knn", "score.reasons=0", f"input.root={folder}", *overrides
    )
    manifest = write_dataset(
        folder, BLOCKS, items=8, group_rows=group_rows,
        item_fields={"kind": pa.array(KINDS)}, user_fields={"region": pa.array(REGIONS)},
    )  # fmt: skip
    events = np.array([sum(h.count(n) for h in BLOCKS) for n in range(10)], dtype=float)
    knn = fit_item_knn(
        matrix(BLOCKS, 10), events, neighbours=9, similarity="cosine", shrinkage=0.0,
        history_decay=1.0,
    )  # fmt: skip
    model_id = save_bundle(
        config, manifest, "k" * 64, Trained({"history_decay": 1.0}, knn.weights(), {})
    )
    publish(folder, "models", model_id, DAY)
    return config, manifest, model_id


def found_in(config: Config, manifest: Manifest, model_id: str) -> dict[str, list[dict[str, Any]]]:
    """Return each audience, made without Ray as the workers make it."""
    workspace = Path(config.run.output)
    folder = workspace / "lists" / "v"
    own_folder(own_folder(own_folder(folder) / AUDIENCES) / PARTS)
    ids = read_item_ids(workspace / "datasets" / manifest.id, manifest)
    files = list_files(config)
    given = read_given(config, manifest, ids, files)
    model = load_model(workspace, model_id, manifest)
    items = items_of_audiences(config, manifest, model, ids, given, files)
    made_of = (workspace, manifest.id, model_id, "r", folder, config.score)
    scorer = AudienceScorer(ScoringJob(*made_of, given=given, audiences=items))
    for part in range(len(manifest.row_groups("users"))):
        scorer.score(part)
    write_audiences(folder, manifest, config.score, items)
    return read_all(folder)


def read_all(folder: Path) -> dict[str, list[dict[str, Any]]]:
    paths = sorted((folder / AUDIENCES).glob("*.parquet"))
    return {path.stem: pq.read_table(path).to_pylist() for path in paths}


def names(rows: list[dict[str, Any]]) -> list[str]:
    return [row["user_id"] for row in rows]


def audience(text: str) -> str:
    return f"score.audiences={{a: {{{text}}}}}"


def test_users_of_the_items_block_come_first(tmp_path: Path) -> None:
    shop = block_shop(tmp_path, audience("where: \"kind = 'tent'\""))

    rows = found_in(*shop)["a"]

    assert set(names(rows)[:3]) == {"u0", "u2", "u4"}
    assert rows[2]["score"] > 0.99 and rows[3]["score"] < 0.01  # of a user of the other block
    assert "u6" not in names(rows)  # without events nothing is known of a user
    assert [row["position"] for row in rows] == list(range(1, len(rows) + 1))
    assert all(0 < row["score"] <= 1 for row in rows)


def test_a_user_who_has_the_item_is_not_named(tmp_path: Path) -> None:
    rows = found_in(*block_shop(tmp_path, audience("item: i4")))["a"]
    assert {"u0", "u2"}.isdisjoint(names(rows)) and names(rows)[0] == "u4"
    kept = found_in(*block_shop(tmp_path / "k", audience("item: i4"), "score.drop_seen=false"))
    assert {"u0", "u2"} <= set(names(kept["a"])[:3])


def test_only_users_who_meet_the_condition_are_named(tmp_path: Path) -> None:
    text = "item: i9, users: \"user.region = 'south'\""
    assert set(names(found_in(*block_shop(tmp_path, audience(text)))["a"])) <= {"u1", "u2"}


def test_rules_of_lists_hold(tmp_path: Path) -> None:
    rules = (
        "score.rules.where.near=\"user.region = 'north' or item.kind = 'boat'\"",
        "score.rules.leave_out.had.events=[view, buy]",
    )
    shop = block_shop(tmp_path, audience("where: \"kind = 'tent'\""), *rules)
    assert set(names(found_in(*shop)["a"])) <= {"u0", "u3", "u4"}

    (tmp_path / "d").mkdir()
    (tmp_path / "d/no.txt").write_text("i4\n")
    denied = ("score.rules.deny.no.path=no.txt", audience("item: i4"))
    assert found_in(*block_shop(tmp_path / "d", *denied))["a"] == []


def test_a_network_gives_shares_of_a_softmax(tmp_path: Path) -> None:
    config = tiny_config(tmp_path, "score.audiences={a: {where: \"half = 'low'\"}}")
    halves = pa.array(["low" if n < 4 else "high" for n in range(ITEMS)])
    manifest = write_dataset(tmp_path, HISTORIES, items=ITEMS, item_fields={"half": halves})
    model_id = write_model(config, manifest)

    rows = found_in(config, manifest, model_id)["a"]

    job = ScoringJob(tmp_path, manifest.id, model_id, "r", tmp_path, config.score)
    scorer = AudienceScorer(
        ScoringJob(**{**vars(job), "audiences": {"a": np.array([2, 3, 4, 5])}})
    )  # fmt: skip
    expected = {}
    for part in range(3):
        users, histories = scorer.parts.read(part)
        for row, user in enumerate(users["user_id"].to_pylist()):
            seen = {n for n in HISTORIES[int(user[1:])] if n > 1}
            if not seen:
                continue
            scores = scorer.maker.scorer.scores(histories, np.array([row]))[0].detach().numpy()
            raised = np.exp(scores.astype(float) - scores.max())
            left = [n for n in range(2, ITEMS + 2) if n not in seen]
            in_it = [n for n in left if n <= 5]
            if in_it:
                expected[user] = raised[in_it].sum() / raised[left].sum()
    assert {row["user_id"]: row["score"] for row in rows} == pytest.approx(expected, rel=2e-4)
    assert names(rows) == sorted(expected, key=lambda user: -expected[user])


@pytest.mark.parametrize("count", [2, 5])
def test_any_parts_make_the_same_bytes(tmp_path: Path, count: int) -> None:
    made = []
    for rows in (1, 3, 8):
        folder = tmp_path / str(rows)
        text = audience(f"where: \"kind = 'boat'\", count: {count}")
        found_in(*block_shop(folder, text, group_rows=rows))
        made.append((folder / "lists/v/audiences/a.parquet").read_bytes())
    assert made[0] == made[1] == made[2]
    assert not (tmp_path / "1/lists/v/audiences" / PARTS).exists()


def test_of_equal_users_the_smaller_number_comes_first(tmp_path: Path) -> None:
    config = tiny_config(tmp_path, audience("item: i9, count: 2"))
    manifest = write_dataset(tmp_path, [[2, 3]] * 5, items=ITEMS, group_rows=2)
    rows = found_in(config, manifest, write_model(config, manifest))["a"]
    assert names(rows) == ["u0", "u1"] and rows[0]["score"] == rows[1]["score"]


@pytest.mark.usefixtures("shared_ray")
def test_audiences_are_published_with_the_lists_and_erased_with_them(tmp_path: Path) -> None:
    config, _, _ = block_shop(tmp_path, audience("where: \"kind = 'tent'\""))

    folder = Path(run_score(config)["folder"])

    rows = read_all(folder)["a"]
    manifest = read_manifest(tmp_path, "lists", folder.name, ListsManifest)
    assert manifest.audiences == {"a": {"items": 4, "users": len(rows)}}
    assert manifest.files[AUDIENCES][0].path == "audiences/a.parquet"
    assert run_score(config)["status"] == "already done"

    someone = frozenset({"u4"})
    target = Target(someone, someone, frozenset({6}), ())
    left, removed = rebuild_lists(manifest, folder, tmp_path / "new", target, [False] * 3)
    assert removed[AUDIENCES] == 1 and left.audiences["a"]["users"] == len(rows) - 1
    assert read_all(tmp_path / "new")["a"] == [row for row in rows if row["user_id"] != "u4"]
    assert left.files[AUDIENCES][0].rows == len(rows) - 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("where: \"user.region = 'north'\"", "where uses fields of users"),
        ("item: i2, users: \"item.kind = 'tent'\"", "users uses fields of items"),
        ("item: none", "names no item of dataset"),
        ("where: \"kind = 'car'\"", "names no item of dataset"),
        ("where: kind", "has to be true or false"),
    ],
)
def test_wrong_audiences_are_refused(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        found_in(*block_shop(tmp_path, audience(text)))


@pytest.mark.parametrize("text", ["count: 3", "item: i2, where: \"kind = 'tent'\""])
def test_the_items_have_one_source(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="set exactly one of item, path and where"):
        tiny_config(tmp_path, audience(text))


def test_a_file_of_items_is_read(tmp_path: Path) -> None:
    (tmp_path / "boats.txt").write_text("i6\ni9\nnone\n")
    shop = block_shop(tmp_path, audience("path: boats.txt"))
    rows = found_in(*shop)["a"]
    assert names(rows)[0] in {"u1", "u3", "u5"}
    before = lists_request(shop[0], "d", "m", files=list_files(shop[0]))
    (tmp_path / "boats.txt").write_text("i6\n")
    assert lists_request(shop[0], "d", "m", files=list_files(shop[0])) != before
    (tmp_path / "boats.txt").write_text("none\n")
    with pytest.raises(InputError, match="has none of them"):
        found_in(*shop)


def test_unset_they_change_no_key(tmp_path: Path) -> None:
    plain, asked = tiny_config(tmp_path), tiny_config(tmp_path, audience("item: i2"))
    more = tiny_config(tmp_path, audience("item: i2, count: 3"))
    keys = {lists_request(config, "d", "m") for config in (plain, asked, more)}
    assert len(keys) == 3
    assert "audiences" not in str(plain.score.model_dump(exclude_defaults=True))


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (("u9", 1, 0.9), "unknown_ids"),
        (("u1", 1, 0.9), "repeated_users"),
        (("u0", 2, 0.9), "misplaced_rows"),
        (("u0", 1, float("nan")), "bad_scores"),
        (("u0", 1, 0.1), "bad_scores"),
    ],
)
def test_faults_are_counted(row: tuple[str, int, float], fault: str) -> None:
    columns = zip(*[row, ("u1", 2, 0.5), ("u2", 3, 0.5)], strict=True)
    arrays = [pa.array(c, f.type) for c, f in zip(columns, AUDIENCE_SCHEMA, strict=True)]
    table = pa.Table.from_arrays(arrays, schema=AUDIENCE_SCHEMA)
    users = pa.chunked_array([["u0", "u1", "u2"]])
    assert _counted(table, users, 3)[fault] >= 1
    assert _counted(table.slice(3), users, 3) == dict.fromkeys(_counted(table, users, 3), 0)


def test_a_wrong_list_is_not_published(tmp_path: Path) -> None:
    shop = block_shop(tmp_path, audience("item: i4"))
    path = tmp_path / "lists/v" / AUDIENCES / PARTS
    found_in(*shop)
    own_folder(path)
    columns = [["a", "a"], [2, 2], ["u0", "u0"], [0.5, 0.5]]
    table = pa.table(dict(zip(("audience", "user_idx", "user_id", "score"), columns, strict=True)))
    for part in range(3):
        pq.write_table(table.slice(0, 2 if part == 0 else 0), path / f"part-0000{part}.parquet")
    with pytest.raises(HeadraceError, match="repeated_users 1"):
        write_audiences(path.parent.parent, shop[1], shop[0].score, {"a": np.array([4])})
