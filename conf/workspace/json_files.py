"""Our JSON files: written in one step, with a checksum; read with every doubt about them told.

The checksum is over the values, so that a file may be laid out anew. Files of older releases have
none, and only their form is checked.
"""

import hashlib
import json
import math
import os
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError

from conf.contract import DataFile
from conf.errors import VersionError
from conf.workspace.hashes import canonical_hash
from conf.workspace.mending import LONGEST, mend, told_value
from conf.workspace.storage import raise_storage_failure

CHECKSUM = "checksum"  # last key of a mapping: the SHA-256 of all others
_PRIVATE, _USUAL = 0o600, 0o666
_KINDS = {
    stat.S_IFDIR: "a folder", stat.S_IFLNK: "a link", stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
}  # fmt: skip
Record = TypeVar("Record", bound=BaseModel)


def is_there(path: Path) -> bool:
    """Return whether something has this name, be it a link that leads nowhere.

    Raises:
        StorageError: When that cannot be seen, such as for want of a right: it may be there.
    """
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise_storage_failure(error, path)
        raise
    return True


def read_json(path: Path, keys: Collection[str] | None = None) -> dict[str, Any]:
    """Return the mapping in a JSON file that `write_json` wrote, without the checksum.

    Args:
        path: The file.
        keys: The keys that it may have; None: any.

    Raises:
        VersionError: When it is damaged, has been changed, or is not a plain file.
    """
    value = parsed(path, read_plain(path))
    expected = value.pop(CHECKSUM, None)
    if expected is not None and expected != canonical_hash(value):
        raise VersionError(
            f"{path} is damaged: its checksum does not fit its content; {mend(path)}"
        )
    unknown = [] if keys is None else [key for key in value if key not in keys]
    if unknown:
        key = told_value(unknown[0])
        raise VersionError(f"{path} is damaged: its key {key} is not known; {mend(path)}")
    return value


def read_record(path: Path, model: type[Record]) -> Record:
    """Return the record in a JSON file.

    Raises:
        VersionError: When it is damaged, or of a release with other keys or types.
    """
    text = json.dumps(read_json(path))
    try:
        return model.model_validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))[:LONGEST] or "as a whole"
        raise VersionError(
            f"{path} is damaged or of another release: {where}: {first['msg']}; {mend(path)}"
        ) from error


def read_checked(path: Path, model: type[BaseModel]) -> dict[str, Any]:
    """Return the mapping in a JSON file as it is, after checking that it is such a record.

    Raises:
        VersionError: See `read_record`.
    """
    read_record(path, model)
    return read_json(path)


def read_named(path: Path, file: DataFile) -> dict[str, Any]:
    """Return the mapping in a JSON file that a manifest names.

    Args:
        path: The file.
        file: Its entry.

    Raises:
        VersionError: When it is not the file that was entered, or damaged.
    """
    content = read_plain(path)
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise VersionError(
            f"{path} is not the file that its manifest was written with (SHA-256 differs); "
            f"{mend(path)}"
        )
    return parsed(path, content)


def parsed(path: Path, content: bytes) -> dict[str, Any]:
    """Return the mapping in the content of a file.

    Raises:
        VersionError: When it is none: also for a key that occurs twice, and for numbers that are
            not finite, which JSON does not have.
    """
    if not content.strip():
        raise VersionError(f"{path} is damaged: it is empty; {mend(path)}")
    try:
        value = json.loads(
            content, object_pairs_hook=_each_once, parse_constant=_refused, parse_float=_finite
        )
    except (ValueError, RecursionError) as error:
        raise VersionError(f"{path} is damaged: {error}; {mend(path)}") from error
    if not isinstance(value, dict):
        raise VersionError(f"{path} is damaged: it holds no mapping; {mend(path)}")
    return value


def read_plain(path: Path) -> bytes:
    """Return the content of a plain file; links are not followed, and pipes not waited for.

    Raises:
        VersionError: When it is missing, or something else.
    """
    try:
        kind = stat.S_IFMT(path.lstat().st_mode)
        if kind != stat.S_IFREG:
            told = _KINDS.get(kind, "something else")
            raise VersionError(f"{path} is {told}, not a plain file; {mend(path)}")
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as stream:
            return stream.read()
    except OSError as error:
        raise_storage_failure(error, path)
        raise VersionError(f"{path} cannot be read: {error.strerror}; {mend(path)}") from error


def write_json(path: Path, value: Any, *, sealed: bool = True, private: bool = False) -> None:
    """Replace a JSON file in one step; the result survives a crash of the machine.

    Args:
        path: The file.
        value: Its content.
        sealed: Whether a mapping gets a checksum.
        private: Whether only the owner may read the file.
    """
    if sealed and isinstance(value, dict):
        plain = json.loads(json.dumps(value))  # as it will be read: keys are texts
        value = {**plain, CHECKSUM: canonical_hash(plain)}
    with written_whole(path, private=private) as stream:
        stream.write(json.dumps(value, indent=1).encode())


@contextmanager
def written_whole(path: Path, *, private: bool = False) -> Iterator[BinaryIO]:
    """Yield a stream whose content replaces a file at the end of the block, in one step.

    If the block fails, the old file stays, and nothing of the new one is left.

    Args:
        path: The file.
        private: Whether only the owner may read it.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    mode = _PRIVATE if private else _USUAL
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Write a folder's entries to the disk, so that a rename in it survives a crash."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {told_value(twice)} occurs twice")
    return found


def _refused(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:20]} is too large")
    return number
