"""Files that are something else than their names and settings say, and headers split wrongly."""

import bz2
import gzip
import io
import sqlite3
import tarfile
import zipfile
from pathlib import Path

import pytest

from conf.errors import InputError
from etl.reading.files.first_bytes import kind_of_content
from tests.etl.making import write_lines
from tests.etl.read_rows import check

TEXT = b"user,item\n" + b"u1,i1\n" * 50


def archive(*names: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as target:
        for name in names:
            target.writestr(name, TEXT)
    return stream.getvalue()


def tar() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as target:
        member = tarfile.TarInfo("a.csv")
        member.size = len(TEXT)
        target.addfile(member, io.BytesIO(TEXT))
    return stream.getvalue()


def database(folder: Path) -> bytes:
    with sqlite3.connect(folder / "base") as base:
        base.execute("create table events (user, item)")
    return (folder / "base").read_bytes()


def test_what_a_file_really_is_is_told_with_what_to_do(tmp_path: Path) -> None:
    workbook = archive("[Content_Types].xml", "xl/workbook.xml")
    contents = {
        "zip": (archive("a.csv"), "contains a zip archive, not csv; compress it as .gz, .bz2"),
        "xlsx": (workbook, "contains an Excel workbook, not csv; export its table as CSV"),
        "xls": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\1" * 600, "contains an Excel workbook"),
        "pdf": (b"%PDF-1.7\n", "contains a PDF document, not csv"),
        "html": (
            b"\n<!DOCTYPE html><html><body>404",
            "contains a web page (HTML), not csv; it may",
        ),
        "xhtml": (b"<?xml version='1.0'?><html>", "contains a web page (HTML)"),
        "xml": (b"\xef\xbb\xbf<?xml version='1.0'?><rows>", "contains XML, not csv"),
        "sqlite": (database(tmp_path), "contains an SQLite database, not csv; export"),
        "tar": (tar(), "contains a tar archive, not csv; unpack it"),
        "wide": (TEXT.decode().encode("utf-16"), "contains UTF-16 text, not csv; convert it to"),
        "bare": (TEXT.decode().encode("utf-16-le"), "contains UTF-16 text, not csv"),
    }
    for name, (content, _) in contents.items():
        (tmp_path / f"{name}.csv").write_bytes(content)
    packed = {
        "a.csv.gz": (gzip.compress(tar()), "a.csv.gz: contains a tar archive, not csv; unpack it"),
        "b.csv.bz2": (bz2.compress(b"<html>"), "b.csv.bz2: contains a web page (HTML)"),
        "c.csv.gz": (
            gzip.compress(gzip.compress(TEXT)),
            "c.csv.gz: is compressed twice; unpack it once",
        ),
    }
    for name, (content, _) in packed.items():
        (tmp_path / name).write_bytes(content)
    sound = write_lines(tmp_path / "sound.csv", "user,item", "<html>,7")
    files = [
        *(tmp_path / f"{name}.csv" for name in contents),
        *(tmp_path / name for name in packed),
    ]
    with pytest.raises(InputError) as caught:
        check(tmp_path, [*files, sound])
    assert caught.value.exit_code == 3
    for name, (_, told) in contents.items():
        assert f"{name}.csv: {told}" in str(caught.value)
    for _, told in packed.values():
        assert told in str(caught.value)
    assert "sound.csv" not in str(caught.value)


def test_wide_text_is_text_where_the_encoding_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(TEXT.decode().encode("utf-16"))
    assert check(tmp_path, [path], encoding="UTF-16", multiline=True) == []


def test_one_json_array_is_told_from_json_lines(tmp_path: Path) -> None:
    for text in ('[{"user": 1, "item": 2},\n{"user": 3, "item": 4}]', '[\n  {"user": 1}\n]'):
        path = write_lines(tmp_path / "a.jsonl", text)
        with pytest.raises(InputError, match="is one JSON array, not one object a line"):
            check(tmp_path, [path], format="jsonl")


def test_an_empty_bzip2_file_is_bzip2(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.bz2"
    path.write_bytes(bz2.compress(b""))
    assert kind_of_content(path) == "bzip2"


@pytest.mark.parametrize(("header", "hint"), [
    ("user;item;time", 'present are user;item;time (is separator: ";" right?)'),
    ("user\titem\ttime", r'(is separator: "\t" right?)'),
    ("user|item|time", '(is separator: "|" right?)'),
    ("user::item::time", '(is separator: "::" right?)'),
    ('"user";"item"', '(is separator: ";" right?)'),
    ("customer;sku", '(is separator: ";" right?)'),
    ("u1,i1,1772323200", "(the first line looks like a row: are header: false and column_names"),
    ('{"user": 1, "item": 2}', "(the first line is JSON: is format: jsonl right?)"),
    ("User, Item", "(they differ in case, white space or quotes"),
])  # fmt: skip
def test_a_header_that_is_split_wrongly_has_a_hint(tmp_path: Path, header: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        check(tmp_path, [write_lines(tmp_path / "a.csv", header)])
    assert hint in str(caught.value)


def test_a_header_of_other_names_has_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="present are who, what\n"):
        check(tmp_path, [write_lines(tmp_path / "a.csv", "who,what")])
