"""Lists as objects of S3 or a store like it: the Parquet files, a manifest, and a pointer.

The pointer is written on the condition that nobody has changed it since it was read. A store that
ignores such conditions would let two deliveries overwrite each other, so it is refused.
"""

import hashlib
import json
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.config import Config as ClientConfig
from botocore.exceptions import BotoCoreError, ClientError

from conf.errors import ConfigError, TargetDownError
from conf.settings.publishing.deliver import S3Target
from conf.workspace.hashes import hash_file
from conf.workspace.pointers import POINTER_NAME
from serving.delivery.reading import Delivery, Kind
from serving.delivery.s3_errors import code_of, is_refused, ours
from serving.delivery.texts import said
from serving.delivery.versions import (
    Change,
    Counts,
    State,
    Version,
    is_label,
    parsed_state,
)

MANIFEST = "manifest.json"
_PROBE = ".probe-"
_MOST_TRIES = 10
_DELETED_AT_ONCE = 1000
_CHUNK_BYTES = 1 << 20
_MIB = 1 << 20


class Bucket:
    """A bucket that gets the lists."""

    def __init__(self, where: str, settings: S3Target) -> None:
        """Make the client; nothing is sent yet."""
        self._where, self._settings = where, settings
        seconds = settings.timeout_seconds
        with self._told():
            self._client: Any = boto3.client(
                "s3",
                endpoint_url=settings.endpoint_url,
                region_name=settings.region,
                aws_access_key_id=settings.access_key,
                aws_secret_access_key=settings.secret_key,
                config=ClientConfig(
                    connect_timeout=seconds,
                    read_timeout=seconds,
                    retries={"total_max_attempts": 3, "mode": "standard"},
                    s3={"addressing_style": "path"} if settings.endpoint_url else {},
                ),
            )
        part = settings.part_mib * _MIB
        self._transfer = TransferConfig(
            multipart_threshold=part, multipart_chunksize=part, max_concurrency=4
        )

    def state(self) -> State | None:
        """Return what `CURRENT.json` says."""
        return self._read()[0]

    def stage(self, label: str, delivery: Delivery) -> dict[str, Counts]:
        """Upload the files of a version, its manifest last."""
        self._require_conditions()
        files: dict[str, list[dict[str, Any]]] = {}
        counts = {}
        for kind in delivery.kinds:
            counts[kind.name], files[kind.name] = self._upload(label, kind)
        about = {"version": label, "logical_date": delivery.logical_date, **delivery.identity}
        kinds = {name: count.model_dump() for name, count in counts.items()}
        content = json.dumps({**about, "kinds": kinds, "files": files}, indent=1).encode()
        with self._told():
            self._client.put_object(Body=content, **self._at(label, MANIFEST))
        return counts

    def counts(self, label: str, delivery: Delivery) -> dict[str, Counts]:
        """Return the counts of the kinds whose objects have the bytes that were sent, else 0."""
        with self._told():
            body = self._client.get_object(**self._at(label, MANIFEST))["Body"]
            manifest = json.loads(body.read())
            found = {}
            for kind, files in manifest["files"].items():
                is_whole = all(self._hash(label, file["path"]) == file["sha256"] for file in files)
                told = manifest["kinds"][kind]
                found[kind] = Counts(**told) if is_whole else Counts(rows=0, lists=0)
        return found

    def holds(self, version: Version, delivery: Delivery, *, is_current: bool) -> bool:
        """Return whether a version is there; of one that is not current, compare the content."""
        try:
            with self._told():
                self._client.head_object(**self._at(version.version, MANIFEST))
                return is_current or self.counts(version.version, delivery) == version.kinds
        except _MissingError:
            return False

    def switch(self, change: Change) -> State:
        """Replace `CURRENT.json` on condition; begin again if another delivery was faster."""
        for _ in range(_MOST_TRIES):
            old, tag = self._read()
            new = change(old)
            if new is old:
                return new
            try:
                with self._told():
                    self._client.head_object(**self._at(new.current.version, MANIFEST))
            except _MissingError:
                raise TargetDownError(
                    f"{self._where}: another delivery has removed {new.current.version} before it "
                    "was switched to; deliver again"
                ) from None
            content = json.dumps(new.model_dump(mode="json"), indent=1).encode()
            if self._put_if(self._name(POINTER_NAME), content, tag):
                return new
        raise TargetDownError(f"{self._where}: other deliveries are switching; deliver again later")

    def labels(self) -> Iterable[str]:
        """Return the labels of versions, also of those with unfinished uploads alone."""
        begin = f"{self._settings.prefix}/"
        found = set()
        with self._told():
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._settings.bucket, Prefix=begin, Delimiter="/"
            )
            for page in pages:
                found |= {one["Prefix"] for one in page.get("CommonPrefixes", ())}
            found |= {upload["Key"] for upload in self._uploads(begin)}
        names = {one.removeprefix(begin).partition("/")[0] for one in found}
        return sorted(filter(is_label, names))

    def drop(self, label: str) -> None:
        """Remove the objects of a version, the manifest first, and its unfinished uploads."""
        state = self.state()
        if state is not None and label in state.named():
            return
        with self._told():
            self._client.delete_object(**self._at(label, MANIFEST))
            begin = f"{self._name(label)}/"
            for upload in self._uploads(begin):
                self._client.abort_multipart_upload(
                    Bucket=self._settings.bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                )
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._settings.bucket, Prefix=begin,
                PaginationConfig={"PageSize": _DELETED_AT_ONCE},
            )  # fmt: skip
            for page in pages:
                names = [{"Key": one["Key"]} for one in page.get("Contents", ())]
                if names:
                    self._client.delete_objects(
                        Bucket=self._settings.bucket, Delete={"Objects": names, "Quiet": True}
                    )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _uploads(self, begin: str) -> Iterator[dict[str, Any]]:
        """Yield the uploads in parts that were not finished."""
        pages = self._client.get_paginator("list_multipart_uploads").paginate(
            Bucket=self._settings.bucket, Prefix=begin
        )
        for page in pages:
            yield from (one for one in page.get("Uploads", ()) if one["Key"].startswith(begin))

    def _name(self, *parts: str) -> str:
        return "/".join((self._settings.prefix, *parts))

    def _at(self, *parts: str) -> dict[str, str]:
        return {"Bucket": self._settings.bucket, "Key": self._name(*parts)}

    def _read(self) -> tuple[State | None, str | None]:
        """Return the record and the mark of its content; None: there is none."""
        try:
            with self._told():
                found = self._client.get_object(**self._at(POINTER_NAME))
                content = found["Body"].read()
        except _MissingError:
            return None, None
        where = f"{self._where}: {self._settings.bucket}/{self._name(POINTER_NAME)}"
        return parsed_state(content, where), found["ETag"]

    def _put_if(self, name: str, content: bytes, tag: str | None) -> bool:
        """Write an object if it has this mark, or, without one, is missing; return whether it was.

        A retry of the client after a lost answer finds the object changed, by itself: so what is
        there is compared.
        """
        condition = {"IfNoneMatch": "*"} if tag is None else {"IfMatch": tag}
        place = {"Bucket": self._settings.bucket, "Key": name}
        with self._told():
            try:
                self._client.put_object(Body=content, **place, **condition)
            except ClientError as error:
                if not is_refused(error):
                    raise
                try:
                    return bool(self._client.get_object(**place)["Body"].read() == content)
                except ClientError as missing:
                    if code_of(missing) in _MISSING:
                        return False
                    raise
        return True

    def _require_conditions(self) -> None:
        """Refuse a store that ignores conditions; a small object of our own shows it."""
        name = self._name(_PROBE + secrets.token_hex(8))
        place = {"Bucket": self._settings.bucket, "Key": name}
        try:
            is_written = self._put_if(name, b"1", None)
            with self._told():
                tag = self._client.head_object(**place)["ETag"]
            is_sound = (
                is_written
                and not self._put_if(name, b"2", None)
                and not self._put_if(name, b"3", '"00000000000000000000000000000000"')
                and self._put_if(name, b"4", tag)
            )
        except ConfigError:
            raise
        finally:
            self._remove_probe(place)
        if not is_sound:
            raise ConfigError(
                f"{self._where}: the store ignores the conditions If-Match and If-None-Match, so "
                "two deliveries could overwrite each other; use a store, or a release of it, that "
                "honours them"
            )

    def _remove_probe(self, place: dict[str, str]) -> None:
        with self._told():
            self._client.delete_object(**place)

    def _upload(self, label: str, kind: Kind) -> tuple[Counts, list[dict[str, Any]]]:
        """Upload the files of a kind; with a canary, files with the rows of both versions."""
        rows = lists = 0
        if all(part.in_canary is None for part in kind.parts):
            for table, found in kind.counted():
                rows, lists = rows + table.num_rows, lists + found
            paths = [(part.folder / part.file.path, part.file.path) for part in kind.parts]
            return Counts(rows=rows, lists=lists), [
                self._send(label, path, name) for path, name in paths
            ]
        with TemporaryDirectory() as folder:
            with _Files(Path(folder)) as files:
                for table, found in kind.counted():
                    rows, lists = rows + table.num_rows, lists + found
                    files.write(table)
            return Counts(rows=rows, lists=lists), [
                self._send(label, path, f"{kind.name}/{path.name}") for path in files.paths
            ]

    def _send(self, label: str, path: Path, name: str) -> dict[str, Any]:
        with self._told():
            self._client.upload_file(
                str(path), self._settings.bucket, self._name(label, name), Config=self._transfer
            )
        return {"path": name, "bytes": path.stat().st_size, "sha256": hash_file(path)}

    def _hash(self, label: str, name: str) -> str:
        digest = hashlib.sha256()
        body = self._client.get_object(**self._at(label, name))["Body"]
        for chunk in body.iter_chunks(_CHUNK_BYTES):
            digest.update(chunk)
        return digest.hexdigest()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn errors of the client and the store into ours; a missing object is one of its own."""
        try:
            yield
        except (BotoCoreError, Boto3Error, ClientError) as error:
            if code_of(error) in _MISSING:
                raise _MissingError from None
            text = said(error, self._settings.secret_key, self._settings.access_key)
            raise ours(self._where, error, text) from None


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


_MISSING = ("404", "NoSuchKey")


class _MissingError(TargetDownError):
    """There is no such object."""

    def __init__(self) -> None:
        super().__init__("an object is gone: another delivery has removed it; deliver again")
