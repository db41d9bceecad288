import json
import re
import shutil
import stat
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file

from conf.contract import Bundle, DataFile, ListsManifest, Manifest
from conf.erasure.encoders import drop_groups
from conf.erasure.erase import read_users, run
from conf.erasure.forms import all_forms
from conf.erasure.receipts import is_genuine
from conf.erasure.rows import Target
from conf.errors import ConfigError
from conf.privacy.erased import read_erased
from conf.privacy.keys import Keys, require_keys
from conf.privacy.sealing import erased_hash, pseudonym
from conf.runs.looking import run_status
from conf.runs.managing import run_erase
from conf.workspace.hashes import hash_file, with_content
from conf.workspace.versions import read_manifest
from tests.conf.erasable import (
    DATASET,
    GONE,
    KEY,
    LISTS,
    MODEL,
    NAMES,
    REPORT,
    config_of,
    everything_in,
    rows_of,
    write_identities,
    write_workspace,
)


def hashes_in(workspace: Path, keys: Keys) -> set[str]:
    return {text for users in read_erased(workspace, keys) for text in users.hashes}


def test_rows_go_and_the_others_stay_as_they_were(workspace: Path, users: Path) -> None:
    before = {part: rows_of(workspace, f"datasets/{DATASET}", part) for part in ("users", "train")}
    result = run_erase(config_of(workspace), users)

    folder = f"datasets/{DATASET}"
    assert (result["users"], result["found"]) == (4, 3)
    left = rows_of(workspace, folder, "users")
    kept = [row for row in before["users"] if row["user_id"] not in GONE]
    assert left == [*kept[:2], {**kept[2], "age": None}]  # nobody else is left with this age
    assert [row["user_idx"] for row in rows_of(workspace, folder, "histories")] == [2, 3, 6]
    assert rows_of(workspace, folder, "train") == [
        row for row in before["train"] if row["user_idx"] in (2, 3)
    ]
    assert rows_of(workspace, folder, "valid") == []
    # A broken line with an id in it goes; one with a longer word, or somebody else's, stays.
    raws = [row["raw"] for row in rows_of(workspace, folder, "quarantine")]
    assert raws == [f"{NAMES[5]}9,a", f'{{"seen":"{NAMES[2]}0"}}']
    assert (workspace / folder / "notes.txt").read_text() == "kept as it is"
    assert result["removed"][folder] == {
        "users": 3, "histories": 3, "train": 3, "valid": 1, "test": 1, "quarantine": 3, "pages": 1,
        "user_features": 3, "train_impressions": 3, "valid_impressions": 1, "encoders": 7,
        "fills": 1, "combinations": 1,
    }  # fmt: skip
    assert [row["user_idx"] for row in rows_of(workspace, folder, "user_features")] == [2, 3, 6]


def test_values_that_nobody_left_has_are_blanked_in_their_place(
    workspace: Path, users: Path
) -> None:
    run_erase(config_of(workspace), users)

    folder = workspace / "datasets" / DATASET / "encoders"
    known = {path.stem: json.loads(path.read_text()) for path in folder.iterdir()}
    values = {
        field: fitted["values"]
        for fields in known.values() for field, fitted in fields.items() if "values" in fitted
    }  # fmt: skip
    assert values == {
        "age": ["30", None], "city": ["Oslo", None, "Bergen", None],
        "likes": ["jazz", "rock", None], "shoe": [None],  # left out, so that no row tells of it
        "place": ["home", None, "cabin", None], "colour": ["red"],
    }  # fmt: skip
    assert known["user_features"]["height"] == {"mean": 1.7, "deviation": 0.1}
    manifest = read_manifest(workspace, "datasets", DATASET, Manifest)  # checks the sizes
    for file in manifest.files["encoders"]:
        assert file.sha256 == hash_file(folder.parent / file.path)
    assert manifest.fills == {"users": {"age": {"value": 30, "groups": {"Oslo": 30}}}}
    found = everything_in(workspace)
    assert not [v for v in ("Rome", "Lima", "folk", "clinic", "hideout") if v in found]


def test_manifests_say_what_is_there_now(workspace: Path, users: Path) -> None:
    before = read_manifest(workspace, "datasets", DATASET, Manifest)
    run_erase(config_of(workspace), users)

    manifest = read_manifest(workspace, "datasets", DATASET, Manifest)  # checks the sizes
    assert manifest.content == with_content(manifest).content != before.content
    groups = {part: [g.rows for g in manifest.row_groups(part)] for part in manifest.files}
    assert groups["users"] == groups["histories"] == [2, 1]
    assert groups["train"] == [1, 1] and groups["valid"] == []
    assert manifest.counts == {
        "users": 3, "items": 2, "events": 5, "train_rows": 2, "train_targets": 2, "valid": 0,
        "test": 1, "test_seen": 1, "quarantined": 2, "shown": 1,
    }  # fmt: skip
    events, table = manifest.ledger["events"], manifest.ledger["users"]
    assert events.dropped == {"bot": 1, "erased": 16} and events.rows_kept == 6
    assert events.quarantined == {"line_unparsable": 1, "time_unparsable": 1}
    assert events.missing_rows() == table.missing_rows() == 0
    assert before.ledger["users"].match is not None and table.match is None
    assert manifest.vocabularies["user"].size == 8
    assert manifest.vocabularies["user"].fingerprint != "f"
    assert manifest.vocabularies["item"].fingerprint == "i"
    assert manifest.privacy is not None and (
        manifest.privacy.k_reached,
        manifest.privacy.rows_suppressed,
    ) == (2, 1)
    assert run_status(config_of(workspace))["datasets"]["id"] == DATASET


def test_lists_go_on_matching_the_row_groups(workspace: Path, users: Path) -> None:
    run_erase(config_of(workspace), users)

    lists = read_manifest(workspace, "lists", LISTS, ListsManifest)
    assert [file.path for file in lists.files["lists"]] == [
        "part-00000.parquet", "part-00002.parquet",
    ]  # fmt: skip
    assert {row["user_id"] for row in rows_of(workspace, "lists", LISTS)} == {
        NAMES[0], NAMES[1], NAMES[4],
    }  # fmt: skip
    assert lists.counts == {
        "users": 3, "lists": 3, "rows": 6, "fallback_lists": 3, "full_lists": 3,
    }  # fmt: skip
    assert lists.short_lists == {}


def test_a_model_forgets_its_rows(workspace: Path, users: Path) -> None:
    run_erase(config_of(workspace), users)

    weights = load_file(workspace / "models" / MODEL / "weights.safetensors")
    zeroed = [not row.any() for row in weights["user_embedding.weight"]]
    assert zeroed == [False, False, False, False, True, True, False, True]
    assert weights["item_embedding.weight"].all()
    bundle = read_manifest(workspace, "models", MODEL, Bundle)
    manifest = read_manifest(workspace, "datasets", DATASET, Manifest)
    assert bundle.vocabularies == manifest.vocabularies


def test_nothing_is_left_but_keyed_hashes(workspace: Path, users: Path) -> None:
    refused = workspace / "datasets/refused-1"
    (refused / "quarantine").mkdir(parents=True)
    source = next((workspace / "datasets" / DATASET / "quarantine").iterdir())
    (refused / "quarantine/part-00000.parquet").write_bytes(source.read_bytes())
    for leaving in (
        "datasets/.work-1",
        "models/.work-1",
        "lists/tiny-2026-01-31-0123456789ab",
        "datasets/tiny-undated-0123456789ab",
    ):
        (workspace / leaving).mkdir()
        (workspace / leaving / "part.txt").write_text(" ".join(NAMES))

    result = run_erase(config_of(workspace), users)

    found = everything_in(workspace)
    # Of another word that begins so, the rest is somebody else's.
    assert not [name for name in GONE if re.search(rf"{name}(?![09])", found)]
    assert NAMES[0] in found
    assert result["removed"]["datasets/refused-1"] == {"rows": 3}
    keys = require_keys(config_of(workspace).privacy, "this")
    hashes = {erased_hash(keys.erased, name) for name in GONE}
    receipt = json.loads(Path(result["receipt"]).read_text())
    assert set(receipt["users"]) == hashes == hashes_in(workspace, keys)
    assert set(receipt["found"]) == {erased_hash(keys.erased, name) for name in GONE[:3]}


def test_labels_are_found_by_their_key_or_by_the_table(workspace: Path, users: Path) -> None:
    keys = require_keys(config_of(workspace).privacy, "this")
    shutil.rmtree(workspace)
    # The first half was labelled with our key, the rest with one that is lost.
    half = [pseudonym(keys.label, "shop", "user", name) for name in NAMES[:3]]
    labels = (*half, "lost3", "lost4", "lost5")
    write_workspace(workspace, labels, REPORT.model_copy(update={"tenant": "shop"}))
    table = write_identities(workspace, labels, NAMES)

    run_erase(config_of(workspace), users)

    found = everything_in(workspace)
    gone = {*GONE, labels[2], "lost3"}
    assert not [name for name in gone if name in found.replace(f"{labels[2]}0", "")]
    assert [row["raw_id"] for row in rows_of(workspace, "identities", DATASET)] == [
        NAMES[0], NAMES[1], NAMES[4],
    ]  # fmt: skip
    assert stat.S_IMODE(table.stat().st_mode) == 0o600


def test_a_receipt_that_was_changed_is_found_out(workspace: Path, users: Path) -> None:
    receipt = Path(run_erase(config_of(workspace), users)["receipt"])
    keys = require_keys(config_of(workspace).privacy, "this")
    others = require_keys(config_of(workspace, key=KEY[::-1]).privacy, "this")
    assert is_genuine(receipt, keys)
    assert not is_genuine(receipt, others)
    receipt.write_text(receipt.read_text().replace('"users": 3', '"users": 2'))
    assert not is_genuine(receipt, keys)


@pytest.mark.parametrize(
    ("column", "left", "gone"),
    [(["007", "8"], ["007", "8"], ["7"]), ([7, None], ["7"], ["8"]), ([True], ["true"], ["false"]),
     ([7.0, 1e10], ["7.0", "1.0E10"], ["8.0"])],
)  # fmt: skip
def test_groups_of_fills_are_told_by_the_text_that_spark_makes_of_a_value(
    column: list[object], left: list[str], gone: list[str], tmp_path: Path
) -> None:
    pq.write_table(pa.table({"group": column}), tmp_path / "users.parquet")
    files = {"users": (DataFile(path="users.parquet", bytes=1, sha256="", rows=1),)}
    fills = {"users": {"age": {"value": 1, "groups": dict.fromkeys([*left, *gone], 2)}}}
    config = {"input": {"users": {"fields": {"age": {"fill": {"group_by": "group"}}}}}}
    manifest = Manifest.model_construct(fills=fills, config=config)
    found, dropped = drop_groups(manifest, tmp_path, files)
    assert (list(found["users"]["age"]["groups"]), dropped) == (left, 1)


def test_every_form_of_an_id_is_looked_for(tmp_path: Path) -> None:
    path = tmp_path / "users.txt"
    path.write_bytes("\ufeffe\u0301va\r\n 007 \n\n\u00e9va\n".encode())
    assert read_users(path) == {"e\u0301va", "\u00e9va", " 007 "}
    names = all_forms(tmp_path, read_users(path))
    assert names == {"e\u0301va", "\u00e9va", " 007 ", "007"}
    keys = require_keys(config_of(tmp_path).privacy, "this")
    pattern = Target(names, names, frozenset(), (keys.cipher(),)).pattern()
    for line in ("e\u0301va,1", '{"u":"\u00e9va"}', r'{"u":"\u00e9va"}', r'{"u":"e\u0301va"}'):
        assert pattern.search(line)
    assert not pattern.search("eva,1")


@pytest.mark.parametrize("with_labels", [False, True])
def test_rows_under_an_id_with_white_space_go_too(with_labels: bool, tmp_path: Path) -> None:
    raw = tuple(f"{name} " if n in (2, 3) else name for n, name in enumerate(NAMES))
    names = tuple(pseudonym(b"a lost key", "", "user", name) for name in raw)
    workspace, path = tmp_path / "workspace", tmp_path / "users.txt"
    write_workspace(workspace, names if with_labels else raw, REPORT)
    if with_labels:
        write_identities(workspace, names, raw)
    (workspace / "datasets" / ".work-1").mkdir()
    (workspace / "datasets" / ".work-1" / "part.parquet").write_text("cut off")
    path.write_text(f"\u00a0{NAMES[2]}\n{NAMES[3]}\n{NAMES[3]}\t\nnobody\n")

    result = run_erase(config_of(workspace), path)

    assert (result["users"], result["found"], result["not_found"]) == (3, 2, 1)
    left = [row["user_idx"] for row in rows_of(workspace, f"datasets/{DATASET}", "users")]
    assert left == [2, 3, 6, 7]
    keys = require_keys(config_of(workspace).privacy, "this")
    assert erased_hash(keys.erased, raw[2]) in hashes_in(workspace, keys)
    assert erased_hash(keys.erased, NAMES[2]) in hashes_in(workspace, keys)
    assert len(json.loads(Path(result["receipt"]).read_text())["users"]) == 3
    found = everything_in(workspace)
    for name in (*raw[2:4], *names[2:4]):
        assert name not in found.replace(f"{name}0", "")  # somebody else's


def test_it_takes_a_key_and_users(workspace: Path, tmp_path: Path, users: Path) -> None:
    with pytest.raises(ConfigError, match="erasing users needs a key"):
        run(config_of(workspace, key=None), users=users)
    with pytest.raises(ConfigError, match="cannot be read"):
        run(config_of(workspace), users=tmp_path / "none")
    (tmp_path / "empty").write_text("\n \n")
    with pytest.raises(ConfigError, match="names nobody"):
        run(config_of(workspace), users=tmp_path / "empty")
    run(config_of(workspace), users=users)
    with pytest.raises(ConfigError, match="was made with the key"):
        run(config_of(workspace, key=KEY[::-1]), users=users)
