"""Rows as nobody would wish them, from three kinds of raw files to the finished dataset."""

import csv
import io
import json
from collections import defaultdict
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conf.contract import Manifest
from tests.etl.making import config_for, make, read_part
from tests.etl.reading.test_sources_values import IDS, MANY_LINED

pytestmark = pytest.mark.usefixtures("spark")
ALL_IDS = [*IDS, *MANY_LINED, "nul\x00nul"]
# The hour that New York's clocks pass over, and the one that they go through twice.
PASSED_OVER, TWICE = datetime(2026, 3, 8, 2, 30), datetime(2026, 11, 1, 1, 30)
SUMMER_TIME, WINTER_TIME = "2026-11-01T01:30:00-04:00", "2026-11-01T01:30:00-05:00"
NOON = datetime(2026, 6, 1, 12)
FIRST, LAST = datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59)

# Of each log its rows (user, item, time, value) that are wrong, by the reason for it.
CSV: dict[str, list[tuple[str, ...]]] = {
    "user_missing": [("", "i", str(NOON), "1"), (" \t", "i", str(NOON), "1")],
    "item_missing": [("u", "  ", str(NOON), "1")],
    "time_too_early": [("u", "i", "0001-01-01", "1"), ("u", "i", "1752-09-05T00:00:00Z", "1")],
    "time_in_future": [("u", "i", "9999-12-31T23:59:59-14:00", "1")],
    "time_unparsable": [
        ("u", "i", text, "1") for text in (
            "", "null", "-1", "10000-01-01", "2026-02-29", "2026-03-01T24:00:00", "now",
            "2026-03-01T12:00:00+19:00", "01/03/2026",
        )
    ],
    "value_unparsable": [
        ("u", "i", str(NOON), text) for text in (
            "NaN", "Infinity", "-Infinity", "1,5", "1d", "0x1F", "true", "1_000", "1e400", "null",
        )
    ],
    "price_negative": [("u", "i", str(NOON), "-0.01")],
    "line_unparsable": [("u", "i", str(NOON), "1", "more"), ("u", "i")],
}  # fmt: skip
JSON = {
    "line_unparsable": [
        r'{"u": "\ud800", "i": 1, "t": 1772323200}', '{"u": "a", "i": 1, "t": NaN}',
        '{"u": "a", "u": "b", "i": 1, "t": 1772323200}', '{"u": 1E5, "i": 1, "t": 1772323200}',
        '{"u": {"id": 1}, "i": 1, "t": 1772323200}', '{"u": "a", "i": 1, "t": 1772323200',
        '[{"u": "a", "i": 1, "t": 1772323200}]', "null",
    ],
    "user_missing": ['{"u": null, "i": 1, "t": 1772323200}', '{"i": 1, "t": 1772323200}'],
    "time_too_early": ['{"u": "a", "i": 1, "t": -1}'],
    "time_unparsable": ['{"u": "a", "i": 1, "t": "soon"}', '{"u": "a", "i": 1, "t": true}'],
    "time_in_future": ['{"u": "a", "i": 1, "t": 1772323200000}'],
}  # fmt: skip
PARQUET: dict[str, list[tuple[Any, ...]]] = {
    "user_missing": [(None, "i", NOON, 1.0)], "item_missing": [("u", "", NOON, 1.0)],
    "time_too_early": [("u", "i", FIRST, 1.0)], "time_in_future": [("u", "i", LAST, 1.0)],
    "time_unparsable": [("u", "i", None, 1.0)],
    "value_unparsable": [("u", "i", NOON, float("nan")), ("u", "i", NOON, float("inf"))],
}  # fmt: skip
# Ids of other types, each in a file of its own beside those that are text.
TYPED = {
    "unsigned": (pa.array([2**64 - 1, 2**53 + 1], pa.uint64()), [str(2**64 - 1), str(2**53 + 1)]),
    "small": (pa.array([7, -7], pa.int32()), ["7", "-7"]),
    "decimal": (pa.array([Decimal("1.50")], pa.decimal128(9, 2)), ["1.50"]),
    "shorter": (pa.array([Decimal("1.5")], pa.decimal128(9, 1)), ["1.5"]),
    "bytes": (pa.array([b"\xff", b"caf\xc3\xa9"]), ["caf\u00e9"]),
    "nobody": (pa.array([], pa.int64()), []),
}


def write_input(root: Path) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(["user", "item", "time", "price", "", "unused", "unused"])
    good = [(id_, id_, str(PASSED_OVER), "-0.0") for id_ in ALL_IDS]
    zones = [("zones", "i", SUMMER_TIME, ".5"), ("zones", "i", WINTER_TIME, "1E5")]
    for row in (*good, *zones):
        writer.writerow([*row, "", 1, 2])
    for reason, rows in CSV.items():
        for wrong in rows:
            writer.writerow(wrong if reason == "line_unparsable" else [*wrong, "", 1, 2])
    (root / "log.csv").write_bytes(("\ufeff" + text.getvalue()).encode())

    seconds = int(PASSED_OVER.replace(tzinfo=UTC).timestamp()) + 1
    lines = [json.dumps({"u": id_, "i": id_, "t": seconds}) for id_ in ALL_IDS]
    bad = [line for rows in JSON.values() for line in rows]
    titles = ["007\tBond", "007\tM", "007\tBond", "i\t=1+1", "\tnone", "  \tblank", "7\t"]
    (root / "items.tsv").write_text("\n".join(["id\tname", *titles]))
    (root / "log.jsonl").write_text("\n".join([*lines, *bad]))

    table = [(id_, id_, TWICE, 1.0) for id_ in ALL_IDS]
    table += [row for rows in PARQUET.values() for row in rows]
    users, items, times, values = zip(*table, strict=True)
    _write_parquet(root / "text.parquet", users, items, times, values)
    for name, (ids, _) in TYPED.items():
        number = len(ids)
        _write_parquet(root / f"{name}.parquet", ids, ids, [TWICE] * number, [1.0] * number)


def _write_parquet(path: Path, users: Any, items: Any, times: Any, values: Any) -> None:
    columns = {"user": users, "item": items, "time": pa.array(times, pa.timestamp("us")),
               "price": pa.array(values, pa.float64())}  # fmt: skip
    pq.write_table(pa.table(columns), path, use_deprecated_int96_timestamps=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Manifest, Path]:
    root = tmp_path_factory.mktemp("odd")
    write_input(root)
    named = {"user_id": "user", "item_id": "item", "value": "price"}
    logs = {
        "csv": {"paths": ["log.csv"], "multiline": True, "time_unit": "iso", "columns": named},
        "json": {"paths": ["log.jsonl"], "format": "jsonl", "time_unit": "seconds",
                 "columns": {"user_id": "u", "item_id": "i", "time": "t"}},
        "parquet": {"paths": ["*.parquet"], "format": "parquet", "time_unit": "iso",
                    "columns": named},
    }  # fmt: skip
    clean = {"max_bad_share": 0.9, "latest_time": "2026-12-31"}
    items = {"paths": ["items.tsv"], "id_column": "id", "title_column": "name", "separator": "\t"}
    return make(config_for(root, logs=logs, items=items, etl={"clean": clean}))


@pytest.mark.slow
def test_of_several_rows_of_one_item_the_first_counts(made: tuple[Manifest, Path]) -> None:
    manifest, folder = made
    items = manifest.ledger["items"]
    assert (items.dropped, items.quarantined) == ({"duplicate": 2}, {"id_missing": 2})
    titles = {row["item_id"]: row["title"] for row in read_part(folder, "items")}
    assert [titles[item] for item in ("007", "7", "-7", "i")] == ["Bond", None, None, "=1+1"]


@pytest.mark.slow
def test_every_id_comes_back_byte_for_byte(made: tuple[Manifest, Path]) -> None:
    _, folder = made
    typed = {text for _, texts in TYPED.values() for text in texts}
    expected = {*ALL_IDS, *typed, "zones"}
    users = [row["user_id"] for row in read_part(folder, "users")]
    assert sorted(users) == sorted(expected)
    items = [row["item_id"] for row in read_part(folder, "items")]
    assert sorted(items) == sorted({*ALL_IDS, *typed, "i"})


def test_times_of_either_hour_are_the_instants_that_they_say(made: tuple[Manifest, Path]) -> None:
    _, folder = made
    numbers = {row["user_id"]: row["user_idx"] for row in read_part(folder, "users")}
    times = {row["user_idx"]: row["history_time"] for row in read_part(folder, "histories")}
    start, hour = int(PASSED_OVER.replace(tzinfo=UTC).timestamp()), 3_600_000_000
    twice = int(TWICE.replace(tzinfo=UTC).timestamp()) * 1_000_000
    assert times[numbers["zones"]] == [twice + 4 * hour, twice + 5 * hour]
    assert times[numbers["007"]] == [start * 1_000_000, (start + 1) * 1_000_000, twice]
    assert times[numbers["-7"]] == [twice]


def test_every_wrong_row_is_in_quarantine_with_its_reason(made: tuple[Manifest, Path]) -> None:
    manifest, folder = made
    raws: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in read_part(folder, "quarantine"):
        raws[row["source_file"], row["reason"]].append(row["raw"])
    found = {key: len(rows) for key, rows in raws.items()}
    assert found == {
        **{("log.csv", reason): len(rows) for reason, rows in CSV.items()},
        **{("log.jsonl", reason): len(rows) for reason, rows in JSON.items()},
        **{("text.parquet", reason): len(rows) for reason, rows in PARQUET.items()},
        ("items.tsv", "id_missing"): 2,
        ("bytes.parquet", "line_unparsable"): 1,
    }
    for reason, lines in JSON.items():
        assert raws["log.jsonl", reason] == lines
    assert raws["log.csv", "line_unparsable"] == ["u,i,2026-06-01 12:00:00,1,more", "u,i"]
    ledger = manifest.ledger["events"]
    numbers = ("7", str(2**53 + 1), str(2**64 - 1))  # the same as those that are text
    assert ledger.missing_rows() == 0 and ledger.dropped == {"duplicate": len(numbers)}
    typed = [text for _, texts in TYPED.values() for text in texts if text not in numbers]
    assert ledger.rows_kept == 3 * len(ALL_IDS) + 2 + len(typed)
    assert ledger.files["nobody.parquet"].rows_read == 0
