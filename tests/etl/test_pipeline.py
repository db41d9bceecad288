import gzip
import json
import random
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from conf.errors import InputError, NoNewDataError
from conf.runs.results import figures_of
from etl.spark.times import iso_text
from tests.etl.making import DAY, HEADER, config_for, make, read_part, write_lines

pytestmark = pytest.mark.usefixtures("spark")
START = 1_772_323_200  # 2026-03-01T00:00:00Z


def log_lines(num_users: int = 40, num_events: int = 600) -> list[str]:
    """Return the lines of a log of ten days in which user and item are drawn."""
    draw = random.Random(5)
    return [
        f"u{draw.randrange(num_users)},i{int(draw.paretovariate(1)) % 30},"
        f"{START + draw.randrange(10 * DAY)}"
        for _ in range(num_events)
    ]


def fault_log(root: Path) -> None:
    """Write a log in which each fault stands once, and two files of the same content."""
    good = [f"u,i{n},{START + n}" for n in range(5)] + [f"v,i{n},{START + n}" for n in range(2)]
    faults = [",i1,5", f"u,,{START}", "u,i1,soon", "u,i1,1", "u,i1,9999999999", "u,i1"]
    write_lines(root / "1.csv", HEADER, *good, good[0], *faults)
    write_lines(root / "2.csv", HEADER, f"w,i1,{START + DAY}")
    shutil.copy(root / "2.csv", root / "3.csv")
    write_lines(
        root / "tables/items.csv", "id,name,kind", "i0,Zero,a", "i1,One,b", "i1,Uno,c", ",x,y"
    )
    write_lines(root / "tables/users.csv", "id,age", "u,30", "silent,40")


ITEMS = {"paths": ["tables/items.csv"], "id_column": "id", "title_column": "name",
         "fields": {"kind": {}}}  # fmt: skip
USERS = {"paths": ["tables/users.csv"], "id_column": "id", "fields": {"age": {}}}


def test_a_log_full_of_faults_is_accounted_for_to_the_last_row(tmp_path: Path) -> None:
    fault_log(tmp_path)
    config = config_for(tmp_path, items=ITEMS, users=USERS, etl={"clean": {"max_bad_share": 0.5}})
    manifest, folder = make(config)

    events = manifest.ledger["events"]
    assert (events.rows_read, events.rows_kept) == (16, 8)
    assert events.dropped == {"duplicate": 1, "redelivered_file": 1}
    reasons = (
        "user_missing", "item_missing", "time_unparsable", "time_too_early", "time_in_future",
        "line_unparsable",
    )  # fmt: skip
    assert events.quarantined == dict.fromkeys(reasons, 1)
    assert events.files["3.csv"].dropped == {"redelivered_file": 1}
    assert manifest.ledger["items"].dropped == {"duplicate": 1}
    assert manifest.ledger["items"].quarantined == {"id_missing": 1}
    assert manifest.ledger["users"].rows_kept == 2

    quarantine = {row["reason"]: row for row in read_part(folder, "quarantine")}
    assert len(quarantine) == 7
    assert quarantine["line_unparsable"]["raw"] == "u,i1"
    assert json.loads(quarantine["time_unparsable"]["raw"])["time"] == "soon"
    assert quarantine["id_missing"]["input"] == "items"

    assert manifest.logical_date == "2026-03-02"
    assert manifest.as_of == "2026-03-02T00:00:00Z"
    assert manifest.id == f"tiny-2026-03-02-{manifest.request[:12]}"
    # u: 5 events, of which 2 held out; v: 2; w: 1; silent: none.
    assert manifest.counts == {
        "users": 4, "items": 3, "events": 8, "tied_events": 0, "train_rows": 2, "train_targets": 3,
        "valid": 1, "test": 1, "test_seen": 0, "quarantined": 7,
    }  # fmt: skip
    check_parts(folder)
    beside = {"manifest.json", "report.html"}
    assert {path.name for path in folder.iterdir()} == {*manifest.files, *beside}
    named = {file.path for files in manifest.files.values() for file in files}
    assert named == {p.relative_to(folder).as_posix() for p in folder.rglob("*.*")} - beside


def check_parts(folder: Path) -> None:
    items = read_part(folder, "items")
    assert [(row["item_id"], row["train_events"], row["title"], row["kind"]) for row in items] == [
        ("i1", 3, "One", "b"), ("i0", 2, "Zero", "a"), ("i2", 1, None, None),
    ]  # fmt: skip
    assert [row["item_idx"] for row in items] == [2, 3, 4]
    users, histories = read_part(folder, "users"), read_part(folder, "histories")
    assert (
        [row["user_idx"] for row in users] == [row["user_idx"] for row in histories] == [2, 3, 4, 5]
    )
    by_id = {user["user_id"]: (user, row) for user, row in zip(users, histories, strict=True)}
    assert {name: user["age"] for name, (user, _) in by_id.items()} == {
        "u": "30", "v": None, "w": None, "silent": "40",
    }  # fmt: skip
    # i3 and i4 are held out and so unknown.
    assert by_id["u"][1]["history_item_idx"] == [3, 2, 4, 1, 1]
    assert by_id["u"][1]["history_time"][0] == START * 1_000_000
    assert by_id["silent"][1]["history_item_idx"] == []
    assert by_id["v"][0]["num_events"] == 2
    (valid,) = read_part(folder, "valid")
    assert (valid["history_item_idx"], valid["target_item_idx"]) == ([3, 2, 4], 1)
    schema = pq.read_schema(next((folder / "train").glob("*")))
    assert [str(schema.field(name).type.value_type) for name in schema.names[1:]] == [
        "int32", "float", "int32", "int64",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log in three files."""
    root = tmp_path_factory.mktemp("drawn")
    lines = log_lines()
    for number in range(3):
        write_lines(root / f"{number}.csv", HEADER, *lines[number::3])
    return root


@pytest.mark.slow
def test_files_do_not_depend_on_partitions_nor_on_the_order_of_lines(
    drawn: Path, tmp_path: Path
) -> None:
    etl = {"window_length": 5, "min_events_per_user": 3, "min_events_per_item": 2}
    one, _ = make(config_for(drawn, run={"output": str(tmp_path / "one")}, etl=etl))
    lines = list(reversed(log_lines()))
    write_lines(tmp_path / "raw/9.csv", HEADER, *lines[:200])
    write_lines(tmp_path / "raw/8.csv", HEADER, *lines[200:])
    spark = {"shuffle_partitions": 5, "conf": {"spark.sql.files.maxPartitionBytes": "4000"}}
    two, _ = make(config_for(tmp_path / "raw", etl=etl, spark=spark))
    assert one.vocabularies == two.vocabularies
    assert one.counts == two.counts
    assert one.files == two.files  # to the byte
    assert one.ledger["events"].dropped == two.ledger["events"].dropped


def test_a_temporal_split_shows_training_nothing_behind_the_cut(
    drawn: Path, tmp_path: Path
) -> None:
    split = {"kind": "temporal", "valid_from": "2026-03-08", "test_share": 0.1}
    manifest, folder = make(config_for(drawn, run={"output": str(tmp_path)}, etl={"split": split}))
    cut = START + 7 * DAY
    times = sorted(int(line.rsplit(",")[2]) for line in set(log_lines()))
    last_tenth = iso_text(times[int(0.9 * len(times))] * 1_000_000)
    assert manifest.cuts == {"valid_from": "2026-03-08T00:00:00Z", "test_from": last_tenth}
    assert figures_of(folder, manifest.model_dump())["cuts"] == manifest.cuts
    assert last_tenth in (folder / "report.html").read_text()
    before = {tuple(line.split(",")) for line in log_lines() if int(line.rsplit(",")[2]) < cut}
    assert {row["item_id"] for row in read_part(folder, "items")} == {item for _, item, _ in before}
    assert sum(row["train_events"] for row in read_part(folder, "items")) == len(before)
    in_windows = sum(len(row["history_item_idx"]) for row in read_part(folder, "train"))
    assert in_windows == len(before)  # no history is longer than a window
    assert manifest.counts["events"] == len(set(log_lines()))
    for part in ("valid", "test"):
        rows = read_part(folder, part)
        assert rows and all(row["history_item_idx"] for row in rows)
    newest = max(time for row in read_part(folder, "valid") for time in row["history_time"])
    assert newest < cut * 1_000_000


@pytest.mark.slow
def test_later_events_do_not_change_an_earlier_logical_date(drawn: Path, tmp_path: Path) -> None:
    etl = {"repeated_items": "last"}
    whole, folder = make(
        config_for(drawn, run={"output": str(tmp_path / "one")}, etl=etl), "2026-03-05"
    )
    early = [line for line in log_lines() if int(line.rsplit(",")[2]) < START + 5 * DAY]
    write_lines(tmp_path / "raw/all.csv", HEADER, *early)
    cut_off, _ = make(config_for(tmp_path / "raw", etl=etl), "2026-03-05")
    assert whole.files["train"] == cut_off.files["train"]
    assert whole.files["histories"] == cut_off.files["histories"]
    assert whole.ledger["events"].dropped["after_logical_date"] == 600 - len(early)
    assert folder.name.startswith("tiny-2026-03-05-")


Refusal = tuple[list[str], Mapping[str, Any], Mapping[str, Any], str]
REFUSALS: dict[str, Refusal] = {
    "empty log": ([HEADER], {}, {}, "input is empty|has no rows"),
    "wrong time unit": (
        [HEADER, f"u,i,{START}000"], {}, {}, r"time_in_future 1.*rows are in .*refused-\w{12}",
    ),
    "no user at all": ([HEADER, f",i,{START}"], {}, {}, "user_missing 1"),
    "missing column": (["user_id,item,time", "u,i,1"], {}, {}, "item_id missing; present are user"),
    "no core": (
        [HEADER, f"u,i,{START}"], {}, {"min_events_per_user": 2},
        "none of 1 events is left after applying etl.min_events_per_user=2",
    ),
    "types not used": (
        ["user_id,item_id,time,kind", f"u,i,{START},scroll"],
        {"columns": {"event_type": "kind"}}, {}, "event_type_not_used 1",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
def test_a_log_that_breaks_its_contract_is_refused(case: str, tmp_path: Path) -> None:
    lines, events, etl, message = REFUSALS[case]
    write_lines(tmp_path / "a.csv", *lines)
    with pytest.raises(InputError, match=message):
        make(config_for(tmp_path, events, etl=etl))
    left = {path.name.split("-")[0] for path in (tmp_path / "workspace/datasets").glob("*")}
    assert left <= {"refused"}


def test_a_day_without_events_is_no_new_data(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.csv", HEADER, f"u,i,{START}")
    with pytest.raises(NoNewDataError, match=r"2026-03-03.*2026-03-01"):
        make(config_for(tmp_path), "2026-03-03")
    with pytest.raises(NoNewDataError, match=r"2026-02-03.*none"):
        make(config_for(tmp_path), "2026-02-03")


def test_a_cut_off_file_is_named(tmp_path: Path) -> None:
    whole = gzip.compress("\n".join([HEADER, *log_lines(num_events=5000)]).encode())
    (tmp_path / "a.csv.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"a\.csv\.gz"):
        make(config_for(tmp_path, {"paths": ["*.csv.gz"]}))
