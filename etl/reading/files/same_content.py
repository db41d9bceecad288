"""Find files with the same content, compressed or not, whatever their names.

Unpacking is expensive, so it comes last: files with other first bytes, or with another length where
that can be known, differ in content.
"""

import mmap
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from hashlib import sha256 as new_digest
from pathlib import Path

from conf.runs.inputs.input_files import InputFile
from etl.reading.files.file_kinds import UNPACK_ERRORS, codec_of_name, unpacked
from etl.reading.files.first_bytes import TEXT

_HEAD_BYTES = 1 << 16
_LENGTH_LIMIT = 1 << 32  # gzip stores the length modulo this
# Header of a gzip member; by chance, such bytes are in one of 200 GB.
_MEMBER = re.compile(rb"\x1f\x8b\x08[\x00-\x1f].{4}[\x00\x02\x04][\x00-\x0d\xff]", re.DOTALL)


def hash_contents(files: Sequence[InputFile]) -> dict[InputFile, str]:
    """Return a text for each file; two are equal exactly if the unpacked files are.

    A file that cannot be unpacked is equal to its exact copies only.

    Args:
        files: Files of one input.
    """
    hashes = {file: file.sha256 for file in files}
    if all(codec_of_name(file.path) == TEXT for file in files):
        return hashes
    one_of_each = {file.sha256: file for file in files}
    contents = dict(_unpacked(one_of_each.values()))
    return {file: contents.get(digest, digest) for file, digest in hashes.items()}


def _unpacked(files: Iterable[InputFile]) -> Iterator[tuple[str, str]]:
    """Yield the hash of the file and of its content, for those that may have a twin."""
    alike: dict[bytes, list[InputFile]] = defaultdict(list)
    for file in files:
        with suppress(*UNPACK_ERRORS):
            alike[_head(file.path, file.sha256)].append(file)
    for group in (several for several in alike.values() if len(several) > 1):
        lengths = [_length(file.path, file.sha256) for file in group]
        for file, length in zip(group, lengths, strict=True):
            if length is None or lengths.count(length) + lengths.count(None) > 1:
                with suppress(*UNPACK_ERRORS):
                    yield file.sha256, _content_hash(file.path, file.sha256)


@cache
def _head(path: Path, _sha256: str) -> bytes:
    """Return a hash of the first bytes of a file's content.

    Raises:
        UNPACK_ERRORS: When the file is damaged.
    """
    head = bytearray()
    for chunk in unpacked(path, codec_of_name(path), _HEAD_BYTES):
        head += chunk
        if len(head) >= _HEAD_BYTES:
            break
    return new_digest(head[:_HEAD_BYTES]).digest()


@cache
def _length(path: Path, _sha256: str) -> int | None:
    """Return the length of a file's content modulo 2^32, None if only unpacking can show it."""
    codec, size = codec_of_name(path), path.stat().st_size
    if codec == TEXT or size == 0:
        return size % _LENGTH_LIMIT
    if codec != "gzip":
        return None
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        # A gzip file ends in the length of its last member, unless zero bytes follow. A sound file
        # that ends in a zero byte has less than 16 MiB to unpack.
        if data[-1] == 0 or _MEMBER.search(data, 1) is not None:
            return None
        return int.from_bytes(data[-4:], "little")


@cache
def _content_hash(path: Path, sha256: str) -> str:
    codec = codec_of_name(path)
    if codec == TEXT:
        return sha256
    digest = new_digest()
    for chunk in unpacked(path, codec):
        digest.update(chunk)
    return digest.hexdigest()
