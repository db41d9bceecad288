"""Errors of boto3 and of stores, as ours."""

from boto3.exceptions import S3UploadFailedError
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

_REFUSED = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")
_WRONG = (
    "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "AllAccessDisabled",
    "ExpiredToken", "InvalidToken", "TokenRefreshRequired", "403", "401", "NoSuchBucket",
    "InvalidBucketName", "PermanentRedirect", "AuthorizationHeaderMalformed", "301",
)  # fmt: skip
_FULL = ("InsufficientStorage", "QuotaExceeded", "XMinioStorageFull", "EntityTooLarge", "507")
_CREDENTIALS = (
    NoCredentialsError, PartialCredentialsError, CredentialRetrievalError, NoRegionError,
)  # fmt: skip


def code_of(error: BaseException) -> str:
    """Return the code of a store's answer; empty if there was none."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ClientError):
        cause = cause.__cause__ or cause.__context__
    return "" if cause is None else str(cause.response.get("Error", {}).get("Code", ""))


def is_refused(error: ClientError) -> bool:
    """Return whether a condition of a request was not met."""
    return code_of(error) in _REFUSED


def ours(where: str, error: BaseException, text: str) -> HeadraceError:
    """Return the error that tells whether a retry helps.

    Args:
        where: What messages call the target.
        error: Of boto3.
        text: What it says, without credentials.
    """
    code = code_of(error)
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
        return TargetDownError(f"{where}: the store does not answer: {text}; try again later")
    if isinstance(error, BotoCoreError):
        return ConfigError(f"{where}: {text}; correct its settings")
    return HeadraceError(f"{where}: {text}")


def _is_of_server(error: BaseException) -> bool:
    """Return whether a store says that it is the store's fault, or that it has too much to do."""
    if not isinstance(error, ClientError):
        return False
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status >= 500 or status == 429 or code_of(error) in ("SlowDown", "RequestTimeout")
