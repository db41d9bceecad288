"""What a file is by its first bytes, whatever its name says."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

TEXT = "text"
NUM_BYTES = 4096
_FIRST_BYTES = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
    b"\xfd7zXZ\x00": "xz",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!\x1a\x07": "rar",
    b"\x04\x22\x4d\x18": "lz4",
    b"PAR1": "parquet",
    b"ORC": "orc",
    b"Obj\x01": "avro",
    b"%PDF-": "pdf",
    b"SQLite format 3\x00": "sqlite",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "xls",
    b"\xff\xfe\x00\x00": "utf-32",
    b"\x00\x00\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
# A text may begin with these letters too, so the end of the file must match as well.
_AT_THE_END = {"parquet": b"PAR1", "orc": b"ORC"}
_BZIP2_BLOCK = b"1AY&SY"
_BZIP2_END = b"\x17rE8P\x90"  # of a file without content
_OFFICE = {"xl/": "xlsx", "word/": "docx"}
_HTML = (b"<!doctype html", b"<html", b"<head", b"<body")
_WIDE_SHARE = 0.4
_TAR = slice(257, 262)
_COMPRESSIONS = ("gzip", "bzip2", "zstd")

_DESCRIBED: Mapping[str, str] = {
    TEXT: "plain text",
    "zip": "a zip archive",
    "xlsx": "an Excel workbook",
    "xls": "an Excel workbook",
    "docx": "a Word document",
    "pdf": "a PDF document",
    "html": "a web page (HTML)",
    "xml": "XML",
    "sqlite": "an SQLite database",
    "tar": "a tar archive",
    "utf-16": "UTF-16 text",
    "utf-32": "UTF-32 text",
}
_EXPORT = "export its table as CSV in UTF-8"
_FIXES: Mapping[str, str] = {
    **dict.fromkeys(("xlsx", "xls", "sqlite", "docx", "pdf", "xml"), _EXPORT),
    **dict.fromkeys(("zip", "xz", "7z", "rar", "lz4"), "compress it as .gz, .bz2 or .zst"),
    **dict.fromkeys(("parquet", "orc", "avro"), "set the format of its input, or write it as text"),
    "html": "it may be the error page of a download: deliver the file again",
    "tar": "unpack it",
    "utf-16": "convert it to UTF-8, or set the `encoding` of its input",
    "utf-32": "convert it to UTF-8, or set the `encoding` of its input",
}


def kind_of_content(path: Path) -> str:
    """Return what a file contains: a compression, a columnar format, an archive, text, ..."""
    with path.open("rb") as stream:
        first = stream.read(NUM_BYTES)
        stream.seek(-min(4, path.stat().st_size), 2)
        last = stream.read()
    kind = kind_of_bytes(first, last)
    return _kind_of_zip(path) if kind == "zip" else kind


def kind_of_bytes(first: bytes, last: bytes = b"") -> str:
    """Return what begins with these bytes.

    Args:
        first: The first bytes, NUM_BYTES of them if there are so many.
        last: The last four bytes.
    """
    if first[:3] == b"BZh" and first[4:10] in (_BZIP2_BLOCK, _BZIP2_END):
        return "bzip2"
    for magic, kind in _FIRST_BYTES.items():
        if first.startswith(magic) and _AT_THE_END.get(kind, b"") in last:
            return kind
    if first[_TAR] == b"ustar":
        return "tar"
    start = first.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if start.startswith(_HTML):
        return "html"
    if start.startswith(b"<?xml"):
        return "html" if b"<html" in start else "xml"
    return "utf-16" if _is_wide(first) else TEXT


def is_compression(kind: str) -> bool:
    """Return whether Spark unpacks files of this kind."""
    return kind in _COMPRESSIONS


def described(kind: str) -> str:
    """Return a kind in words, as the object of `contains`."""
    return _DESCRIBED.get(kind, f"{kind} data")


def fix_of(kind: str) -> str:
    """Return what to do with a file of this kind in place of a text."""
    return _FIXES.get(kind, "rename it")


def _kind_of_zip(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return "zip"
    kinds = [kind for folder, kind in _OFFICE.items() if any(n.startswith(folder) for n in names)]
    return kinds[0] if kinds and "[Content_Types].xml" in names else "zip"


def _is_wide(first: bytes) -> bool:
    """Return whether every other byte is zero, as in UTF-16 text of Latin letters."""
    pairs = len(first) // 2
    zeros = (first[0::2].count(0), first[1::2].count(0))
    return pairs > 1 and max(zeros) >= _WIDE_SHARE * pairs and min(zeros) == 0
