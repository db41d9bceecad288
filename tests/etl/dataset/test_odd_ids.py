from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from etl.dataset.odd_ids import odd_id_warnings

ODD = [
    "null", "NULL", "NaN", "nan", r"\N", "None", "n/a", "N.A.", "(not set)", "-", "undefined",
    "guest", "anonymous", "Unknown", "[object Object]", "00000000-0000-0000-0000-000000000000",
    "#N/A",
]  # fmt: skip


def write(folder: Path, users: Mapping[str, int], items: list[str]) -> Path:
    for name, table in (
        ("users", {"user_id": list(users), "num_events": list(users.values())}),
        ("items", {"item_id": items}),
    ):
        (folder / name).mkdir()
        pq.write_table(pa.table(table), folder / name / "part-0.parquet")
    return folder


@pytest.mark.parametrize("text", ODD)
def test_a_placeholder_for_a_missing_id_is_named(tmp_path: Path, text: str) -> None:
    (warning,) = odd_id_warnings(write(tmp_path, {"ann": 2}, ["i1", text]), 2)
    assert warning.startswith(f"item_id {text!r} looks like a missing id")


def test_ids_that_are_ids_are_not_warned_of(tmp_path: Path) -> None:
    users = {"0": 3, "1": 3, "nano": 1, "nil-2": 1, "NaNa": 1, "\u8ba2": 1, "null1": 2}
    assert odd_id_warnings(write(tmp_path, users, ["0", "-1", "none of these"]), 12) == ()


def test_a_user_with_a_large_share_of_the_events_is_told_without_the_id(tmp_path: Path) -> None:
    users = {"0": 56, **{f"u{n}": 2 for n in range(22)}}
    (warning,) = odd_id_warnings(write(tmp_path, users, ["i"]), 100)
    assert warning.startswith("one user has 56 of 100 events (56%)") and "'0'" not in warning


@pytest.mark.parametrize("users", [{"0": 10, "a": 1}, {f"u{n}": 2 for n in range(40)}, {}])
def test_few_users_and_even_logs_are_not_warned_of(
    tmp_path: Path, users: Mapping[str, int]
) -> None:
    assert odd_id_warnings(write(tmp_path, users, ["i"]), sum(users.values())) == ()


def test_all_placeholders_are_named(tmp_path: Path) -> None:
    (warning,) = odd_id_warnings(write(tmp_path, {"ann": 2}, ["i1", *ODD]), 2)
    assert all(repr(text) in warning for text in ODD) and "look like missing ids" in warning


@pytest.mark.parametrize(("form", "told"), [
    ("{}.0", "decimals"), ("00{}", "leading zeros"), ("'{}'", "quotes"), ('="{}"', None),
    ("{}e3", None), (" {}", "white space"),
])  # fmt: skip
def test_one_user_written_in_two_ways_is_told(tmp_path: Path, form: str, told: str | None) -> None:
    users = {str(n): 2 for n in range(20000, 20060)}
    twins = {form.format(n): 2 for n in range(20000, 20020)}
    warnings = odd_id_warnings(write(tmp_path, {**users, **twins}, ["i"]), 160)
    if told is None:
        assert warnings == ()
        return
    (warning,) = warnings
    assert warning.startswith(f"20 user ids differ from another one only in {told}, as ")


def test_ids_that_differ_in_more_are_no_twins(tmp_path: Path) -> None:
    users = {f"{n}": 2 for n in range(300)} | {f"u{n}": 2 for n in range(300)}
    assert odd_id_warnings(write(tmp_path, users, ["Ab", "aB"]), 1200) == ()
