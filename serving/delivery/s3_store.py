"""A store with the interface of S3, below one prefix: its objects, and its errors as ours."""

import hashlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from boto3.exceptions import Boto3Error, S3UploadFailedError
from boto3.s3.transfer import TransferConfig
from botocore.config import Config as ClientConfig
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ReadTimeoutError,
)

from conf.errors import ConfigError, HeadraceError, StorageError, TargetDownError
from conf.settings.publishing.deliver import S3Target
from conf.workspace.hashes import hash_file
from serving.delivery.texts import said

_PROBE = ".probe-"
_DELETED_AT_ONCE = 1000
_CHUNK_BYTES = 1 << 20
_MIB = 1 << 20
_MISSING = ("404", "NoSuchKey")
_REFUSED = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")
_WRONG = (
    "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "AllAccessDisabled",
    "ExpiredToken", "InvalidToken", "TokenRefreshRequired", "403", "401", "NoSuchBucket",
    "InvalidBucketName", "PermanentRedirect", "AuthorizationHeaderMalformed", "301",
)  # fmt: skip
_FULL = ("InsufficientStorage", "QuotaExceeded", "XMinioStorageFull", "EntityTooLarge", "507")
_BUSY = ("SlowDown", "RequestTimeout", "InternalError", "ServiceUnavailable")
_CREDENTIALS = (
    NoCredentialsError, PartialCredentialsError, CredentialRetrievalError, NoRegionError,
)  # fmt: skip


class MissingError(TargetDownError):
    """There is no such object."""

    def __init__(self, where: str, name: str) -> None:
        """Take what messages call the target, and the whole name of the object."""
        super().__init__(
            f"{where}: the object {name} is gone: another delivery has removed it; deliver again"
        )


class Store:
    """The objects below the prefix of a target; names are parts that are joined by `/`.

    All methods raise errors of ours, `MissingError` for an object that is not there.
    """

    def __init__(self, where: str, settings: S3Target) -> None:
        """Make the client; nothing is sent yet.

        Args:
            where: What messages call the target.
            settings: Its settings.

        Raises:
            ConfigError: When an address or a region is none.
        """
        self._where, self._settings, self._bucket = where, settings, settings.bucket
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

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def name(self, *parts: str) -> str:
        """Return the whole name of an object."""
        return "/".join((self._settings.prefix, *parts))

    def has(self, *parts: str) -> bool:
        """Return whether there is an object."""
        try:
            with self._told(*parts):
                self._client.head_object(**self._at(*parts))
        except MissingError:
            return False
        return True

    def read(self, *parts: str) -> tuple[bytes, str]:
        """Return the content of an object, and the mark of its content."""
        with self._told(*parts):
            found = self._client.get_object(**self._at(*parts))
            return found["Body"].read(), found["ETag"]

    def hash(self, *parts: str) -> str:
        """Return the SHA-256 of an object."""
        digest = hashlib.sha256()
        with self._told(*parts):
            body = self._client.get_object(**self._at(*parts))["Body"]
            for chunk in body.iter_chunks(_CHUNK_BYTES):
                digest.update(chunk)
        return digest.hexdigest()

    def write(self, content: bytes, *parts: str) -> None:
        """Write a small object."""
        with self._told(*parts):
            self._client.put_object(Body=content, **self._at(*parts))

    def send(self, path: Path, label: str, name: str) -> dict[str, Any]:
        """Upload a file, in parts if it is large; return its name, size in bytes and SHA-256."""
        with self._told(label, name):
            self._client.upload_file(
                str(path), self._bucket, self.name(label, name), Config=self._transfer
            )
        return {"path": name, "bytes": path.stat().st_size, "sha256": hash_file(path)}

    def write_if(self, content: bytes, tag: str | None, *parts: str) -> bool:
        """Write an object if it has this mark, or, without one, is missing; return whether it was.

        A retry of the client after a lost answer finds the object changed, by itself: so what is
        there is compared.
        """
        condition = {"IfNoneMatch": "*"} if tag is None else {"IfMatch": tag}
        with self._told(*parts):
            try:
                self._client.put_object(Body=content, **self._at(*parts), **condition)
            except ClientError as error:
                if _code_of(error) not in _REFUSED:
                    raise
                try:
                    return self.read(*parts)[0] == content
                except MissingError:
                    return False
        return True

    def require_conditions(self) -> None:
        """Refuse a store that ignores conditions; a small object of our own shows it.

        Raises:
            ConfigError: When it does.
        """
        name = _PROBE + secrets.token_hex(8)
        try:
            is_sound = (
                self.write_if(b"1", None, name)
                and not self.write_if(b"2", None, name)
                and not self.write_if(b"3", '"00000000000000000000000000000000"', name)
                and self.write_if(b"4", self.read(name)[1], name)
            )
        finally:
            with self._told(name):
                self._client.delete_object(**self._at(name))
        if not is_sound:
            raise ConfigError(
                f"{self._where}: the store ignores the conditions If-Match and If-None-Match, so "
                "two deliveries could overwrite each other; use a store, or a release of it, that "
                "honours them"
            )

    def folders(self) -> set[str]:
        """Return what the names of objects have directly after the prefix, before a `/`."""
        begin, found = self.name(""), set()
        with self._told():
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=begin, Delimiter="/"
            )
            for page in pages:
                found |= {one["Prefix"] for one in page.get("CommonPrefixes", ())}
        return {one.removeprefix(begin).partition("/")[0] for one in found}

    def sizes(self, folder: str) -> dict[str, int]:
        """Return the bytes of each object in a folder, by whole name."""
        with self._told():
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self.name(folder, "")
            )
            return {one["Key"]: one["Size"] for page in pages for one in page.get("Contents", ())}

    def delete(self, names: list[str]) -> None:
        """Delete objects by their whole names, in this order.

        A store answers with success although it keeps some, and names those.
        """
        for start in range(0, len(names), _DELETED_AT_ONCE):
            given = [{"Key": name} for name in names[start : start + _DELETED_AT_ONCE]]
            with self._told():
                answer = self._client.delete_objects(
                    Bucket=self._bucket, Delete={"Objects": given, "Quiet": True}
                )
                kept = [one for one in answer.get("Errors", ()) if one.get("Code") not in _MISSING]
                if kept:
                    what = f"{len(kept)} of the objects, such as {kept[0].get('Key')}"
                    text = f"the store did not delete {what}: "
                    told = {**kept[0], "Message": text + str(kept[0].get("Message"))}
                    raise ClientError({"Error": told}, "DeleteObjects")

    def abort_uploads(self, folder: str) -> None:
        """Remove the parts of uploads to a folder that were not finished."""
        begin = self.name(folder, "")
        with self._told():
            pages = self._client.get_paginator("list_multipart_uploads").paginate(
                Bucket=self._bucket, Prefix=begin
            )
            for upload in (one for page in pages for one in page.get("Uploads", ())):
                if upload["Key"].startswith(begin):
                    self._client.abort_multipart_upload(
                        Bucket=self._bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                    )

    def _at(self, *parts: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self.name(*parts)}

    @contextmanager
    def _told(self, *parts: str) -> Iterator[None]:
        """Turn errors of the client and the store into ours.

        Args:
            parts: Of the name of the object that is asked for; none: another thing is.
        """
        try:
            yield
        except (BotoCoreError, Boto3Error, ClientError) as error:
            if _code_of(error) in _MISSING:
                raise MissingError(self._where, self.name(*parts)) from None
            text = said(error, self._settings.secret_key, self._settings.access_key)
            raise _ours(self._where, error, text) from None
        except ValueError as error:
            if isinstance(error, HeadraceError):
                raise
            text = said(error, self._settings.secret_key, self._settings.access_key)
            raise ConfigError(f"{self._where}: {text}; correct its settings") from None


def _code_of(error: BaseException) -> str:
    """Return the code of a store's answer; empty if there was none."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ClientError):
        cause = cause.__cause__ or cause.__context__
    return "" if cause is None else str(cause.response.get("Error", {}).get("Code", ""))


def _ours(where: str, error: BaseException, text: str) -> HeadraceError:
    """Return the error that tells whether a retry helps.

    Args:
        where: What messages call the target.
        error: Of boto3.
        text: What it says, without credentials.
    """
    code = _code_of(error)
    if isinstance(error, _CREDENTIALS) or code in _WRONG:
        return ConfigError(
            f"{where}: {text}; correct bucket, region, access_key and secret_key, or the variables "
            "that they come from, or grant the rights to read, write, list and delete objects"
        )
    if code == "NotImplemented":
        return ConfigError(
            f"{where}: {text}: the store lacks an operation that deliveries need; use another one"
        )
    if code in _FULL:
        return StorageError(f"{where}: the store is full: {text}; make room")
    is_cut_off = isinstance(error, ConnectionError | HTTPClientError | ReadTimeoutError)
    if is_cut_off or isinstance(error, S3UploadFailedError) or _is_of_server(error):
        return TargetDownError(f"{where}: the store is down or busy: {text}; try again later")
    if isinstance(error, BotoCoreError):
        return ConfigError(f"{where}: {text}; correct its settings")
    return HeadraceError(f"{where}: {text}")


def _is_of_server(error: BaseException) -> bool:
    """Return whether a store says that it is the store's fault, or that it has too much to do."""
    if not isinstance(error, ClientError):
        return False
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status >= 500 or status == 429 or _code_of(error) in _BUSY
