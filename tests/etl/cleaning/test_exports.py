"""Runs on exports of programs for people: marks of numbers, local times, spaces around ids."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from conf.errors import InputError
from tests.etl.making import HEADER, config_for, make, read_part, write_lines

pytestmark = [pytest.mark.usefixtures("spark"), pytest.mark.slow]
START = 1_772_323_200  # 2026-03-01T00:00:00Z
ALL_TRAINING = {
    "split": {"kind": "temporal", "valid_from": "2026-12-01", "test_from": "2026-12-02"},
    "leak_check": None,
}
ALL_BAD = {"clean": {"max_bad_share": 1, "latest_time": "2026-12-31"}}


def kept(folder: Path) -> list[str]:
    return sorted(row["item_id"] for row in read_part(folder, "items"))


def test_blank_ids_of_any_kind_are_missing_and_ends_of_ids_are_counted(tmp_path: Path) -> None:
    blank = ["", "  ", "\u00a0", "\u200b", "\ufeff\u2003", "\u00ad\u2060"]
    write_lines(
        tmp_path / "a.csv", HEADER,
        *(f"{user},none{n},{START + n}" for n, user in enumerate(blank)),
        f"u,{blank[2]},{START}", f"u ,i1,{START}", f"\u00a0u,i1\u200b,{START + 1}",
        f"u,i2,{START + 2}",
    )  # fmt: skip
    columns = {"event_id": "item_id"}
    manifest, _ = make(config_for(tmp_path, {"columns": columns}, etl=ALL_BAD))
    ledger = manifest.ledger["events"]
    assert ledger.quarantined == {"user_missing": 6, "item_missing": 1}
    assert (ledger.rows_kept, manifest.counts["users"]) == (3, 3)
    users, items, events = (text for text in ledger.warnings if "white space" in text)
    assert users.startswith("user_id: 2 rows have white space") and "trim_ids=true" in users
    assert items.startswith("item_id: 1 rows have white space")
    assert events.startswith("event_id: 1 rows have white space")


def test_ids_are_trimmed_in_logs_and_tables(tmp_path: Path) -> None:
    write_lines(
        tmp_path / "a.csv", HEADER + ",order", f"\u00a0u ,i1\u200b,{START}, 7",
        f"u,\ufeffi1,{START + 1},8", f" u\u2009,i 2 ,{START + 2},9", f"u,i1,{START + 1},8\u00a0",
    )  # fmt: skip
    write_lines(tmp_path / "items.csv", "id,name", " i1,one", "i 2\u00a0,two")
    items = {"paths": ["items.csv"], "id_column": "id", "title_column": "name"}
    config = config_for(
        tmp_path,
        {"paths": ["a.csv"], "columns": {"event_id": "order"}},
        items=items,
        etl={**ALL_TRAINING, "clean": {"trim_ids": True}},
    )
    manifest, folder = make(config)
    assert manifest.ledger["events"].warnings == manifest.ledger["items"].warnings == ()
    assert manifest.ledger["events"].dropped == {"duplicate": 1}
    assert manifest.counts["users"] == 1
    assert {row["item_id"]: row["title"] for row in read_part(folder, "items")} == {
        "i1": "one", "i 2": "two",
    }  # fmt: skip


def test_numbers_with_a_comma_are_values_and_fields(tmp_path: Path) -> None:
    write_lines(
        tmp_path / "a.csv", "user_id;item_id;time;price;stock",
        f"u;i1;{START};1.234,50;1.000", f"u;i2;{START + 1};0,5;7", f"u;i3;{START + 2};1.5;7",
        f"u;i4;{START + 3};12,5;x", f"u;i5;{START + 4};n/a;-", f"u;-;{START + 5};1;1",
    )  # fmt: skip
    log = {
        "separator": ";", "decimal": ",", "thousands": ".", "null_values": ["-", "n/a"],
        "columns": {"value": "price"}, "fields": {"stock": {"type": "integer"}},
    }  # fmt: skip
    manifest, folder = make(
        config_for(
            tmp_path,
            log,
            etl={**ALL_TRAINING, "clean": {"max_bad_share": 1, "max_value": 2000}},
        )
    )
    assert kept(folder) == ["i1", "i2", "i5"]
    assert manifest.ledger["events"].quarantined == {
        "item_missing": 1, "stock_unparsable": 1, "value_unparsable": 1,
    }  # fmt: skip


def test_a_wrong_value_may_be_left_out_instead_of_its_event(tmp_path: Path) -> None:
    lines = [f"u,i{n},{START + n},{text}" for n, text in enumerate(["x", "-1", "101", "5", ""])]
    write_lines(tmp_path / "a.csv", HEADER + ",price", *lines)
    log: dict[str, Any] = {"columns": {"value": "price"}}
    etl: dict[str, Any] = {"clean": {"max_bad_share": 1, "max_value": 100}}
    manifest, _ = make(config_for(tmp_path, log, etl=etl))
    wrong = {"value_unparsable": 1, "price_negative": 1, "value_out_of_range": 1}
    assert manifest.ledger["events"].quarantined == wrong
    manifest, _ = make(config_for(tmp_path, {**log, "bad_value": "blank"}, etl=etl))
    ledger = manifest.ledger["events"]
    assert (ledger.rows_kept, ledger.quarantined) == (5, {})
    assert sorted(ledger.warnings) == [
        f"{rule}: 1 of 5 rows kept have no value in that field" for rule in sorted(wrong)
    ]
    etl["event_types"] = {"view": {"min_value": 0}}
    manifest, _ = make(config_for(tmp_path, {**log, "bad_value": "blank"}, etl=etl))
    assert manifest.ledger["events"].dropped == {"below_threshold": 4}


def test_local_times_are_stored_in_utc_and_odd_ones_are_counted(tmp_path: Path) -> None:
    times = {
        "i1": "29.03.2026 01:30", "i2": "29.03.2026 02:30", "i3": "29.03.2026 03:30",
        "i4": "25.10.2026 02:30", "i5": "2026-10-25T02:30:00+01:00", "i6": "30.02.2026 10:00",
    }  # fmt: skip
    write_lines(
        tmp_path / "a.csv", HEADER + ",since",
        *(f"u,{item},{time},25.10.2026 02:00" for item, time in times.items()),
    )  # fmt: skip
    log = {
        "time_unit": "iso", "time_format": ["dd.MM.yyyy HH:mm", "iso"],
        "local_time_zone": "Europe/Berlin", "fields": {"since": {"type": "time"}},
    }  # fmt: skip
    split = {"kind": "temporal", "valid_from": "2026-10-24", "test_from": "2026-10-25"}
    manifest, folder = make(config_for(tmp_path, log, etl={**ALL_BAD, "split": split}))
    ledger = manifest.ledger["events"]
    assert ledger.quarantined == {"time_unparsable": 1}
    assert ledger.warnings[1:] == (
        "since_time_shown_twice: 5 of 5 rows kept have a local time that the clocks show twice, of "
        "which the first was taken",
        "time_passed_over: 1 of 5 rows kept have a local time that the clocks pass over, which was "
        "moved forward by the gap",
        "time_shown_twice: 1 of 5 rows kept have a local time that the clocks show twice, of which "
        "the first was taken",
    )
    assert "2 of 5 events (40%)" in ledger.warnings[0]  # 02:30 does not exist and becomes 03:30
    assert manifest.leak_check["test rows"] == 1
    (history,) = read_part(folder, "histories")
    seconds = [time // 1_000_000 for time in history["history_time"]]
    assert seconds == [1_774_744_200, 1_774_747_800, 1_774_747_800, 1_792_888_200, 1_792_891_800]


def test_characters_that_cannot_be_decoded_are_counted(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.csv", HEADER, f"u,i1,{START}", f"u,i2,{START + 1}")
    (tmp_path / "items.csv").write_bytes("id,name\ni1,größe\ni2,two\n".encode("cp1252"))
    items = {"paths": ["items.csv"], "id_column": "id", "title_column": "name"}
    manifest, folder = make(config_for(tmp_path, {"paths": ["a.csv"]}, items=items))
    encoding, warning = manifest.ledger["items"].warnings
    assert encoding.startswith("encoding: 1 of the first 3 lines of items.csv have bytes that are")
    assert warning.startswith("not_decoded: 1 rows have characters that are not in the character")
    names = pq.read_schema(next((folder / "items").glob("*.parquet"))).names
    assert "not_decoded" not in names
    items["encoding"] = "cp1252"
    manifest, folder = make(config_for(tmp_path, {"paths": ["a.csv"]}, items=items))
    assert manifest.ledger["items"].warnings == ()
    assert {row["title"] for row in read_part(folder, "items")} == {"größe", "two"}


def test_a_run_that_is_refused_for_the_character_set_says_so(tmp_path: Path) -> None:
    lines = [HEADER, *(f"u{n},größe{n % 2},{START + n}" for n in range(4)), f"u,x,{START}"]
    (tmp_path / "a.csv").write_bytes("\n".join(lines).encode("cp1252"))
    (tmp_path / "items.csv").write_bytes("id,name\nx,\xe4\n".encode("cp1252"))
    items = {"paths": ["items.csv"], "id_column": "id", "title_column": "name"}
    with pytest.raises(InputError) as refused:
        make(config_for(tmp_path, {"paths": ["a.csv"]}, items=items))
    text = str(refused.value)
    assert "input.events: 4 of 5 rows are bad (line_unparsable 4)" in text
    assert "not_decoded: 4 bad rows (quarantined, or of a type that is not used) have" in text
    assert "encoding: 4 of the first 6 lines of a.csv have bytes that are not UTF-8" in text
    assert "likeliest to cp1252" in text
    assert "items.csv" not in text  # was not refused
