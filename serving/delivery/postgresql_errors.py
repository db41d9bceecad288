"""Connect to PostgreSQL, and tell its errors as ours, without passwords."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import errors

from conf.errors import (
    ConfigError,
    HeadraceError,
    InputError,
    StorageError,
    TargetDownError,
)
from conf.settings.publishing.deliver import PostgresqlTarget
from serving.delivery.texts import said

_WRONG = re.compile(
    r"authentication failed|no password supplied|does not exist|no pg_hba.conf entry|not permitted"
    r"|certificate|invalid (port|integer|connection option|sslmode)"
)
_FIX = "correct its url, or the variable that it comes from"


def connected(where: str, settings: PostgresqlTarget) -> "psycopg.Connection[Any]":
    """Return a connection in which each statement is committed, unless a transaction is begun.

    Raises:
        ConfigError: When the address, the user or the password is wrong.
        TargetDownError: When the server does not answer.
    """
    seconds = settings.timeout_seconds
    try:
        options = psycopg.conninfo.conninfo_to_dict(settings.url)
    except psycopg.ProgrammingError:
        raise ConfigError(
            f"{where}.url is no address of PostgreSQL, such as "
            "postgresql://USER:PASSWORD@HOST:5432/DATABASE; special characters in a password are "
            f"written as %XX; {_FIX}"
        ) from None
    limits: dict[str, Any] = {
        "connect_timeout": seconds, "tcp_user_timeout": seconds * 1000, "keepalives_idle": seconds,
        "keepalives_interval": max(1, seconds // 3), "keepalives_count": 3,
        "application_name": "headrace",
    }  # fmt: skip
    with told(where, settings):
        address = psycopg.conninfo.make_conninfo(**{**limits, **options})
        connection: psycopg.Connection[Any] = psycopg.connect(address, autocommit=True)
        connection.execute(f"SET lock_timeout = {seconds * 1000}")
        connection.execute("SET client_min_messages = warning")
    return connection


@contextmanager
def told(where: str, settings: PostgresqlTarget) -> Iterator[None]:
    """Turn errors of the client and the server into ours.

    Raises:
        HeadraceError: Of the kind that says whether a retry helps.
    """
    try:
        yield
    except psycopg.Error as error:
        text = said(error, settings.url)
        raise _ours(where, error, text) from None  # the cause's text may hold the address
    except UnicodeError as error:  # a host that can be no name
        raise ConfigError(f"{where}: {said(error, settings.url)}; {_FIX}") from None


def _ours(where: str, error: psycopg.Error, text: str) -> HeadraceError:
    if isinstance(error, errors.InvalidAuthorizationSpecification | errors.InvalidCatalogName):
        return ConfigError(f"{where}: {text}; {_FIX}")
    if isinstance(error, errors.InsufficientPrivilege):
        return ConfigError(f"{where}: {text}; grant the right to the user of its url")
    if isinstance(error, errors.ReadOnlySqlTransaction):
        return ConfigError(f"{where}: {text}: this is a standby; name the primary server")
    if isinstance(error, errors.DependentObjectsStillExist):
        return ConfigError(
            f"{where}: {text}; something is built on a view of lists that are no longer delivered: "
            "deliver them again, or remove what is built on it"
        )
    if isinstance(error, errors.DiskFull | errors.OutOfMemory):
        return StorageError(f"{where}: {text}; make room on the server, then deliver again")
    if isinstance(error, errors.UndefinedTable):
        return TargetDownError(f"{where}: {text}: another delivery has removed it; deliver again")
    if isinstance(error, errors.LockNotAvailable | errors.QueryCanceled):
        return TargetDownError(
            f"{where}: {text}: somebody reads the lists in a long transaction, or another delivery "
            "is running; deliver again later"
        )
    if isinstance(error, psycopg.OperationalError):
        if error.sqlstate is None and _WRONG.search(text):
            return ConfigError(f"{where}: {text}; {_FIX}")
        return TargetDownError(f"{where}: the server does not answer: {text}; try again later")
    if isinstance(error, psycopg.DataError):
        return InputError(f"{where}: the server does not take a value of the lists: {text}")
    return HeadraceError(f"{where}: {text}")
