"""Lists as objects of S3 or a store like it: the Parquet files, a manifest, and a pointer.

The pointer is written on the condition that nobody has changed it since it was read. A store that
ignores such conditions would let two deliveries overwrite each other, so it is refused.
"""

import json
import logging
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ValidationError

from conf.errors import TargetDownError, VersionError
from conf.settings.publishing.deliver import S3Target
from conf.workspace.pointers import POINTER_NAME
from serving.delivery.reading import Delivery, Kind
from serving.delivery.s3_store import MissingError, Store
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
)

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
_MOST_TRIES = 10


class _File(BaseModel):
    """A file of a version, in a manifest."""

    path: str
    bytes: int
    sha256: str


class _Manifest(BaseModel):
    """What a delivery needs of the manifest of a version."""

    kinds: dict[str, Counts]
    files: dict[str, tuple[_File, ...]]
    """By kind of lists."""


class Bucket:
    """A bucket that gets the lists."""

    def __init__(self, where: str, settings: S3Target) -> None:
        """Make the client; nothing is sent yet.

        Raises:
            ConfigError: When an address or a region is none.
        """
        self._where, self._store = where, Store(where, settings)
        self._pointer = f"{where}: {settings.bucket}/{self._store.name(POINTER_NAME)}"

    def state(self) -> State | None:
        """Return what `CURRENT.json` says."""
        return self._parsed(self._record()[0])

    def stage(self, label: str, delivery: Delivery) -> dict[str, Counts]:
        """Upload the files of a version: the mark that it is ours first, its manifest last."""
        self._store.require_conditions()
        self._store.write(b"", label, MARK)
        files: dict[str, list[dict[str, Any]]] = {}
        counts = {}
        for kind in delivery.kinds:
            counts[kind.name], files[kind.name] = self._upload(label, kind)
        about = {"version": label, "logical_date": delivery.logical_date, **delivery.identity}
        kinds = {name: count.model_dump() for name, count in counts.items()}
        content = json.dumps({**about, "kinds": kinds, "files": files}, indent=1).encode()
        self._store.write(content, label, MANIFEST)
        return counts

    def counts(self, label: str, delivery: Delivery) -> dict[str, Counts]:
        """Return the counts of the kinds whose objects have the bytes that were sent, else 0."""
        manifest, found = self._manifest(label), {}
        for kind, files in manifest.files.items():
            is_whole = all(self._store.hash(label, file.path) == file.sha256 for file in files)
            found[kind] = manifest.kinds.get(kind, NOTHING) if is_whole else NOTHING
        return found

    def holds(self, version: Version, delivery: Delivery, *, is_current: bool) -> bool:
        """Return whether a version is there, by sizes; of one not current, compare the content."""
        label = version.version
        try:
            files = [file for each in self._manifest(label).files.values() for file in each]
            sizes = self._store.sizes(label)
            if any(sizes.get(self._store.name(label, one.path)) != one.bytes for one in files):
                return False
            return is_current or self.counts(label, delivery) == version.kinds
        except MissingError:
            return False
        except VersionError:
            log.warning(DAMAGED_MANIFEST, self._where, label)
            return False

    def switch(self, change: Change) -> State:
        """Replace `CURRENT.json` on condition; begin again if another delivery was faster."""
        for _ in range(_MOST_TRIES):
            record, tag = self._record()
            old = or_none(self._parsed, record)
            new = change(old)
            if new is old:
                return new
            if not self._store.has(new.current.version, MANIFEST):
                raise TargetDownError(
                    f"{self._where}: another delivery has removed {new.current.version} before it "
                    "was switched to; deliver again"
                )
            content = json.dumps(new.model_dump(mode="json"), indent=1).encode()
            if self._store.write_if(content, tag, POINTER_NAME):
                return new
        raise TargetDownError(f"{self._where}: other deliveries are switching; deliver again later")

    def labels(self) -> Iterable[str]:
        """Return the labels of the versions that have our mark."""
        found = sorted(filter(is_label, self._store.folders()))
        return [label for label in found if self._store.has(label, MARK)]

    def drop(self, label: str) -> None:
        """Remove the objects of a version and its unfinished uploads; manifest first, mark last."""
        state = or_none(self.state)
        if state is not None and label in state.named():
            return
        mark = self._store.name(label, MARK)
        self._store.delete([self._store.name(label, MANIFEST)])
        self._store.abort_uploads(label)
        self._store.delete([name for name in self._store.sizes(label) if name != mark])
        self._store.delete([mark])

    def close(self) -> None:
        """Close the connections."""
        self._store.close()

    def _record(self) -> tuple[bytes | None, str | None]:
        """Return the record as it is stored and the mark of its content; None: there is none."""
        try:
            return self._store.read(POINTER_NAME)
        except MissingError:
            return None, None

    def _parsed(self, record: bytes | None) -> State | None:
        return parsed_state(record, self._pointer, lambda: bool(self.labels()))

    def _manifest(self, label: str) -> _Manifest:
        """Return the manifest of a version.

        Raises:
            VersionError: When it is damaged.
        """
        content, _ = self._store.read(label, MANIFEST)
        try:
            return _Manifest.model_validate_json(content)
        except ValidationError as error:
            name = self._store.name(label, MANIFEST)
            raise VersionError(f"{self._where}: {name} is damaged; deliver again") from error

    def _upload(self, label: str, kind: Kind) -> tuple[Counts, list[dict[str, Any]]]:
        """Upload the files of a kind; with a canary, files with the rows of both versions."""
        rows = lists = 0
        if all(part.in_canary is None for part in kind.parts):
            for table, found in kind.counted():
                rows, lists = rows + table.num_rows, lists + found
            paths = [(part.folder / part.file.path, part.file.path) for part in kind.parts]
            return Counts(rows=rows, lists=lists), [
                self._store.send(path, label, name) for path, name in paths
            ]
        with TemporaryDirectory() as folder:
            with _Files(Path(folder)) as files:
                for table, found in kind.counted():
                    rows, lists = rows + table.num_rows, lists + found
                    files.write(table)
            return Counts(rows=rows, lists=lists), [
                self._store.send(path, label, f"{kind.name}/{path.name}") for path in files.paths
            ]


class _Files:
    """Parquet files; one for each change of the columns, as those of a canary may differ."""

    def __init__(self, folder: Path) -> None:
        self.paths: list[Path] = []
        self._folder = folder
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()

    def write(self, table: pa.Table) -> None:
        if self._writer is None or not self._writer.schema.equals(table.schema):
            self.__exit__()
            self.paths.append(self._folder / f"part-{len(self.paths):05d}.parquet")
            self._writer = pq.ParquetWriter(self.paths[-1], table.schema, write_page_checksum=True)
        self._writer.write_table(table)
