"""Lists as files in a folder: JSON lines or CSV, a folder for each version, and a pointer."""

import gzip
import hashlib
import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
from filelock import FileLock, Timeout
from pydantic import BaseModel

from conf.errors import ConfigError, StorageError, TargetDownError, VersionError
from conf.settings.publishing.deliver import FilesTarget
from conf.workspace.folders import listed, remove
from conf.workspace.hashes import hash_file
from conf.workspace.json_files import is_there, read_json, read_record, sync_folder, write_json
from conf.workspace.pointers import POINTER_NAME
from conf.workspace.storage import raise_storage_failure
from serving.delivery.forms import Forms
from serving.delivery.reading import Delivery, Kind
from serving.delivery.versions import (
    DAMAGED_MANIFEST,
    MARK,
    NOTHING,
    Change,
    Counts,
    State,
    Version,
    is_label,
    or_none,
    parsed_state,
    unreadable,
)

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
_LOCK = ".deliver.lock"
_LEVEL = 6  # of compression; 9 takes several times as long


class _File(BaseModel):
    """The file of a kind of lists, in a manifest."""

    path: str
    bytes: int
    sha256: str
    rows: int
    lists: int


class _Manifest(BaseModel):
    """What a reader needs of the manifest of a version."""

    files: dict[str, _File]
    """By kind of lists."""


class Folder:
    """A folder that gets the lists."""

    def __init__(self, where: str, settings: FilesTarget) -> None:
        """Make the folder if it is missing.

        Raises:
            ConfigError: When it is no folder.
            StorageError: When it cannot be made.
        """
        self._where, self._settings = where, settings
        self._root = Path(settings.path)
        with self._told():
            try:
                self._root.mkdir(parents=True, exist_ok=True)
            except (FileExistsError, NotADirectoryError) as error:
                raise ConfigError(
                    f"{where}.path={settings.path!r} is no folder; name another one"
                ) from error

    def state(self) -> State | None:
        """Return what `CURRENT.json` says."""
        path = self._root / POINTER_NAME
        where = f"{self._where}: {path}"
        with self._told():
            if not is_there(path):
                return None
            try:
                record = read_json(path)
            except VersionError as error:
                content = path.read_bytes() if path.is_file() else None
                raise unreadable(content, where, self._has_versions) from error
            return parsed_state(record, where, self._has_versions)

    def stage(self, label: str, delivery: Delivery) -> dict[str, Counts]:
        """Write the files of a version: the mark that it is ours first, its manifest last."""
        folder, files, counts = self._root / label, {}, {}
        with self._told():
            folder.mkdir()
            (folder / MARK).touch()
            for kind in delivery.kinds:
                path = folder / self._name(kind.name)
                counts[kind.name], digest = self._write(path, kind)
                size = path.stat().st_size
                files[kind.name] = {
                    "path": path.name, "bytes": size, "sha256": digest,
                    **counts[kind.name].model_dump(),
                }  # fmt: skip
            sync_folder(folder)
            about = {"version": label, "logical_date": delivery.logical_date}
            write_json(folder / MANIFEST, {**about, **delivery.identity, "files": files})
        return counts

    def counts(self, label: str, delivery: Delivery) -> dict[str, Counts]:
        """Return the counts of the files whose bytes are those that were written, else 0."""
        folder, found = self._root / label, {}
        with self._told():
            for kind, file in read_record(folder / MANIFEST, _Manifest).files.items():
                is_whole = hash_file(folder / file.path) == file.sha256
                counts = Counts(rows=file.rows, lists=file.lists)
                found[kind] = counts if is_whole else NOTHING
        return found

    def holds(self, version: Version, delivery: Delivery, *, is_current: bool) -> bool:
        """Return whether the files of a version are there; of one not current, by their hashes."""
        folder = self._root / version.version
        with self._told():
            if not (folder / MANIFEST).is_file():
                return False
            try:
                files = read_record(folder / MANIFEST, _Manifest).files.values()
            except VersionError:
                log.warning(DAMAGED_MANIFEST, self._where, version.version)
                return False
            sizes = {folder / file.path: file.bytes for file in files}
            if not all(
                path.is_file() and path.stat().st_size == size for path, size in sizes.items()
            ):
                return False
        return is_current or self.counts(version.version, delivery) == version.kinds

    def switch(self, change: Change) -> State:
        """Replace `CURRENT.json` in one step, while no other delivery does."""
        with self._told(), self._locked():
            old = or_none(self.state)
            new = change(old)
            if new is old:
                return new
            if not (self._root / new.current.version / MANIFEST).is_file():
                raise TargetDownError(
                    f"{self._where}: another delivery has removed {new.current.version} from "
                    f"{self._root} before it was switched to; deliver again"
                )
            write_json(self._root / POINTER_NAME, new.model_dump(mode="json"))
        return new

    def labels(self) -> Iterable[str]:
        """Return the names of the folders of versions that have our mark, or nothing at all yet."""
        with self._told():
            return [
                path.name
                for path in listed(self._root)
                if is_label(path.name) and (is_there(path / MARK) or not listed(path))
            ]

    def drop(self, label: str) -> None:
        """Remove the folder of a version: its manifest first, our mark last."""
        with self._told(), self._locked():
            state, folder = or_none(self.state), self._root / label
            if is_there(folder) and (state is None or label not in state.named()):
                (folder / MANIFEST).unlink(missing_ok=True)
                for path in listed(folder):
                    if path.name != MARK:
                        remove(path)
                remove(folder)

    def close(self) -> None:
        """Do nothing: there is no connection."""

    def _has_versions(self) -> bool:
        return any(is_there(path / MARK) for path in listed(self._root) if is_label(path.name))

    def _name(self, kind: str) -> str:
        return f"{kind}.{self._settings.kind}" + (".gz" if self._settings.gzip else "")

    def _write(self, path: Path, kind: Kind) -> tuple[Counts, str]:
        """Write the lists of a kind; return the counts and the SHA-256 of the file."""
        rows = lists = 0
        with _hashing(path) as (stream, digest):
            for content, num_rows, num_lists in self._contents(kind):
                stream.write(content)
                rows, lists = rows + num_rows, lists + num_lists
        return Counts(rows=rows, lists=lists), digest.hexdigest()

    def _contents(self, kind: Kind) -> Iterator[tuple[bytes, int, int]]:
        forms = Forms(kind.name)
        if self._settings.kind == "csv":
            yield forms.csv(pa.table({}), has_header=True), 0, 0
        for table, found in kind.counted():
            is_csv = self._settings.kind == "csv"
            yield forms.csv(table) if is_csv else forms.json_lines(table), table.num_rows, found

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = FileLock(self._root / _LOCK, timeout=self._settings.timeout_seconds)
        try:
            with lock:
                yield
        except Timeout as error:
            raise TargetDownError(
                f"{self._where}: another delivery has the lock {self._root / _LOCK} for more than "
                f"{self._settings.timeout_seconds} seconds; try again later"
            ) from error

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn failures of the file system into errors that name the target."""
        try:
            yield
        except OSError as error:
            raise_storage_failure(error, self._root)
            raise StorageError(f"{self._where}: {self._root}: {error}") from error


class _Hashing:
    """A stream that hashes what passes through it."""

    def __init__(self, stream: IO[bytes], digest: Any) -> None:
        self._stream, self._digest = stream, digest

    def write(self, content: bytes) -> int:
        self._digest.update(content)
        return self._stream.write(content)

    def flush(self) -> None:
        self._stream.flush()


@contextmanager
def _hashing(path: Path) -> Iterator[tuple[Any, Any]]:
    """Yield a stream into a new file, compressed if its name says so, and the hash of the file."""
    digest = hashlib.sha256()
    with path.open("xb") as file:
        target: Any = _Hashing(file, digest)
        if path.suffix == ".gz":
            with gzip.GzipFile("", "wb", _LEVEL, fileobj=target, mtime=0) as packed:
                yield packed, digest
        else:
            yield target, digest
        file.flush()
        os.fsync(file.fileno())
