"""A workspace of six users, written by hand, with all that an erasure has to reach."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import save_file

from conf.contract import (
    Bundle,
    DataFile,
    Feature,
    ListsManifest,
    Manifest,
    PrivacyReport,
    Vocabulary,
)
from conf.ledger import Account, InputLedger, Match
from conf.privacy.identities import KIND, LABEL, NUMBER, RAW_ID, SCHEMA, identities_folder
from conf.settings.config import Config
from conf.workspace.hashes import hash_file, with_content
from conf.workspace.parquet import describe_parquet
from conf.workspace.pointers import publish
from conf.workspace.versions import commit
from tests.conf.card_pages import card_of

KEY = "0123456789abcdef0123456789abcdef"
DATASET, MODEL, LISTS = "tiny-dataset", "tiny-model", "tiny-lists"
LENGTHS = (3, 2, 4, 1, 0, 5)  # acts of the users 2, 3, ...
SHOWN = (1, 0, 2, 0, 0, 1)  # events that only showed them an item
DAY = "2026-01-31"
NAMES = tuple(f"token{n}token" for n in range(6))
GONE = (NAMES[2], NAMES[3], NAMES[5], "nobody-of-ours")  # the whole second row group, and one
REPORT = PrivacyReport(
    mode="none", key_id=None, tenant="", ids=(), methods={}, quasi_identifiers=("age",),
    k_asked=2, k_reached=2,
)  # fmt: skip


def config_of(workspace: Path, **privacy: Any) -> Config:
    return Config.model_validate({
        "run": {"name": "tiny", "output": str(workspace)},
        "input": {"root": "none", "events": {"log": {"paths": ["none"], "time_unit": "seconds"}}},
        "etl": {"event_types": {"view": {}}},
        "privacy": {"key": KEY, **privacy},
    })  # fmt: skip


def write_workspace(
    workspace: Path, names: tuple[str, ...], report: PrivacyReport | None = None
) -> None:
    """Write a dataset with the users called so, a model and lists."""
    folder = workspace / "datasets" / DATASET
    users = pa.table({
        "user_idx": pa.array(range(2, 8), pa.int64()), "user_id": names,
        "num_events": pa.array(LENGTHS, pa.int64()), "age": ["30", "30", "40", None, "40", "30"],
        "city": CITIES, "num_shown": pa.array(SHOWN, pa.int64()),
    })  # fmt: skip
    files = {
        # Row groups of two users; the first file has two of them.
        **{part: (_write(folder, f"{part}/part-00000.parquet", table.slice(0, 4), 2),
                  _write(folder, f"{part}/part-00001.parquet", table.slice(4, 2), 2))
           for part, table in (("users", users), ("histories", _histories(range(2, 8), LENGTHS)))},
        "train": (_write(folder, "train/part-00000.parquet",
                         _histories([2, 4, 4, 7, 3], [2, 3, 2, 4, 2]), 2),),
        "valid": (_write(folder, "valid/part-00000.parquet", _histories([4], [3]), 2),),
        "test": (_write(folder, "test/part-00000.parquet", _targets([2, 7], [2, 4]), 2),),
        "items": (_write(folder, "items/part-00000.parquet", pa.table({"item_id": ["a"]}), 2),),
        "quarantine": (_write(folder, "quarantine/part-00000.parquet", _quarantine(names), 9),),
        **{part: (_write(folder, f"{part}/part-00000.parquet", table, 9),)
           for part, table in encoded_rows().items()},
        "encoders": tuple(_encoders(folder, part) for part in ENCODERS),
    }  # fmt: skip
    (folder / "notes.txt").write_text("kept as it is")
    (folder / "report.html").write_text(" ".join(names))
    bad = {"line_unparsable": 3, "time_unparsable": 2}
    vocabularies = {"user": Vocabulary(size=8, fingerprint="f"),
                    "item": Vocabulary(size=4, fingerprint="i")}  # fmt: skip
    match = Match(log_ids=6, log_ids_matched=6, events=19, events_matched=19, table_ids=6)
    commit(workspace, "datasets", with_content(Manifest(
        id=DATASET, request="r", logical_date=DAY, as_of=DAY, config=AGE_BY_CITY, columns={},
        files=files, features=FEATURES,
        fills={"users": {"age": {"value": 30, "groups": {"Oslo": 30, "Rome": 9}}}},
        vocabularies=vocabularies, event_types=("view",), privacy=report,
        ledger={
            "events": InputLedger(rows_read=25, rows_kept=19, dropped={"bot": 1}, quarantined=bad,
                                  files={"a.csv": Account(rows_read=25, rows_kept=19)}),
            "users": InputLedger(rows_read=6, rows_kept=6, match=match),
        },
        counts={"users": 6, "items": 2, "events": 15, "train_rows": 5, "train_targets": 8,
                "valid": 1, "test": 2, "test_seen": 2, "quarantined": 5, "shown": 4, "sessions": 7},
    )))  # fmt: skip
    publish(workspace, "datasets", DATASET, DAY)
    _write_model(workspace, vocabularies, names)
    _write_lists(workspace, names)


def write_identities(workspace: Path, names: tuple[str, ...], raw: tuple[str, ...]) -> Path:
    folder = identities_folder(workspace, DATASET)
    folder.mkdir(parents=True)
    path = folder / "part-00000.parquet"
    columns = {KIND: ["user"] * 6, RAW_ID: raw, LABEL: names, NUMBER: range(2, 8)}
    pq.write_table(pa.table(columns, schema=SCHEMA), path, write_page_checksum=True)
    path.chmod(0o600)
    return path


def rows_of(workspace: Path, version: str, part: str) -> list[dict[str, Any]]:
    """Return the rows of a part of a version, the files in order."""
    files = sorted((workspace / version / part).glob("*.parquet"))
    return [row for path in files for row in pq.read_table(path).to_pylist()]


def everything_in(folder: Path) -> str:
    """Return all bytes, names and table cells below a folder as one text."""
    found = []
    for path in sorted(folder.rglob("*")):
        found.append(str(path.relative_to(folder)))
        if path.is_file():
            found.append(path.read_bytes().decode("latin-1"))
        if path.suffix == ".parquet":
            found.append(repr(pq.read_table(path).to_pylist()))
    return "\n".join(found)


def encoded_rows() -> dict[str, pa.Table]:
    """Return the parts with numbers of fields' values, by the vocabularies of ENCODERS."""
    return {
        "user_features": pa.table({
            "user_idx": pa.array(range(2, 8), pa.int64()), "user_age": [2, 2, 3, 0, 3, 2],
            "user_city": [2, 2, 3, 3, 4, 5],
            "user_likes": [[4], [4, 5], [5], [], [1], [6]],  # the first three are for others
        }),
        "train_impressions": pa.table({
            "user_idx": pa.array([2, 4, 4, 7], pa.int64()), "context_place": [2, 3, 2, 3],
        }),
        "valid_impressions": pa.table({
            "user_idx": pa.array([6, 7], pa.int64()), "context_place": [4, 5],
        }),
    }  # fmt: skip


def _encoders(folder: Path, part: str) -> DataFile:
    path = folder / f"encoders/{part}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(ENCODERS[part]))
    return _entry(path, f"encoders/{part}.json")


def _feature(
    name: str, cardinality: int | None, left_out: str | None = None, encoding: str = "categorical"
) -> Feature:
    return Feature(
        name=name, kind="numeric", encoding=encoding, cardinality=cardinality, left_out=left_out
    )


CITIES = ["Oslo", "Oslo", "Rome", "Rome", "Bergen", "Lima"]
AGE_BY_CITY = {"input": {"users": {"fields": {"age": {"fill": {"group_by": "city"}}}}}}
ENCODERS = {
    "item_features": {"colour": {"values": ["red"]}},
    "user_features": {
        "age": {"values": ["30", "40"]}, "city": {"values": ["Oslo", "Rome", "Bergen", "Lima"]},
        "likes": {"values": ["jazz", "rock", "folk"]}, "shoe": {"values": ["size-43"]},
        "height": {"mean": 1.7, "deviation": 0.1},
    },
    "impressions": {"place": {"values": ["home", "clinic", "cabin", "hideout"]}},
}  # fmt: skip
FEATURES = {
    "user_features": (
        _feature("user_age", 4), _feature("user_city", 6), _feature("user_likes", 7),
        _feature("user_shoe", 3, "has one value"),
        _feature("user_height", None, encoding="numeric"),
    ),
    "impressions": (_feature("hour", 26, encoding="context"), _feature("context_place", 6)),
}  # fmt: skip


def _histories(numbers: Any, lengths: Any) -> pa.Table:
    items = [[2] * length for length in lengths]
    return pa.table({"user_idx": pa.array(numbers, pa.int64()),
                     "history_item_idx": pa.array(items, pa.list_(pa.int32()))})  # fmt: skip


def _targets(numbers: Any, lengths: Any) -> pa.Table:
    seen = pa.array([2] * len(numbers), pa.int32())
    return _histories(numbers, lengths).append_column("target_item_idx", seen)


def _quarantine(names: tuple[str, ...]) -> pa.Table:
    u2, u5 = names[2], names[5]
    return pa.table({
        "input": ["events"] * 5,
        "reason": ["time_unparsable", "line_unparsable", "line_unparsable", "line_unparsable",
                   "time_unparsable"],
        "user_id": [u2, None, None, "x", names[0]],
        "raw": [f'{{"user":"{u2}"}}', f'a;{u5};"', f"{u5}9,a", f"x,{u2}\t", f'{{"seen":"{u2}0"}}'],
    })  # fmt: skip


def _write_model(
    workspace: Path, vocabularies: dict[str, Vocabulary], names: tuple[str, ...]
) -> None:
    folder = workspace / "models" / MODEL
    folder.mkdir(parents=True)
    embedding = np.arange(1, 33, dtype=np.float32).reshape(8, 4)
    item = np.ones((4, 4), dtype=np.float32)
    path = folder / "weights.safetensors"
    save_file({"item_embedding.weight": item, "user_embedding.weight": embedding}, path)
    card = folder / "card.html"
    card.write_text(card_of(MODEL, names), encoding="utf-8")
    files = {part: (_entry(file),) for part, file in (("model", path), ("card", card))}
    commit(workspace, "models", Bundle(
        id=MODEL, request="r", logical_date=DAY, dataset_id=DATASET, vocabularies=vocabularies,
        algorithm="neural", model={}, config={}, files=files,
    ))  # fmt: skip


def _entry(path: Path, name: str | None = None) -> DataFile:
    size = path.stat().st_size
    return DataFile(path=name or path.name, bytes=size, sha256=hash_file(path), rows=0)


def _write_lists(workspace: Path, names: tuple[str, ...]) -> None:
    """Write two items for each user, one for the last."""
    folder, files = workspace / "lists" / LISTS, []
    for part in range(3):
        pair = names[2 * part : 2 * part + 2]
        ids = [name for name in pair for _ in range(2)][: 3 if part == 2 else 4]
        table = pa.table({"user_id": ids, "source": ["fallback"] * len(ids)})
        files.append(_write(folder, f"part-0000{part}.parquet", table, 9))
    commit(workspace, "lists", ListsManifest(
        id=LISTS, request="r", logical_date=DAY, dataset_id=DATASET, model_id=MODEL,
        config={"score": {"list_length": 2}}, gates={}, files={"lists": tuple(files)},
        counts={"users": 6, "lists": 6, "rows": 11, "fallback_lists": 6, "full_lists": 5},
        short_lists={"catalogue_exhausted": 1},
    ))  # fmt: skip


def _write(folder: Path, name: str, table: pa.Table, rows: int) -> DataFile:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=rows, write_page_checksum=True)
    return describe_parquet(folder, path)
