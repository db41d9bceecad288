"""Compare what a file is by its first bytes with what its name and its format say.

Spark only looks at the name: it reads a gzip file named .csv as lines of garbage, and fails on a
plain file named .gz in the middle of the job.
"""

import bz2
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa

from conf.runs.inputs.input_files import UNREAD_SUFFIXES, InputFile
from conf.settings.files import TEXT_FORMATS
from conf.settings.input import Source
from etl.reading.files.first_bytes import (
    NUM_BYTES,
    TEXT,
    described,
    fix_of,
    is_compression,
    kind_of_bytes,
    kind_of_content,
)
from etl.reading.files.padding import end_of_gzip, length_without_padding

# Case-sensitive, as in Hadoop's codecs.
_CODEC_OF_SUFFIX = {".gz": "gzip", ".bz2": "bzip2", ".zst": "zstd"}
_WIDE_ENCODINGS = ("16", "32", "ucs", "auto")
_CHUNK_BYTES = 1 << 20
_PACKED_TIMES = 10
"""How many times as large as a packed file its rows are."""

UNPACK_ERRORS = (EOFError, OSError, ValueError, zlib.error)


def codec_of_name(path: Path) -> str:
    """Return the compression that Spark assumes for a text file, `text` for none."""
    return _CODEC_OF_SUFFIX.get(path.suffix, TEXT)


def unpacked_bytes(source: Source, file: InputFile) -> int:
    """Return about how many bytes the rows of a file have as plain text."""
    is_plain = source.format in TEXT_FORMATS and codec_of_name(file.path) == TEXT
    return file.bytes * (1 if is_plain else _PACKED_TIMES)


def why_misnamed(source: Source, file: InputFile) -> str | None:
    """Return how a file's content differs from its name and format, or None."""
    is_text = source.format in TEXT_FORMATS
    if is_text and file.path.suffix in UNREAD_SUFFIXES:
        return f"{file.path.suffix} files are not supported; compress it as .gz, .bz2 or .zst"
    if is_text and file.path.stat().st_size == 0:
        return None  # an empty delivery, whatever its name
    named = codec_of_name(file.path) if is_text else source.format
    kind = kind_of_content(file.path)
    if not is_text:
        told = described(kind)
        return None if kind == named else f"is not a {named} file or is cut off, it contains {told}"
    if kind == named and is_compression(kind):
        kind, named = _kind_inside(file.path, kind), TEXT
        if is_compression(kind):
            return "is compressed twice; unpack it once"
    if kind == named:
        return _why_no_lines(source, file.path)
    if kind.startswith("utf-") and any(part in source.encoding.lower() for part in _WIDE_ENCODINGS):
        return None
    if is_compression(kind) or kind == TEXT:
        return f"contains {described(kind)}, but its name says {described(named)}; {fix_of(kind)}"
    return f"contains {described(kind)}, not {source.format}; {fix_of(kind)}"


def _kind_inside(path: Path, codec: str) -> str:
    """Return what a compressed file contains, text if it cannot be unpacked."""
    with suppress(*UNPACK_ERRORS):
        # Without the end of the content, a columnar file cannot be told from a text.
        return kind_of_bytes(next(unpacked(path, codec, NUM_BYTES), b""))
    return TEXT


def _why_no_lines(source: Source, path: Path) -> str | None:
    """Return that a file of JSON lines is one JSON array, or None."""
    if source.format != "jsonl":
        return None
    with suppress(*UNPACK_ERRORS):
        lines = next(unpacked(path, codec_of_name(path)), b"").removeprefix(b"\xef\xbb\xbf").split()
        if lines and (lines[0] == b"[" or lines[0].startswith(b"[{")):
            return "is one JSON array, not one object a line; write each object on its own line"
    return None


@cache
def why_cut_off(path: Path, sha256: str) -> str | None:
    """Return the error with which unpacking a file stops before its end, or None.

    Args:
        path: The file, named after its compression.
        sha256: Hash of its content, part of the cache key.
    """
    codec = codec_of_name(path)
    try:
        if codec == "gzip":
            end_of_gzip(path)
        else:
            for _ in unpacked(path, codec):
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
    if path.stat().st_size == 0:
        return path.open("rb")  # an empty delivery
    if codec == "gzip":
        return gzip.open(path)
    if codec == "bzip2":
        return bz2.open(path)
    if codec == "zstd":
        length = length_without_padding(path, codec)
        content = pa.memory_map(str(path)).read_buffer(length)
        stream: io.BufferedIOBase = pa.CompressedInputStream(pa.BufferReader(content), "zstd")
        return stream
    return path.open("rb")
