"""Logs without times, one after another: views, carts and purchases of a small shop."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from conf.contract import Manifest
from conf.settings.config import Config
from tests.etl.making import config_for, make, read_part, write_lines

pytestmark = pytest.mark.usefixtures("spark")
# By the names of the files a purchase would come first, and a view last.
FILES = {"view": "z.csv", "cart": "m.csv", "purchase": "a.csv"}
ROWS = {
    "view": ["u,a", "u,b", "u,c", "v,a", "x,a", "x,b", "y,c"],
    "cart": ["u,b"],
    "purchase": ["u,c", "v,a"],
}
TYPES = {"view": {"weight": 1}, "cart": {"weight": 2}, "purchase": {"weight": 3}}


def undated(root: Path, *order: str, **etl: Any) -> Config:
    for kind, name in FILES.items():
        write_lines(root / name, "user_id,item_id", *ROWS[kind])
    logs = {
        f"{kind}s": {"paths": [FILES[kind]], "time_unit": "order", "event_type": kind,
                     "columns": {"time": None}}
        for kind in order or FILES
    }  # fmt: skip
    return config_for(root, logs=logs, etl={"event_types": TYPES, **etl})


def history_of(folder: Path, user: str) -> list[tuple[str, int]]:
    """Return items and types of a user's events, oldest first."""
    items = {row["item_idx"]: row["item_id"] for row in read_part(folder, "items")}
    users = {row["user_id"]: row["user_idx"] for row in read_part(folder, "users")}
    (row,) = (r for r in read_part(folder, "histories") if r["user_idx"] == users[user])
    named = [items[number] for number in row["history_item_idx"]]
    return list(zip(named, row["history_event_type"], strict=True))


def assert_every_row_is_accounted_for(manifest: Manifest) -> None:
    ledger = manifest.ledger["events"]
    assert {name: file.rows_read for name, file in ledger.files.items()} == {
        FILES[kind]: len(rows) for kind, rows in ROWS.items()
    }
    assert [account.missing_rows() for account in (ledger, *ledger.files.values())] == [0] * 4
    assert ledger.rows_kept == manifest.counts["events"]


@pytest.mark.slow
def test_the_logs_follow_each_other_as_they_are_configured(tmp_path: Path) -> None:
    manifest, folder = make(undated(tmp_path))
    assert history_of(folder, "u") == [("a", 0), ("b", 0), ("c", 0), ("b", 1), ("c", 2)]
    assert history_of(folder, "v") == [("a", 0), ("a", 2)]
    assert manifest.ledger["events"].warnings == ()
    assert_every_row_is_accounted_for(manifest)

    manifest, folder = make(undated(tmp_path, "purchase", "view", "cart"))
    assert history_of(folder, "u") == [("c", 2), ("a", 0), ("b", 0), ("c", 0), ("b", 1)]
    assert_every_row_is_accounted_for(manifest)


@pytest.mark.slow
def test_the_last_of_a_repeated_item_is_of_the_last_log(tmp_path: Path) -> None:
    manifest, folder = make(undated(tmp_path, repeated_items="last"))
    assert history_of(folder, "u") == [("a", 0), ("b", 1), ("c", 2)]
    assert history_of(folder, "v") == [("a", 2)]
    assert manifest.ledger["events"].warnings == ()  # 3 of 7 views are not more than half
    assert_every_row_is_accounted_for(manifest)


@pytest.mark.slow
def test_a_type_that_loses_most_rows_is_named(tmp_path: Path) -> None:
    order = ("purchase", "cart", "view")
    manifest, folder = make(undated(tmp_path, *order, repeated_items="last"))
    assert history_of(folder, "u") == [("a", 0), ("b", 0), ("c", 0)]
    assert manifest.ledger["events"].warnings == (
        "repeated_item: etl.repeated_items='last' dropped events of a larger weight than the one "
        "kept of the same user and item: cart 1, purchase 2; set it to strongest to keep those "
        "instead",
        "repeated_item removed 2 of 2 rows of a.csv (log purchases, type purchase), 1 of 1 rows "
        "of m.csv (log carts, type cart); of each user and item one event is kept; see "
        "etl.repeated_items: strongest keeps the one of the largest weight, keep keeps them all",
    )
    assert_every_row_is_accounted_for(manifest)


@pytest.mark.parametrize("order", [
    ("purchase", "cart", "view"),
    pytest.param(("cart", "view", "purchase"), marks=pytest.mark.slow),
])  # fmt: skip
def test_the_strongest_event_stays_whatever_the_order(
    tmp_path: Path, order: tuple[str, ...]
) -> None:
    manifest, folder = make(undated(tmp_path, *order, repeated_items="strongest"))
    in_order = {"view": ("a", 0), "cart": ("b", 1), "purchase": ("c", 2)}
    assert history_of(folder, "u") == [in_order[kind] for kind in order]
    assert history_of(folder, "v") == [("a", 2)]
    assert manifest.ledger["events"].warnings == ()
    assert_every_row_is_accounted_for(manifest)


@pytest.mark.slow
def test_given_parts_follow_each_other_in_time_whatever_their_order(tmp_path: Path) -> None:
    rows = {"test": ["u,c"], "train": ["u,a", "x,b", "x,c"], "valid": ["u,b"]}
    for part, lines in rows.items():
        write_lines(tmp_path / f"{part}.csv", "user_id,item_id", *lines)
    logs = {
        part: {"paths": [f"{part}.csv"], "time_unit": "order", "part": part,
               "columns": {"time": None}}
        for part in rows
    }  # fmt: skip
    _, folder = make(config_for(tmp_path, logs=logs, etl={"split": {"kind": "given"}}))
    assert [item for item, _ in history_of(folder, "u")] == ["a", "b", "c"]


def test_files_are_read_in_the_order_of_their_names_and_copies_are_warned_of(
    tmp_path: Path,
) -> None:
    for name, item in (("3", "a"), ("1", "b"), ("2", "c")):
        write_lines(tmp_path / f"{name}.csv", "user_id,item_id", f"u,{item}", f"x{name},{item}")
    many = [f"w{user},{item}" for item in "dcab" for user in range(20)]
    write_lines(tmp_path / "1-more.csv", "user_id,item_id", *many)
    write_lines(tmp_path / "2-again.csv", "user_id,item_id\r", *(f"{line}\r" for line in many))
    paths = ["3.csv", "[12]*.csv"]
    log = {"paths": paths, "time_unit": "order", "columns": {"time": None}}
    manifest, folder = make(config_for(tmp_path, logs={"log": log}))
    assert [item for item, _ in history_of(folder, "u")] == ["b", "c", "a"]
    again, seen, copied = manifest.ledger["events"].warnings
    assert again.startswith("the last events of 20 of 20 users with 4 events or more repeat")
    assert seen.startswith("20 of 21 test targets (95%) are items that their user had before")
    assert copied.startswith("2-again.csv has the rows of 1-more.csv: ")
    assert manifest.counts["test_seen"] == 20


@pytest.mark.slow
def test_types_that_are_not_used_are_named(tmp_path: Path) -> None:
    kinds = ["view", "View", "View", "pur chase", "click", "", "view", "view", "view"]
    lines = [f"u,i{n},{n},{kind}" for n, kind in enumerate(kinds)]
    write_lines(tmp_path / "a.csv", "user_id,item_id,time,kind", *lines)
    log = {"time_unit": "order", "columns": {"event_type": "kind"}}
    types = {"view": {}, "purchase": {}}
    manifest, _ = make(config_for(tmp_path, log, etl={"event_types": types}))
    ledger = manifest.ledger["events"]
    assert Counter(ledger.dropped) == {"event_type_not_used": 5}
    assert ledger.warnings == (
        "event_type_not_used removed 5 of 9 rows of a.csv (log log); list the types that you want "
        "in etl.event_types",
        "event_type_not_used: 5 rows have a type that is not in etl.event_types: 'View' 2, no "
        "type 1, 'click' 1, 'pur chase' 1; 'View' differs from 'view' only in case or spaces; "
        "write it as the log does; 'pur chase' differs from 'purchase' only in case or spaces; "
        "write it as the log does",
    )


@pytest.mark.slow
def test_types_are_not_named_where_texts_are_protected(tmp_path: Path) -> None:
    lines = ["u,a,1,view", "u,b,2,Mr Smith"]
    write_lines(tmp_path / "a.csv", "user_id,item_id,time,kind", *lines)
    (tmp_path / "key").write_text("0123456789abcdef0123456789abcdef")
    log = {"time_unit": "order", "columns": {"event_type": "kind"}}
    privacy = {"mode": "pseudonymise", "key_file": str(tmp_path / "key")}
    manifest, _ = make(config_for(tmp_path, log, privacy=privacy))
    assert manifest.ledger["events"].warnings == (
        "event_type_not_used: 1 rows have a type that is not in etl.event_types",
    )
