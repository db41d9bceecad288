"""Compare what a file is by its first bytes with what its name and its format say.

Spark only looks at the name: it reads a gzip file named .csv as lines of garbage, and fails on a
plain file named .gz in the middle of the job.
"""

import bz2
import gzip
import io
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa

from conf.runs.input_files import InputFile
from conf.settings.files import TEXT_FORMATS
from conf.settings.input import Source

TEXT = "text"
# Case-sensitive, as in Hadoop's codecs.
_CODEC_OF_SUFFIX = {".gz": "gzip", ".bz2": "bzip2", ".zst": "zstd"}
_FIRST_BYTES = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
    b"\xfd7zXZ\x00": "xz",
    b"PAR1": "parquet",
    b"ORC": "orc",
    b"Obj\x01": "avro",
}
# A text may begin with these letters too, so the end of the file must match as well.
_AT_THE_END = {"parquet": b"PAR1", "orc": b"ORC"}
_BZIP2_BLOCK = b"1AY&SY"
_UNREAD_SUFFIXES = (".zip", ".xz", ".7z", ".lz4", ".snappy", ".deflate", ".Z")
_CHUNK_BYTES = 1 << 20

UNPACK_ERRORS = (EOFError, OSError, ValueError, zlib.error)


def codec_of_name(path: Path) -> str:
    """Return the compression that Spark assumes for a text file, `text` for none."""
    return _CODEC_OF_SUFFIX.get(path.suffix, TEXT)


def kind_of_content(path: Path) -> str:
    """Return what a file contains: a compression, a columnar format, zip, xz or text."""
    with path.open("rb") as stream:
        first = stream.read(16)
        stream.seek(-min(4, path.stat().st_size), 2)
        last = stream.read()
    if first[:3] == b"BZh" and first[4:10] == _BZIP2_BLOCK:
        return "bzip2"
    for magic, kind in _FIRST_BYTES.items():
        if first.startswith(magic) and _AT_THE_END.get(kind, b"") in last:
            return kind
    return TEXT


def why_misnamed(source: Source, file: InputFile) -> str | None:
    """Return how a file's content differs from its name and format, or None."""
    is_text = source.format in TEXT_FORMATS
    if is_text and file.path.suffix in _UNREAD_SUFFIXES:
        return f"{file.path.suffix} files are not supported; compress it as .gz, .bz2 or .zst"
    if is_text and file.path.stat().st_size == 0:
        return None  # an empty delivery, whatever its name
    named = codec_of_name(file.path) if is_text else source.format
    kind = kind_of_content(file.path)
    if kind == named:
        return None
    if not is_text:
        return f"is not a {named} file or is cut off, it contains {_told(kind)}"
    return f"contains {_told(kind)}, but its name says {_told(named)}; rename it"


@cache
def why_cut_off(path: Path, sha256: str) -> str | None:
    """Return the error with which unpacking a file stops before its end, or None.

    Args:
        path: The file, named after its compression.
        sha256: Hash of its content, part of the cache key.
    """
    try:
        for _ in unpacked(path, codec_of_name(path)):
            pass
    except UNPACK_ERRORS as error:
        return f"cannot be unpacked to its end: {error}"
    return None


def unpacked(path: Path, codec: str, chunk_bytes: int = _CHUNK_BYTES) -> Iterator[bytes]:
    """Yield the unpacked bytes of a file, up to the last complete chunk before an error.

    Raises:
        UNPACK_ERRORS: When the file is damaged.
    """
    with _open_codec(path, codec) as stream:
        while chunk := stream.read1(chunk_bytes):
            yield chunk


def open_text(path: Path, encoding: str, newline: str | None = None) -> io.TextIOWrapper:
    """Open a text file, unpacking it according to its name.

    Bytes that cannot be decoded become U+FFFD.
    """
    stream = cast(BinaryIO, _open_codec(path, codec_of_name(path)))
    return io.TextIOWrapper(stream, encoding=encoding, errors="replace", newline=newline)


def _open_codec(path: Path, codec: str) -> io.BufferedIOBase:
    if codec == "gzip":
        return gzip.open(path)
    if codec == "bzip2":
        return bz2.open(path)
    if codec == "zstd":
        stream: io.BufferedIOBase = pa.CompressedInputStream(pa.OSFile(str(path)), "zstd")
        return stream
    return path.open("rb")


def _told(kind: str) -> str:
    return "plain text" if kind == TEXT else f"{kind} data"
