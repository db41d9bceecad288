"""Files in every character set that Python knows, written by its codecs, read by Spark."""

import codecs
import gzip
import json
from collections.abc import Sequence
from encodings.aliases import aliases
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from conf.errors import InputError
from conf.settings.input import Source
from etl.reading.charsets import encoding_warnings
from etl.reading.sources import read_rows
from etl.spark.columns import BROKEN, NOT_DECODED, RAW
from tests.etl.making import config_for, make, read_part
from tests.etl.read_rows import COLUMNS, check, input_files, read

LETTERS = "ﻕäéßñœ€ŞığŁřőЖуњїλΩάשלםسلامไทย日本語表ソ能中文漢字한국어"
NO_CHARACTER_SETS = {
    "base64_codec", "bz2_codec", "hex_codec", "quopri_codec", "rot_13", "uu_codec", "zlib_codec",
    "mbcs",
}  # fmt: skip
WITHOUT_ALIAS = {
    "cp720", "cp737", "cp856", "cp874", "cp875", "koi8_t", "koi8_u", "mac_arabic", "mac_farsi",
    "utf_8_sig",
}  # fmt: skip
ENCODINGS = sorted(({*aliases.values()} | WITHOUT_ALIAS) - NO_CHARACTER_SETS)
SPREAD = ("windows-1252", "latin1", "cp1252", "iso-8859-15", "gbk", "shift_jis")


def letters_of(encoding: str) -> str:
    """Return those of the letters that a character set has."""
    kept = []
    for letter in LETTERS:
        try:
            same = letter.encode(encoding).decode(encoding) == letter
        except UnicodeError:
            continue
        kept += [letter] if same else []
    return "".join(kept)


def test_the_list_has_character_sets_of_every_kind() -> None:
    assert len(ENCODINGS) > 95
    assert [name for name in ENCODINGS if not letters_of(name)] == ["ascii"]


@pytest.mark.parametrize(
    "encodings", [SPREAD, pytest.param(ENCODINGS, marks=pytest.mark.slow)], ids=["some", "all"]
)
def test_every_character_set_of_python_is_read(
    spark: SparkSession, tmp_path: Path, encodings: Sequence[str]
) -> None:
    wrong = []
    for encoding in encodings:
        text = letters_of(encoding)
        lines = ("user,item", f"u{text},{text[::-1]}1", f'"{text},x",7', f"{text}\\,|2")
        path = tmp_path / f"{encoding}.csv"
        path.write_bytes("".join(f"{line}\r\n" for line in lines).encode(encoding))
        rows = [(f"u{text}", f"{text[::-1]}1"), (f"{text},x", "7"), (f"{text}\\", "|2")]
        expected = [(path.name, False, *row) for row in rows]
        found = read(spark, tmp_path, path, encoding=encoding, scratch=tmp_path / "copies")
        wrong += [] if found == expected else [(encoding, found)]
    assert wrong == []


@pytest.mark.parametrize("encoding", SPREAD)
def test_headers_are_found_in_any_character_set(tmp_path: Path, encoding: str) -> None:
    name = "größe" if encoding not in ("gbk", "shift_jis") else "表"
    path = tmp_path / "a.csv"
    path.write_bytes(f"{name},item\nu,1\n".encode(encoding))
    assert check(tmp_path, [path], {"user_id": name, "item_id": "item"}, encoding=encoding) == []


def test_json_lines_of_wide_characters_are_read(spark: SparkSession, tmp_path: Path) -> None:
    rows = [{"user": f"表{n}ソ", "item": "能|\\"} for n in range(3)]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    expected = [(False, row["user"], row["item"]) for row in rows]
    for encoding in ("shift_jis", "utf-16", "utf-16-be", "utf-32", "utf-8-sig", "big5hkscs"):
        path = tmp_path / f"{encoding}.jsonl.gz"
        path.write_bytes(gzip.compress(text.encode(encoding)))
        found = read(
            spark, tmp_path, path, format="jsonl", encoding=encoding, scratch=tmp_path / "copies"
        )
        assert [row[1:] for row in found] == expected, encoding


def test_a_byte_order_mark_is_no_part_of_the_first_name(
    spark: SparkSession, tmp_path: Path
) -> None:
    for encoding, mark in (("utf-16-le", codecs.BOM_UTF16_LE), ("utf-8", codecs.BOM_UTF8)):
        path = tmp_path / f"{encoding}.csv"
        path.write_bytes(mark + "user,item\nü,1\n".encode(encoding))
        keys = {"encoding": encoding, "scratch": tmp_path / "copies"}
        assert read(spark, tmp_path, path, **keys)[0][2:] == ("ü", "1")
        path.write_bytes(mark + "ü,1\n".encode(encoding))
        names = {"header": False, "column_names": ("user", "item")}
        again = tmp_path / f"{encoding}-2"
        assert read(spark, tmp_path, path, **keys | {"scratch": again}, **names)[0][2:] == (
            "ü",
            "1",
        )


def test_many_lined_fields_are_read_in_any_character_set(
    spark: SparkSession, tmp_path: Path
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes('user,item\r\n"表\r\n\n能","ソ""1"\r\nv,2\r\n'.encode("shift_jis"))
    found = read(
        spark, tmp_path, path, encoding="shift_jis", multiline=True, scratch=tmp_path / "copies"
    )
    assert [row[2:] for row in found] == [("表\r\n\n能", 'ソ"1'), ("v", "2")]


def test_broken_lines_keep_their_readable_text(spark: SparkSession, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("user,item\n表,1,ソ\nv,2\n".encode("cp932"))
    source = Source(paths=("*",), encoding="cp932")
    files = input_files(tmp_path, path)
    frame = read_rows(spark, source, files, COLUMNS, tmp_path / "copies").orderBy("line_number")
    rows = [tuple(row) for row in frame.select(BROKEN, RAW).collect()]
    assert rows == [(True, "表,1,ソ"), (False, '{"user":"v","item":"2"}')]


def test_what_cannot_be_decoded_is_marked(spark: SparkSession, tmp_path: Path) -> None:
    columns = {**COLUMNS, "title": "title"}
    for encoding in ("cp1252", "utf-8", "ascii", "gbk"):
        path = tmp_path / f"{encoding}.csv"
        path.write_bytes(b"user,item,title\nu\x81,1,a\nu,2,b\x81\xff\nv,3,c\n")
        source, files = Source(paths=("*",), encoding=encoding), input_files(tmp_path, path)
        frame = read_rows(spark, source, files, columns, tmp_path / "copies")
        marks = frame.orderBy("line_number").select(BROKEN, NOT_DECODED).collect()
        assert [tuple(row) for row in marks] == [(True, True), (False, True), (False, False)]
        assert frame.where(F.col("title") == "c").count() == 1


@pytest.mark.slow
@pytest.mark.usefixtures("spark")
def test_a_run_reads_and_saves_lines_in_the_character_set_of_each_input(tmp_path: Path) -> None:
    lines = [
        "user_id,item_id,time",
        *(f"用户{n % 3},商品{n % 4},{1_772_323_200 + n}" for n in range(12)),
    ]
    packed = gzip.compress("\n".join(lines).encode("gbk"))
    (tmp_path / "a.csv.gz").write_bytes(packed)
    # Stored, not deflated, so that the text before the cut can be read.
    cut = gzip.compress("\n".join(lines).encode("gbk"), compresslevel=0)[:-60]
    (tmp_path / "b.csv.gz").write_bytes(cut)
    (tmp_path / "items.csv").write_bytes(
        "id,name\n商品1,茶\n商品2,\x80\n".encode("latin1", "ignore")
    )
    (tmp_path / "items.csv").write_bytes(
        "id;name\nÄ1;Größe\n".encode("cp1252") + "商品1;x\x81\n".encode("cp1252", "ignore")
    )
    log = {"paths": ["*.csv.gz"], "encoding": "gbk", "damaged_files": "quarantine"}
    items = {"paths": ["items.csv"], "id_column": "id", "title_column": "name",
             "encoding": "windows-1252", "separator": ";"}  # fmt: skip
    config = config_for(tmp_path, log, items=items, etl={"clean": {"max_bad_share": 1}})
    manifest, folder = make(config)
    ledger = manifest.ledger["events"]
    assert ledger.rows_kept == 12
    saved = [row["raw"] for row in read_part(folder, "quarantine")]
    assert saved[:5] == lines[:5]
    assert {row["item_id"] for row in read_part(folder, "items")} >= {"商品0", "商品3"}


LINES = "user,item\n" + "".join(f"u{n},größe {n}\n" for n in range(5)) + "v,plain\n"


@pytest.mark.parametrize(
    ("written", "encoding", "told", "set_to"),
    [
        ("cp1252", "utf-8", "5 of the first 7 lines of a.csv have bytes that are not utf-8", "cp1"),
        ("utf-8", "cp1252", "makes 'Ã¶' for 'ö' and the like of them", "to UTF-8"),
        ("utf-8", "latin1", "5 of the first 7 lines of a.csv have letters beyond ASCII", "UTF-8"),
        ("utf-8-sig", "ascii", "6 of the first 7 lines of a.csv have bytes that are not", "UTF-8"),
        ("utf-8", "gbk", "of a.csv have", "to UTF-8"),
    ],
)
def test_another_character_set_is_told(
    tmp_path: Path, written: str, encoding: str, told: str, set_to: str
) -> None:
    (tmp_path / "a.csv").write_bytes(LINES.encode(written))
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(LINES.encode(written)))
    (tmp_path / "c.csv").write_bytes(b"user,item\nu,1\n")
    paths = [tmp_path / name for name in ("a.csv", "b.csv.gz", "c.csv")]
    source = Source(paths=("*",), encoding=encoding)
    (warning,) = encoding_warnings(source, input_files(tmp_path, *paths))
    assert warning.startswith("encoding: ") and told in warning
    assert f"`encoding` of the input{', likeliest' if set_to == 'cp1' else ''} to" in warning
    assert set_to in warning and "and so have b.csv.gz;" in warning


def test_a_damaged_letter_is_no_other_character_set(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(LINES.encode() + b"w,gr\xf6\n")
    (warning,) = check(tmp_path, [tmp_path / "a.csv"])
    assert warning.endswith("most other letters beyond ASCII fit, so these lines may be damaged")


def test_a_file_in_its_character_set_has_no_warning(tmp_path: Path) -> None:
    for encoding in ENCODINGS:
        text = letters_of(encoding)
        path = tmp_path / "a.csv"
        lines = f"user,item\nu{text},{text[::-1]}\n" * 4000  # longer than the sample
        path.write_bytes(lines.encode(encoding))
        source = Source(paths=("*",), encoding=encoding)
        assert list(encoding_warnings(source, input_files(tmp_path, path))) == [], encoding


def test_a_header_in_another_character_set_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("user,item,größe\nu,1,2\n".encode("cp1252"))
    with pytest.raises(InputError, match=r"a\.csv cannot be read as UTF-8: its header is"):
        check(tmp_path, [path])
