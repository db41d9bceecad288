"""After an erasure the promises about anonymity hold, counted here in another way."""

import json
from collections import Counter, defaultdict
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conf.contract import DataFile, Feature, Manifest, PrivacyReport
from conf.erasure.anonymity import Kept, keep_promises
from conf.erasure.receipts import Receipt, is_genuine
from conf.privacy.keys import require_keys, sign
from conf.runs.managing import run_erase
from conf.workspace.json_files import read_json, write_json
from conf.workspace.parquet import describe_parquet
from conf.workspace.versions import read_manifest
from tests.conf.erasable import DATASET, config_of, rows_of

FIELDS = ("age", "region", "job")
REPORT = PrivacyReport(
    mode="none", key_id=None, tenant="", ids=(), methods={}, quasi_identifiers=FIELDS, k_asked=3,
    k_reached=3, min_users_per_item=2,
)  # fmt: skip


def feature(name: str, *made_of: str) -> Feature:
    return Feature(name=name, kind="categorical", encoding="categorical", made_of=made_of)


FEATURES = {"user_features": (
    feature("user_age"), feature("user_job"), feature("user_city"), feature("user_vector"),
    feature("user_age_and_city", "user_age", "user_city"),
)}  # fmt: skip


def written(folder: Path, part: str, rows: list[dict[str, Any]]) -> tuple[DataFile, ...]:
    """Write rows to two files of row groups of three, as links to another folder's files."""
    (folder / part).mkdir(parents=True)
    (folder / "old" / part).mkdir(parents=True)
    table, half, files = pa.Table.from_pylist(rows), len(rows) // 2, []
    for number, some in enumerate((table.slice(0, half), table.slice(half))):
        name = f"{part}/part-{number:05d}.parquet"
        pq.write_table(some, folder / "old" / name, row_group_size=3)
        (folder / name).hardlink_to(folder / "old" / name)
        files.append(describe_parquet(folder, folder / name))
    return tuple(files)


def made(folder: Path, draw: Random, with_fill: bool) -> tuple[Manifest, dict[str, Any]]:
    """Write what is left of a dataset, whose people are of no promised k any more."""
    users, features, histories = [], [], []
    for number in range(2, 62):
        age, region, job = draw.choice("3333345 "), draw.choice("nnnns "), draw.choice("aaab ")
        values = {"age": age.strip() or None, "region": region.strip() or None,
                  "job": job.strip() or None}  # fmt: skip
        missing = {"job_was_missing": values["job"] is None} if with_fill else {}
        if with_fill and values["job"] is None:
            values["job"] = "a"
        users.append({"user_idx": number, "user_id": f"u{number}", **values, **missing})
        features.append({"user_idx": number, "user_age": 5, "user_job": 6, "user_city": 7,
                         "user_vector": [0.5, 1.0], "user_vector_present": 1,
                         "user_age_and_city": 8})  # fmt: skip
        histories.append({"user_idx": number,
                          "history_item_idx": [min(2 + int(draw.expovariate(0.2)), 30)
                                               for _ in range(draw.randrange(3))]})  # fmt: skip
    items = [{"item_idx": number, "item_id": str(number), "train_events": int(number % 7 > 0)}
             for number in range(2, 31)]  # fmt: skip
    rows = {"users": users, "user_features": features, "histories": histories, "items": items}
    fills = {"users": {"job": {"value": "a", "groups": {}}}} if with_fill else {}
    manifest = Manifest.model_construct(privacy=REPORT, features=FEATURES, fills=fills)
    return manifest, {part: written(folder, part, found) for part, found in rows.items()}


def combination(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(None if row.get(f"{name}_was_missing") else row[name] for name in FIELDS)


def read(folder: Path, kept: Kept, part: str) -> list[dict[str, Any]]:
    tables = [pq.read_table(folder / file.path) for file in kept.files[part]]
    for file, table in zip(kept.files[part], tables, strict=True):
        assert file == describe_parquet(folder, folder / file.path)
        assert file.rows == table.num_rows
    rows: list[dict[str, Any]] = pa.concat_tables(tables).to_pylist()
    return rows


@pytest.mark.parametrize("with_fill", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_whoever_is_left_k_is_reached(seed: int, with_fill: bool, tmp_path: Path) -> None:
    manifest, files = made(tmp_path, Random(seed), with_fill)
    before = read(tmp_path, Kept(files, None, 0), "users")

    kept = keep_promises(manifest, tmp_path, files)

    after, report = read(tmp_path, kept, "users"), kept.report
    groups = Counter(map(combination, after))
    told = [users for values, users in groups.items() if any(values)]
    assert report is not None and report.k_reached == min(told, default=None)
    assert min(told, default=3) >= 3
    changed = [
        (b, a) for b, a in zip(before, after, strict=True) if combination(b) != combination(a)
    ]
    assert len(changed) == kept.emptied > 0
    assert report.rows_suppressed == sum(not any(combination(a)) for _, a in changed)
    assert report.rows_generalised == sum(any(combination(a)) for _, a in changed)
    for row, now in zip(before, after, strict=True):  # values only go, and only rare ones
        assert all(new in (old, None) for old, new in
                   zip(combination(row), combination(now), strict=True))  # fmt: skip
        if Counter(map(combination, before))[combination(row)] >= 3:
            assert row == now
    assert {row["job"] for row in after if row.get("job_was_missing")} <= {"a"}


def test_features_of_emptied_values_are_those_of_a_missing_value(tmp_path: Path) -> None:
    manifest, files = made(tmp_path, Random(1), False)
    before = {row["user_idx"]: row for row in read(tmp_path, Kept(files, None, 0), "users")}

    kept = keep_promises(manifest, tmp_path, files)

    after = {row["user_idx"]: row for row in read(tmp_path, kept, "users")}
    aged = {n for n, row in before.items() if row["age"] != after[n]["age"]}
    worked = {n for n, row in before.items() if row["job"] != after[n]["job"]}
    assert aged and worked - aged
    for row in read(tmp_path, kept, "user_features"):
        number = row["user_idx"]
        assert row["user_age"] == (0 if number in aged else 5)
        assert row["user_age_and_city"] == (0 if number in aged else 8)
        assert row["user_job"] == (0 if number in worked else 6)
        assert (row["user_city"], row["user_vector"]) == (7, [0.5, 1.0])
    old = pq.read_table(tmp_path / "old/users/part-00000.parquet").to_pylist()
    assert old == list(before.values())[:30]  # the files that were linked are as they were


@pytest.mark.parametrize("seed", range(4))
def test_items_of_few_users_are_counted(seed: int, tmp_path: Path) -> None:
    manifest, files = made(tmp_path, Random(seed), False)

    kept = keep_promises(manifest, tmp_path, files)

    users: dict[int, set[int]] = defaultdict(set)
    for row in read(tmp_path, kept, "histories"):
        for item in row["history_item_idx"]:
            users[item].add(row["user_idx"])
    trained = [number for number in range(2, 31) if number % 7]
    few = sum(len(users[number]) < 2 for number in trained)
    assert kept.report is not None and kept.report.items_of_few_users == few > 0


def test_what_an_erasure_cannot_know_is_null(tmp_path: Path) -> None:
    manifest, files = made(tmp_path, Random(1), False)
    report = REPORT.model_copy(update={"rows_generalised": 4})
    kept = keep_promises(manifest.model_copy(update={"privacy": report}), tmp_path, files)
    assert kept.report is not None
    assert (kept.report.rows_generalised, kept.report.rows_suppressed) == (None, None)


def test_result_and_receipt_say_what_was_kept(workspace: Path, users: Path) -> None:
    result = run_erase(config_of(workspace), users)
    folder = f"datasets/{DATASET}"
    assert result["anonymity"] == {folder: {"k_asked": 2, "k_reached": 2}}
    receipt = Path(result["receipt"])
    keys = require_keys(config_of(workspace).privacy, "this")
    assert json.loads(receipt.read_text())["anonymity"] == result["anonymity"]
    assert is_genuine(receipt, keys)
    receipt.write_text(receipt.read_text().replace('"k_reached": 2', '"k_reached": 5'))
    assert not is_genuine(receipt, keys)


def test_a_broken_promise_of_an_earlier_release_is_mended_by_the_next_erasure(
    workspace: Path, users: Path, tmp_path: Path
) -> None:
    run_erase(config_of(workspace), users)
    folder = workspace / "datasets" / DATASET
    path = folder / "users/part-00000.parquet"
    table = pq.read_table(path)
    alone = table.set_column(table.schema.get_field_index("age"), "age", pa.array(["30", "50"]))
    pq.write_table(alone, path)
    manifest = read_manifest_of(folder)
    manifest["files"]["users"][0] = describe_parquet(folder, path).model_dump(mode="json")
    write_json(folder / "manifest.json", manifest)
    (tmp_path / "nobody.txt").write_text("nobody")

    result = run_erase(config_of(workspace), tmp_path / "nobody.txt")

    assert result["found"] == 0
    assert [row["age"] for row in rows_of(workspace, f"datasets/{DATASET}", "users")] == [None] * 3
    report = read_manifest(workspace, "datasets", DATASET, Manifest).privacy
    assert report is not None and report.k_reached is None


def read_manifest_of(folder: Path) -> Any:
    return read_json(folder / "manifest.json")


def test_a_receipt_of_an_earlier_release_is_still_genuine(tmp_path: Path) -> None:
    keys = require_keys(config_of(tmp_path).privacy, "this")
    then = {"erased_at": "2026-01-01T00:00:00Z", "key_id": keys.key_id, "users": ["a"],
            "found": [], "removed": {}}  # fmt: skip
    message = json.dumps(then, sort_keys=True, separators=(",", ":")).encode()
    path = tmp_path / "receipt.json"
    path.write_text(json.dumps({**then, "signature": sign(keys, message)}))
    assert Receipt.model_validate_json(path.read_bytes()).anonymity == {}
    assert is_genuine(path, keys)
