import bz2
import gzip
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conf.errors import InputError
from conf.runs.inputs.input_files import InputFile
from conf.settings.input import TableSource
from etl.reading.files.file_kinds import unpacked_bytes, why_cut_off
from etl.reading.files.first_bytes import kind_of_content
from etl.reading.files.salvage import salvage
from tests.etl.making import write_lines
from tests.etl.read_rows import check, input_files

LINES = [f"u{number},i{number * 7919 % 1000}" for number in range(20_000)]
TEXT = "\n".join(["user,item", *LINES]).encode()


def zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    packed: bytes = sink.getvalue().to_pybytes()
    return packed


PACK = {"gz": gzip.compress, "bz2": bz2.compress, "zst": zstd}


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("form", "name", "times"),
    [
        ("csv", "log.csv", 1),
        ("csv", "log.csv.gz", 10),
        ("jsonl", "log.zst", 10),
        ("csv", "log.GZ", 1),  # Spark reads it as plain text
        ("csv", "log.parquet", 1),
        ("parquet", "log.parquet", 10),
        ("parquet", "part-00000", 10),
        ("orc", "log.csv", 10),
    ],
)
def test_the_size_of_rows_follows_from_what_spark_unpacks(form: str, name: str, times: int) -> None:
    source = TableSource(paths=("x",), format=form, id_column="id")
    file = InputFile(Path(name), name, 7, 0.0, "")
    assert unpacked_bytes(source, file) == 7 * times


@pytest.fixture
def parquet(tmp_path: Path) -> bytes:
    pq.write_table(pa.table({"user": [1], "item": [2]}), tmp_path / "table")
    return (tmp_path / "table").read_bytes()


def test_a_text_may_begin_with_the_letters_of_another_format(tmp_path: Path) -> None:
    for text in ("ORCID,item", "PAR1,item", "BZh9,item", "x", ""):
        assert kind_of_content(write(tmp_path / "a.csv", text.encode())) == "text"


def test_files_that_are_not_what_their_names_say_are_all_named(
    tmp_path: Path, parquet: bytes
) -> None:
    files = [
        write(tmp_path / "a.csv", gzip.compress(TEXT)),
        write(tmp_path / "b.csv.gz", TEXT),
        write(tmp_path / "c.csv", parquet),
        write(tmp_path / "d.csv.bz2", zstd(TEXT)),
        write(tmp_path / "e.csv.zip", b"PK\x03\x04"),
        write(tmp_path / "f.csv.GZ", gzip.compress(TEXT)),
        write(tmp_path / "good.csv.gz", gzip.compress(TEXT)),
    ]
    with pytest.raises(InputError) as caught:
        check(tmp_path, files)
    assert caught.value.exit_code == 3
    for told in (
        "a.csv: contains gzip data, but its name says plain text; rename it",
        "b.csv.gz: contains plain text, but its name says gzip data",
        "c.csv: contains parquet data, not csv; set the format of its input",
        "d.csv.bz2: contains zstd data, but its name says bzip2 data",
        "e.csv.zip: .zip files are not supported; compress it as .gz, .bz2 or .zst",
        "f.csv.GZ: contains gzip data",
    ):
        assert told in str(caught.value)
    assert "good.csv.gz" not in str(caught.value)


def test_a_parquet_file_without_its_end_is_named(tmp_path: Path, parquet: bytes) -> None:
    cut = write(tmp_path / "cut.parquet", parquet[:-8])
    lines = write_lines(tmp_path / "text.parquet", "user,item")
    broken = write(tmp_path / "broken.parquet", parquet[:4] + b"\0" * 40 + parquet[-8:])
    with pytest.raises(InputError) as caught:
        check(tmp_path, [cut, lines, broken], format="parquet")
    assert "cut.parquet: is not a parquet file or is cut off, it contains plain text" in str(
        caught.value
    )
    assert "text.parquet: is not a parquet file or is cut off" in str(caught.value)
    assert "broken.parquet: is not a readable parquet file" in str(caught.value)


def test_names_that_spark_cannot_take_are_refused(tmp_path: Path) -> None:
    odd = ["12:30.csv", os.fsdecode(b"caf\xe9.csv"), "_hidden.csv", ".hidden.csv"]
    for name in odd:
        with pytest.raises(InputError, match=r"\.csv'?: Spark .*; rename them"):
            check(tmp_path, [write(tmp_path / name, TEXT)])
    (tmp_path / "12:30 {a}").mkdir()
    with pytest.raises(InputError, match=r"a\.csv'?: Spark .* contains ':' and one of"):
        check(tmp_path, [write(tmp_path / "12:30 {a}/a.csv", TEXT)])
    (tmp_path / "at=12:30").mkdir()
    assert check(tmp_path, [write(tmp_path / "at=12:30/new\nline.csv", TEXT)]) == []


def test_files_without_columns_or_in_another_character_set_are_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"a\.parquet: column\(s\) user, item missing; .* none"):
        check(tmp_path, [tmp_path / "a.parquet"], format="parquet")
    twice = pa.Table.from_arrays([pa.array([1])] * 4, names=["user", "item", "x", "x"])
    pq.write_table(twice, tmp_path / "b.parquet")
    with pytest.raises(InputError, match=r"b\.parquet .* a column named more than once \(x\)"):
        check(tmp_path, [tmp_path / "b.parquet"], format="parquet")
    wide = write(tmp_path / "a.csv", TEXT.decode().encode("utf-16"))
    with pytest.raises(InputError, match=r"a\.csv: contains UTF-16 text, .*`encoding`"):
        check(tmp_path, [wide])
    with pytest.raises(InputError, match="column_names of the input is empty"):
        check(tmp_path, [write(tmp_path / "b.csv", TEXT)], header=False)


@pytest.mark.parametrize("suffix", PACK)
def test_a_compressed_file_that_is_cut_off_or_damaged_is_found_and_saved_to_the_last_byte(
    tmp_path: Path, suffix: str
) -> None:
    whole = PACK[suffix](TEXT)
    sound = write(tmp_path / f"sound.csv.{suffix}", whole)
    twice = write(tmp_path / f"twice.csv.{suffix}", whole + PACK[suffix](b"\n" + TEXT))
    cut = write(tmp_path / f"cut.csv.{suffix}", whole[: len(whole) * 9 // 10])
    assert why_cut_off(sound, "sound") is why_cut_off(twice, "twice") is None
    assert str(why_cut_off(cut, "cut")).startswith("cannot be unpacked to its end: ")
    (file,) = input_files(tmp_path, cut)
    saved = salvage(file, tmp_path / "saved").read_bytes()
    assert TEXT.startswith(saved) or suffix == "bz2"  # all of whose text is one block here
    assert len(saved) > len(TEXT) // 2 or suffix == "bz2"


def test_what_no_line_can_be_read_of_is_still_one_line(tmp_path: Path, parquet: bytes) -> None:
    wrong, cut = (
        write(tmp_path / "a.csv", parquet),
        write(tmp_path / "b.gz", gzip.compress(b"")[:5]),
    )
    for path, text in ((wrong, "(parquet data of"), (cut, "(gzip data of")):
        (file,) = input_files(tmp_path, path)
        assert salvage(file, tmp_path / "saved").read_text().startswith(text)


def test_cut_off_files_are_found_before_the_work_where_they_are_set_aside(tmp_path: Path) -> None:
    whole = gzip.compress(TEXT)
    cut = write(tmp_path / "cut.csv.gz", whole[: len(whole) // 2])
    good = write(tmp_path / "good.csv.gz", whole)
    (warning,) = check(tmp_path, [cut, good], damaged_files="quarantine")
    assert warning.startswith("cut.csv.gz cannot be unpacked to its end")
    assert warning.endswith("; its lines are in quarantine")
