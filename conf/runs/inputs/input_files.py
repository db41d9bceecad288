"""Find the input files and hash their contents.

The hashes go into the key of a dataset: the same inputs and the same configuration give the same
key, on any machine, in any folder.

Paths may hold ids of users. So the stored hashes are not found by path but by a hash of it, and
with pseudonyms a file has another name in all that is written.
"""

import errno
import hashlib
import hmac
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from conf.contract import CACHE_NAME
from conf.errors import HeadraceError, InputError, VersionError
from conf.privacy.file_names import hidden_name, hidden_names, hiding_keys
from conf.privacy.keys import Keys
from conf.settings.config import Config
from conf.settings.input import Source
from conf.workspace.folders import remove
from conf.workspace.hashes import canonical_hash, hash_file
from conf.workspace.json_files import is_there, read_record, write_json
from conf.workspace.storage import raise_storage_failure

log = logging.getLogger(__name__)
UNKNOWN_BYTES = 1 << 62
_SUFFIXES = ("", ".gz", ".bz2", ".zst")  # tried at the end of a glob
UNREAD_SUFFIXES = (".zip", ".xz", ".7z", ".lz4", ".rar", ".lzo", ".snappy", ".deflate", ".Z")
"""Compressed files that are not read."""
_BOOKKEEPING = ("_SUCCESS", "_metadata", "_common_metadata")
_IS_FOLDER = ", which is a folder, so name the files in it as FOLDER/*,"
_BRACKET = "; in a pattern [ab] means one of the letters, and [[] means a bracket"
_WILDCARDS = frozenset("*?[")


@dataclass(frozen=True)
class InputFile:
    """One file of the raw input, or a table of Spark's catalogue."""

    path: Path
    """Its path; for a table its name."""
    name: str
    """Its name as in the ledger: relative to `input.root`, or what stands for that name."""
    bytes: int
    """Its size; for a table UNKNOWN_BYTES."""
    modified_at: float
    """Time of the last change in seconds since 1970; for a table 0."""
    sha256: str
    """Hash of its content; for a table that of its name and `table_version`."""
    hidden: str | None = None
    """Its name relative to `input.root`, if `name` stands for it; else None."""


class FileError(InputError):
    """A file that cannot be found or read."""

    def __init__(self, path: Path, fault: str) -> None:
        """Keep the path apart from the fault, because it may have to be hidden."""
        super().__init__(f"{path} {fault}")
        self.path, self.fault = path, fault


class _Cache(BaseModel):
    """Contents of the cache: hashes by path, size and time."""

    model_config = ConfigDict(extra="forbid")

    files: dict[str, str]


def input_sources(config: Config) -> dict[str, Source]:
    """Return the configured logs (as `events.NAME`) and tables of the raw input, by name."""
    logs = {f"events.{name}": source for name, source in config.input.events.items()}
    tables = {"items": config.input.items, "users": config.input.users}
    return {**logs, **{name: table for name, table in tables.items() if table is not None}}


def fingerprint_inputs(config: Config) -> dict[str, tuple[InputFile, ...]]:
    """Find and hash the files of every input.

    Hashes are stored in the workspace by path, size and modification time, so an unchanged file is
    read only once.

    Raises:
        InputError: When a path matches no file.
    """
    root = Path(config.input.root)
    if not is_folder(root):
        raise InputError(
            f"input.root={str(root)!r} is not a folder that can be opened; set "
            "input.root=FOLDER to the folder that holds the input files"
        )
    sources, keys = input_sources(config), hiding_keys(config.privacy)
    try:
        found = {
            name: matching_files(root, f"input.{name}", source.paths)
            for name, source in sources.items()
            if source.format != "table"
        }
        inputs = _hashed(root, found, Path(config.run.output) / CACHE_NAME, keys)
    except FileError as error:
        if keys is None:
            raise
        hidden = hidden_name(_name(root, error.path), keys)
        raise InputError(f"{hidden} {error.fault}") from None
    if keys is not None:
        inputs = _with_hidden_names(inputs, keys)
    return {name: inputs.get(name) or (_table(source),) for name, source in sources.items()}


def _hashed(
    root: Path, found: Mapping[str, Sequence[Path]], cache_path: Path, keys: Keys | None
) -> dict[str, tuple[InputFile, ...]]:
    """Return the files of each input with their hashes."""
    known, key = _read_cache(cache_path), b"" if keys is None else keys.label
    fresh: dict[str, str] = {}
    inputs = {
        name: tuple(_input_file(root, path, known, fresh, key) for path in paths)
        for name, paths in found.items()
    }
    if fresh != known:
        _write_cache(cache_path, fresh)
    return inputs


def _with_hidden_names(
    inputs: Mapping[str, Sequence[InputFile]], keys: Keys
) -> dict[str, tuple[InputFile, ...]]:
    hidden = hidden_names((file.name for files in inputs.values() for file in files), keys)
    return {
        name: tuple(replace(file, name=hidden[file.name], hidden=file.name) for file in files)
        for name, files in inputs.items()
    }


@contextmanager
def names_hidden_in_errors(inputs: Mapping[str, Sequence[InputFile]]) -> Iterator[None]:
    """Replace the paths of files with hidden names in the messages of errors of the block."""
    shown = {
        text: file.name
        for files in inputs.values()
        for file in files
        if file.hidden is not None
        for text in (str(file.path.absolute()), str(file.path), file.hidden)
    }
    try:
        yield
    except HeadraceError as error:
        told = str(error)
        for text in sorted(shown, key=len, reverse=True):
            told = told.replace(text, shown[text])
        error.args = (told,)
        raise error from None


def matching_files(
    root: Path, key: str, patterns: Sequence[str], setting: str = "paths"
) -> list[Path]:
    """Return the files that patterns find.

    Args:
        root: Folder that they are relative to.
        key: Dotted name of the section, for messages.
        patterns: Globs.
        setting: Name of the setting in it that has the patterns.

    Raises:
        InputError: When one matches no file.
    """
    paths: set[Path] = set()
    for pattern in patterns:
        tried = (_glob(root, pattern + suffix) for suffix in _SUFFIXES)
        # A name without wildcards means one file, a pattern all files that it finds.
        matches = [*chain(*tried)] if _is_pattern(pattern) else next(filter(None, tried), [])
        if not matches:
            raise InputError(
                f"{key}: no file matches {pattern!r}"
                f"{_IS_FOLDER if is_folder(root / pattern) else ''} (nor with "
                f"{', '.join(_SUFFIXES[1:])} at its end) in {root}; "
                f"correct input.root or {key}.{setting}"
                f"{_BRACKET if '[' in pattern else ''}"
            )
        paths.update(matches)
    return sorted(paths)


def unread_siblings(root: Path, source: Source, keys: Keys | None = None) -> list[str]:
    """Return the files next to those of an input that are compressed in a way that is not read.

    Args:
        root: Folder that the paths are relative to.
        source: The input.
        keys: Keys that hide the names of files; None: they are shown.
    """
    if source.format == "table":
        return []
    suffixes = (*UNREAD_SUFFIXES, ".GZ")
    patterns = [pattern + s for pattern in filter(_is_pattern, source.paths) for s in suffixes]
    found = {path for pattern in patterns for path in _glob(root, pattern)}
    read = {path for pattern in source.paths for path in _glob(root, pattern)}
    names = sorted(_name(root, path) for path in found - read)
    return names if keys is None else [hidden_name(name, keys) for name in names]


def _is_pattern(text: str) -> bool:
    return not _WILDCARDS.isdisjoint(text)


def _name(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def _glob(root: Path, pattern: str) -> list[Path]:
    if Path(pattern).is_absolute():
        root, pattern = Path(Path(pattern).anchor), str(Path(pattern).relative_to("/"))
    require_reachable(root, Path(pattern).parts)
    found = {path for path in root.glob(pattern) if not _is_bookkeeping(path)}
    if "[" in pattern and (root / pattern).is_file():
        found.add(root / pattern)  # the name of a file, although it is a pattern too
    return regular_files(sorted(found))


def _is_bookkeeping(path: Path) -> bool:
    """Return whether Spark wrote the file only for its own bookkeeping."""
    return path.name in _BOOKKEEPING or (path.name.startswith(".") and path.suffix == ".crc")


def _table(source: Source) -> InputFile:
    """Return a table of the catalogue as if it were a file."""
    assert source.table is not None  # as the format is 'table'
    made_of = canonical_hash([source.table, source.table_version])
    return InputFile(Path(source.table), source.table, UNKNOWN_BYTES, 0.0, made_of)


def _input_file(
    root: Path, path: Path, known: Mapping[str, str], fresh: dict[str, str], key: bytes
) -> InputFile:
    try:
        stat = path.stat()
        state = f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}"
        place = hmac.new(key, os.fsencode(state), hashlib.sha256).hexdigest()
        digest = known.get(place) or hash_file(path)
    except OSError as error:
        raise unreadable(path, error) from error
    fresh[place] = digest
    return InputFile(path, _name(root, path), stat.st_size, stat.st_mtime, digest)


def _read_cache(path: Path) -> dict[str, str]:
    if not is_there(path):
        return {}
    try:
        return read_record(path, _Cache).files
    except VersionError as error:
        log.warning("etl: the input files are hashed again: %s", error)
        remove(path)
        return {}


def _write_cache(path: Path, cache: dict[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"files": cache})


def is_folder(path: Path) -> bool:
    """Return whether a path leads to a folder; False if it cannot be found out."""
    try:
        return path.is_dir()
    except OSError:
        return False


def require_reachable(folder: Path, parts: Sequence[str]) -> None:
    """Refuse a pattern with a folder on its way that cannot be opened.

    `glob` skips such folders without an error.

    Args:
        folder: Folder in which the pattern begins.
        parts: Parts of the pattern, from there on.

    Raises:
        InputError: Naming the first such folder.
    """
    level = [folder]
    for number, part in enumerate(parts, start=1):
        for place in level:
            _look_into(place, part)
        if number < len(parts):  # the last part finds the files
            level = [found for place in level for found in place.glob(part) if is_folder(found)]


def regular_files(found: Sequence[Path]) -> list[Path]:
    """Return the regular files among the paths; leave out folders.

    Raises:
        InputError: When a path is neither file nor folder: a broken link, a pipe.
    """
    for path in found:
        try:
            is_there, is_plain = path.exists(), path.is_file() or path.is_dir()
        except OSError as error:
            raise unreadable(path, error) from error
        if not is_there:
            raise FileError(path, "is a link that leads nowhere; repair or remove it")
        if not is_plain:
            raise FileError(
                path,
                "is neither a file nor a folder, but a pipe or a device; write its data to a file",
            )
    return [path for path in found if path.is_file()]


def unreadable(path: Path, error: OSError) -> FileError:
    """Return the error for a file or folder that cannot be read.

    Raises:
        StorageError: When not the file but the disk or the file system is the reason.
    """
    if error.errno not in (errno.EACCES, errno.EPERM, errno.EIO):
        raise_storage_failure(error, path)
    return FileError(
        path,
        f"cannot be read: {error.strerror}; give the user of this process the right to read it, "
        "or have it delivered again",
    )


def _look_into(folder: Path, part: str) -> None:
    try:
        if not _is_pattern(part):
            (folder / part).stat()
        else:
            with os.scandir(folder):
                pass
    except (FileNotFoundError, NotADirectoryError):
        return  # nothing is there that a glob could skip
    except OSError as error:
        raise unreadable(folder, error) from error
