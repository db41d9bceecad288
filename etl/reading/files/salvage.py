"""Find damaged files before the job starts, and save their readable lines for quarantine."""

import codecs
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import orc

from conf.errors import InputError
from conf.runs.inputs.input_files import InputFile
from conf.settings.files import TEXT_FORMATS
from conf.settings.input import Source
from conf.workspace.storage import raise_storage_failure
from etl.reading.files.copies import spark_encoding
from etl.reading.files.file_kinds import (
    UNPACK_ERRORS,
    codec_of_name,
    unpacked,
    why_cut_off,
    why_misnamed,
)
from etl.reading.files.first_bytes import TEXT, kind_of_content
from etl.reading.files.quotes import why_never_closed

_SALVAGED_BYTES = 256  # small, because zstd returns nothing of a chunk that it cannot fill
_COMPRESSIONS = (TEXT, "gzip", "bzip2", "zstd")


def split_damaged(
    source: Source, files: Sequence[InputFile]
) -> tuple[list[InputFile], dict[InputFile, str]]:
    """Return the sound files, and for each damaged file what is wrong with it.

    Compressed files are unpacked to check that they are complete only if `damaged_files` is
    `quarantine`; otherwise Spark finds out while it reads them.

    Raises:
        InputError: Listing all damaged files, if `damaged_files` is `stop`.
    """
    faults = {file: _fault(source, file) for file in files}
    damaged = {file: fault for file, fault in faults.items() if fault is not None}
    if damaged and source.damaged_files == "stop":
        told = "; ".join(f"{file.name}: {fault}" for file, fault in damaged.items())
        raise InputError(f"{told} (set damaged_files: quarantine for the input to skip them)")
    return [file for file in files if file not in damaged], damaged


def salvage(file: InputFile, folder: Path, encoding: str = "UTF-8") -> Path:
    """Write the readable lines of a damaged file, or one line that says there are none.

    They are in UTF-8 if Spark does not read the character set of the file.

    Returns:
        The text file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{sha256(file.name.encode()).hexdigest()[:24]}.txt"
    kind = kind_of_content(file.path)
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    is_read_by_spark = spark_encoding(encoding) is not None
    with path.open("wb") as stream:
        if kind in _COMPRESSIONS:
            with suppress(*UNPACK_ERRORS):
                for chunk in unpacked(file.path, kind, _SALVAGED_BYTES):
                    stream.write(chunk if is_read_by_spark else decoder.decode(chunk).encode())
        if stream.tell() == 0:
            stream.write(f"({kind} data of which no line can be read)\n".encode())
    return path


def _fault(source: Source, file: InputFile) -> str | None:
    misnamed = why_misnamed(source, file)
    if misnamed is not None:
        return misnamed
    if source.format in ("parquet", "orc"):
        return _broken_footer(source.format, file.path)
    if source.format not in TEXT_FORMATS:
        return None
    if source.damaged_files == "quarantine" and codec_of_name(file.path) != TEXT:
        cut_off = why_cut_off(file.path, file.sha256)
        if cut_off is not None:
            return cut_off
    with suppress(*UNPACK_ERRORS):  # reported later, when the file is read
        return why_never_closed(source, file.path, file.sha256)
    return None


def _broken_footer(kind: str, path: Path) -> str | None:
    try:
        if kind == "parquet":
            pq.read_metadata(path)
        else:
            orc.ORCFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise_storage_failure(error, path)
        return f"is not a readable {kind} file: {error}"
    return None
