"""Compressed files with bytes after their end, and siblings of plain files."""

import bz2
import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from conf.errors import InputError
from etl.reading.files.file_kinds import why_cut_off
from etl.reading.files.padding import length_without_padding
from tests.etl.making import HEADER, config_for, make, write_lines
from tests.etl.read_rows import check, read
from tests.etl.reading.files.test_file_kinds import zstd

START = 1_772_323_200  # 2026-03-01T00:00:00Z
TEXT = b"user,item\n" + b"".join(b"u%d,i%d\n" % (n, n) for n in range(300))
PACK = {"gz": (gzip.compress, "gzip"), "zst": (zstd, "zstd")}


@pytest.mark.parametrize("suffix", PACK)
@pytest.mark.parametrize("zeros", [0, 1, 3, 512, 70_000])
def test_zero_bytes_after_the_end_are_found(tmp_path: Path, suffix: str, zeros: int) -> None:
    pack, codec = PACK[suffix]
    for size in (0, 1, 1000, 70_000):
        path = tmp_path / f"a.{suffix}"
        whole = pack(b"x" * size)
        path.write_bytes(whole + b"\0" * zeros)
        assert length_without_padding(path, codec) == len(whole)
    path.write_bytes(pack(TEXT) + pack(TEXT) + b"\0" * zeros)
    assert length_without_padding(path, codec) == 2 * len(pack(TEXT))


@pytest.mark.parametrize("suffix", PACK)
@pytest.mark.parametrize("damaged_files", ["stop", "quarantine"])
def test_a_padded_file_is_read_to_its_end(
    spark: SparkSession, tmp_path: Path, suffix: str, damaged_files: str
) -> None:
    path = tmp_path / f"a.csv.{suffix}"
    path.write_bytes(PACK[suffix][0](TEXT) + b"\0" * 512)
    assert check(tmp_path, [path], damaged_files=damaged_files) == [
        f"a.csv.{suffix} has 512 zero bytes after its end: they are not read"
    ]
    rows = read(spark, tmp_path, path, scratch=tmp_path / "scratch", damaged_files=damaged_files)
    assert rows == [(path.name, False, f"u{n}", f"i{n}") for n in range(300)]


@pytest.mark.parametrize(
    "tail",
    [b"garbage", b"\n", b"\0" * 9 + gzip.compress(b"x", mtime=0)],
    ids=["words", "newline", "zeros and a member"],
)
def test_other_bytes_after_the_end_make_a_file_damaged(tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(TEXT) + tail)
    told = "cannot be unpacked to its end: bytes that are no gzip data follow its end"
    assert why_cut_off(path, str(tail)) == told
    (warning,) = check(tmp_path, [path], damaged_files="quarantine")
    assert warning == f"a.csv.gz {told}; its lines are in quarantine"


@pytest.mark.usefixtures("spark")
def test_compressed_files_beside_plain_ones_are_read_and_copies_are_counted(tmp_path: Path) -> None:
    def lines(user: str) -> bytes:
        return "\n".join([HEADER, *(f"{user},i{n},{START + n}" for n in range(5))]).encode() + b"\n"

    contents = {
        "a.csv": lines("a"), "b.csv.gz": gzip.compress(lines("b")),
        "c.csv.bz2": bz2.compress(lines("c")), "d.csv.zst": zstd(lines("d")),
        "a.csv.gz": gzip.compress(lines("a")),  # the same once more
        "e.csv": lines("e"), "e.csv.gz": gzip.compress(lines("other")),
        "f.csv.zip": b"PK\x03\x04", "empty.csv": b"", "empty.csv.gz": b"",
        "none.csv.bz2": b"", "none.csv.zst": b"",
        "header.csv": HEADER.encode(), "nothing.csv.gz": gzip.compress(b""),
        "bom.csv": b"\xef\xbb\xbf" + lines("bom"),
    }  # fmt: skip
    (tmp_path / "events").mkdir()
    for name, content in contents.items():
        (tmp_path / "events" / name).write_bytes(content)
    manifest, _ = make(config_for(tmp_path, {"paths": ["events/*.csv"]}))

    events = manifest.ledger["events"]
    read = {name.removeprefix("events/"): account for name, account in events.files.items()}
    assert {name: account.rows_kept for name, account in read.items() if account.rows_read} == {
        "a.csv": 5, "a.csv.gz": 0, "b.csv.gz": 5, "c.csv.bz2": 5, "d.csv.zst": 5, "e.csv": 5,
        "e.csv.gz": 5, "bom.csv": 5,
    }  # fmt: skip
    assert read["a.csv.gz"].dropped == {"redelivered_file": 5}
    assert events.warnings == (
        "events/e.csv and events/e.csv.gz differ in content: both are read",
        "events/f.csv.zip is not read: names have to end in .gz, .bz2 or .zst to be unpacked",
        "redelivered_file removed 5 of 5 rows of events/a.csv.gz; remove the copy, or have the "
        "right file delivered",
    )


def test_a_compressed_parquet_file_is_not_passed_over(tmp_path: Path) -> None:
    table = pa.table({"user_id": ["u"], "item_id": ["i"], "time": [START]})
    pq.write_table(table, tmp_path / "a.parquet")
    (tmp_path / "b.parquet.gz").write_bytes(gzip.compress(b"x"))
    config = config_for(tmp_path, {"paths": ["*.parquet"], "format": "parquet"})
    with pytest.raises(InputError, match=r"b\.parquet\.gz: is not a parquet file .* gzip data"):
        make(config)


def test_a_log_without_rows_is_told(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.csv", HEADER)
    with pytest.raises(InputError, match=r"input\.events has no rows"):
        make(config_for(tmp_path, {"paths": ["a.csv"]}))
