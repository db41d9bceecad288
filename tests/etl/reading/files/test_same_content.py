import bz2
import gzip
from pathlib import Path

import pytest

from etl.reading.files.same_content import hash_contents
from etl.reading.origin import redelivered_files
from tests.etl.read_rows import check, input_files
from tests.etl.reading.files.test_file_kinds import LINES, TEXT, zstd

LONGER = TEXT + "\n".join(["", *LINES[:9]]).encode()
CHANGED = TEXT[:-1] + b"x"  # as long, and equal but for the last byte
FORMS = {
    "b.csv.gz": gzip.compress(TEXT, mtime=1),
    "c.csv.gz": gzip.compress(TEXT, compresslevel=1, mtime=2),
    "members.csv.gz": gzip.compress(TEXT[:99]) + gzip.compress(TEXT[99:]),
    "padded.csv.gz": gzip.compress(TEXT) + b"\0" * 99,
    "d.csv.bz2": bz2.compress(TEXT),
    "e.csv.zst": zstd(TEXT),
}


def write(folder: Path, **contents: bytes) -> list[Path]:
    paths = [folder / name.replace("_", ".") for name in contents]
    for path, content in zip(paths, contents.values(), strict=True):
        path.write_bytes(content)
    return paths


@pytest.mark.parametrize("name", FORMS)
def test_the_same_rows_under_another_name_are_a_copy_however_they_are_packed(
    tmp_path: Path, name: str
) -> None:
    other = {"a_csv": TEXT, name: FORMS[name], "z_csv": CHANGED, "z_csv_gz": gzip.compress(LONGER)}
    files = input_files(tmp_path, *write(tmp_path, **other))
    assert redelivered_files(files) == {name}
    two_packed = [file for file in files if file.name != "a.csv"]
    (packed,) = input_files(tmp_path, *write(tmp_path, y_csv_gz=gzip.compress(TEXT, mtime=3)))
    assert redelivered_files([*two_packed, packed]) == {max(name, "y.csv.gz")}


def test_contents_that_differ_in_one_byte_are_no_copies(tmp_path: Path) -> None:
    contents = {
        "a_csv": TEXT,
        "b_csv_gz": gzip.compress(CHANGED),
        "c_csv_bz2": bz2.compress(LONGER),
    }
    files = input_files(tmp_path, *write(tmp_path, **contents))
    assert redelivered_files(files) == set()
    assert len(set(hash_contents(files).values())) == 3


def test_files_that_cannot_be_copies_are_not_unpacked(tmp_path: Path) -> None:
    long = TEXT * (1 + (1 << 24) // len(TEXT))  # a gzip file that ends in no zero byte
    contents = {
        "a_csv": long, "b_csv_gz": gzip.compress(long + LONGER, compresslevel=1),
        "c_csv_bz2": bz2.compress(b"item,user" + TEXT[9:]), "d_csv_zst": zstd(b""),
    }  # fmt: skip
    files = input_files(tmp_path, *write(tmp_path, **contents))
    assert hash_contents(files) == {file: file.sha256 for file in files}
    # The file of two members ends in the length of the second one, so it has to be unpacked.
    members = gzip.compress(long[:99]) + gzip.compress(long[99:], compresslevel=1)
    files += input_files(tmp_path, *write(tmp_path, e_csv_gz=members))
    assert redelivered_files(files) == {"e.csv.gz"}


def test_a_file_that_cannot_be_unpacked_is_no_copy(tmp_path: Path) -> None:
    whole = gzip.compress(TEXT)
    damaged = whole[: len(whole) // 2] + b"damaged" + whole[len(whole) // 2 + 7 :]
    contents = {"a_csv": TEXT, "b_csv_gz": damaged, "c_csv_gz": whole, "d_csv_gz": whole[:40]}
    assert redelivered_files(input_files(tmp_path, *write(tmp_path, **contents))) == {"c.csv.gz"}


def test_only_files_of_one_name_are_said_to_differ(tmp_path: Path) -> None:
    contents = {
        "a_csv": TEXT,
        "a_csv_gz": gzip.compress(CHANGED),
        "b_csv_gz": gzip.compress(LONGER),
    }
    paths = write(tmp_path, **contents)
    assert check(tmp_path, paths) == ["a.csv and a.csv.gz differ in content: both are read"]
