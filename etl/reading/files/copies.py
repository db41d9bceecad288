"""Text files in a character set that Spark lacks, or with lines to skip, as copies in UTF-8.

A copy is made by Python, because its codecs and Java's differ in names and in single characters.
"""

import codecs
import io
import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from conf.errors import InputError
from conf.runs.inputs.input_files import InputFile
from conf.settings.input import Source
from etl.reading.files.file_kinds import UNPACK_ERRORS, open_text

# The character sets that every Spark reads, by Python's names.
_OF_SPARK = {
    "utf-8": "UTF-8",
    "utf-8-sig": "UTF-8",
    "ascii": "US-ASCII",
    "iso8859-1": "ISO-8859-1",
}
_BYTE_ORDER_MARK = "\ufeff"
_CHUNK_CHARACTERS = 1 << 20


def needs_copy(source: Source) -> bool:
    """Return whether Spark cannot read the files as they are."""
    return source.skip_lines > 0 or spark_encoding(source.encoding) is None


def as_spark_reads(source: Source) -> Source:
    """Return the settings of the files that Spark reads: the copies, or the files themselves."""
    encoding = "UTF-8" if needs_copy(source) else spark_encoding(source.encoding)
    return source.model_copy(update={"encoding": encoding, "skip_lines": 0})


def spark_encoding(encoding: str) -> str | None:
    """Return Spark's name of a character set that it reads itself, else None."""
    return _OF_SPARK.get(codecs.lookup(encoding).name)


def open_after(
    path: Path, encoding: str, skip_lines: int, newline: str | None = None
) -> io.TextIOWrapper:
    """Open a text file after the lines to skip; bytes that cannot be decoded become U+FFFD.

    Args:
        path: The file, named after its compression.
        encoding: Its character set.
        skip_lines: Number of lines to skip.
        newline: As in Python's `open`: "" keeps line breaks unchanged.

    Raises:
        UNPACK_ERRORS: When the file is damaged.
    """
    is_utf8 = spark_encoding(encoding) == "UTF-8"
    stream = open_text(path, "utf-8-sig" if is_utf8 else encoding, newline=newline)
    for _ in range(skip_lines):
        stream.readline()
    return stream


def chunks_of(path: Path, encoding: str, skip_lines: int) -> Iterator[str]:
    """Yield the text of a file after the lines to skip, with its line breaks unchanged.

    Raises:
        UNPACK_ERRORS: When the file is damaged.
    """
    with open_after(path, encoding, skip_lines, newline="") as stream:
        is_first = True
        while chunk := stream.read(_CHUNK_CHARACTERS):
            yield chunk.removeprefix(_BYTE_ORDER_MARK) if is_first else chunk
            is_first = False


def copy_as_utf8(source: Source, file: InputFile, folder: Path) -> Path:
    """Write the lines of a file in UTF-8, without those to skip, and return the copy.

    Raises:
        InputError: When the file is damaged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{file.name}\0{source.encoding}\0{source.skip_lines}"
    path = folder / f"{sha256(name.encode()).hexdigest()[:24]}.copy.txt"
    if path.exists():
        return path  # another log reads the same file
    unfinished = path.with_suffix(f".{os.getpid()}")
    try:
        with unfinished.open("w", encoding="utf-8", errors="replace", newline="") as stream:
            for chunk in chunks_of(file.path, source.encoding, source.skip_lines):
                stream.write(chunk)
    except UNPACK_ERRORS as error:
        raise InputError(
            f"{file.path} cannot be read to its end: {error}; deliver it again"
        ) from error
    return unfinished.rename(path)
