"""Zero bytes after the end of a compressed file, as tapes and some copy programs leave them.

Other programs ignore them; Spark fails on them, so they are cut off before Spark reads the file.
"""

import shutil
import zlib
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from conf.runs.inputs.input_files import InputFile

_PACKED_BYTES = 1 << 16
_GZIP = 31  # the format that zlib is to expect
_GZIP_MAGIC = b"\x1f\x8b"
_MOST_ZEROS_OF_A_FRAME = 8


def length_without_padding(path: Path, codec: str) -> int:
    """Return the length of a file without the zero bytes after the end of a gzip or zstd file.

    It is the whole length if the file is damaged in another way.
    """
    size = path.stat().st_size
    # A sound file ends in a zero byte if it is short, or by chance: then unpacking it is cheap.
    if size == 0 or codec not in ("gzip", "zstd") or not _ends_in_zero(path):
        return size
    if codec == "gzip":
        try:
            return end_of_gzip(path)
        except (EOFError, ValueError, zlib.error):
            return size
    least = _length_without_zeros(path)
    lengths = [size, *range(least, min(least + _MOST_ZEROS_OF_A_FRAME, size))]
    return next((length for length in lengths if _is_zstd(path, length)), size)


def end_of_gzip(path: Path) -> int:
    """Return where the last member of a gzip file ends; only zero bytes may follow.

    Raises:
        EOFError: When the file is cut off.
        ValueError, zlib.error: When it is damaged, or other bytes follow.
    """
    position = end = 0
    is_padded, member = False, None
    with path.open("rb") as stream:
        while chunk := stream.read(_PACKED_BYTES):
            position += len(chunk)
            while chunk:
                if member is None:
                    rest = chunk.lstrip(b"\0") if position > len(chunk) or end else chunk
                    is_padded = is_padded or len(rest) < len(chunk)
                    if not rest:
                        break
                    if is_padded or not _GZIP_MAGIC.startswith(rest[:2]):
                        raise ValueError("bytes that are no gzip data follow its end")
                    chunk, member = rest, zlib.decompressobj(_GZIP)
                member.decompress(chunk)
                chunk = member.unused_data
                if member.eof:
                    end, member = position - len(chunk), None
    if member is not None:
        raise EOFError("it ends before its end-of-stream marker")
    return end


def without_padding(file: InputFile, folder: Path | None, codec: str) -> InputFile:
    """Return the file, or a copy in `folder` without the zero bytes after its end."""
    length = length_without_padding(file.path, codec)
    if length == file.path.stat().st_size:
        return file
    assert folder is not None  # the stage passes one
    folder.mkdir(parents=True, exist_ok=True)
    copy = folder / f"{file.sha256[:24]}{file.path.suffix}"
    with file.path.open("rb") as stream, copy.open("wb") as target:
        shutil.copyfileobj(stream, target)
        target.truncate(length)
    return replace(file, path=copy)


def _is_zstd(path: Path, length: int) -> bool:
    content = pa.BufferReader(pa.memory_map(str(path)).read_buffer(length))
    try:
        with pa.CompressedInputStream(content, "zstd") as stream:
            while stream.read(1 << 20):
                pass
    except OSError:
        return False
    return True


def _ends_in_zero(path: Path) -> bool:
    with path.open("rb") as stream:
        stream.seek(-1, 2)
        return stream.read() == b"\0"


def _length_without_zeros(path: Path) -> int:
    end = path.stat().st_size
    with path.open("rb") as stream:
        while end > 0:
            start = max(0, end - _PACKED_BYTES)
            stream.seek(start)
            left = stream.read(end - start).rstrip(b"\0")
            if left:
                return start + len(left)
            end = start
    return 0
