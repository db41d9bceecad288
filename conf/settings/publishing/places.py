"""Which place a target names: the same one however its address is written, without credentials."""

import re
from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from conf.settings.publishing.deliver import (
    AnyTarget,
    FilesTarget,
    PostgresqlTarget,
    RedisTarget,
)
from conf.workspace.hashes import canonical_hash

_OPTION = re.compile(r"(\w+)\s*=\s*('(?:[^'\\]|\\.)*'|\S+)")
_PORTS = {"http": 80, "https": 443}
_POSTGRESQL_PORT, _REDIS_PORT = "5432", "6379"


def place_of(target: AnyTarget) -> tuple[str, ...]:
    """Return what names the place of a target: kind, server, and what is used of it.

    User, password and options of an address are no part of it, and neither is the way it is
    written: upper case in the host, the port of the protocol, a slash at the end.
    """
    match target:
        case FilesTarget():
            return ("files", str(Path(target.path).resolve()))
        case PostgresqlTarget():
            return ("postgresql", *_database(target.url), target.namespace, target.table)
        case RedisTarget():
            return ("redis", *_keyspace(target.url), target.prefix)
    return ("s3", _store(target.endpoint_url), target.bucket, target.prefix)


def place_key(target: AnyTarget) -> str:
    """Return a hash of the place of a target, to recognise it by."""
    return canonical_hash(place_of(target))[:16]


def places_of(targets: Mapping[str, AnyTarget]) -> dict[str, str]:
    """Return the names of targets by their places, see `place_key`."""
    return {place_key(target): name for name, target in targets.items()}


def shared_places(targets: dict[str, AnyTarget]) -> list[str]:
    """Return a message for each target that would replace the lists of another one."""
    taken: dict[tuple[str, ...], str] = {}
    found = []
    keys = {FilesTarget: "path", PostgresqlTarget: "table"}
    for name, target in targets.items():
        place = place_of(target)
        if place in taken:
            found.append(
                f"deliver.{name} and deliver.{taken[place]} have one place; give "
                f"deliver.{name}.{keys.get(type(target), 'prefix')} another value"
            )
        taken[place] = name
    return found


def _database(url: str) -> tuple[str, str]:
    """Return servers and database of an address of PostgreSQL, or of its options as a text."""
    options = {key: value.strip("'") for key, value in _OPTION.findall(url)}
    servers = [("", "")]
    if "://" in url:
        parts = _split(url)
        servers = [_host_and_port(one) for one in _servers(parts).split(",")]
        path = {"dbname": unquote(parts.path.lstrip("/")), "user": unquote(parts.username or "")}
        options = {**path, **dict(parse_qsl(parts.query))}
    hosts, ports = ([*one] for one in zip(*servers, strict=True))
    hosts = hosts if any(hosts) else options.get("host", "").split(",")
    ports = ports if any(ports) else options.get("port", "").split(",")
    ports = ports * len(hosts) if len(ports) == 1 else ports
    named = [
        f"{host.lower()}:{port or _POSTGRESQL_PORT}"
        for host, port in zip_longest(hosts, ports, fillvalue="")
    ]
    return ",".join(named), options.get("dbname") or options.get("user", "")


def _keyspace(url: str) -> tuple[str, str]:
    """Return server and number of the database of an address of Redis."""
    parts = _split(url)
    options = dict(parse_qsl(parts.query))
    if parts.scheme == "unix":
        return unquote(parts.path), options.get("db") or "0"
    host, port = _host_and_port(_servers(parts))
    number = options.get("db") or parts.path.strip("/") or "0"
    return f"{host.lower() or 'localhost'}:{port or _REDIS_PORT}", number


def _store(endpoint: str | None) -> str:
    """Return the address of a store without what its protocol implies; empty: Amazon's."""
    if endpoint is None:
        return ""
    parts = _split(endpoint)
    host, port = _host_and_port(_servers(parts))
    number = port or str(_PORTS.get(parts.scheme, ""))
    return f"{parts.scheme}://{host.lower()}:{number}{parts.path.rstrip('/')}"


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:  # it is no address, as the target's client will say
        return SplitResult("", url, "", "", "")


def _servers(parts: SplitResult) -> str:
    return parts.netloc.rpartition("@")[2]


def _host_and_port(server: str) -> tuple[str, str]:
    host, colon, port = server.rpartition(":")
    return (host, port) if colon and "]" not in port else (server, "")
