"""Targets of tests: read them as a program of a shop would, and change what they hold.

Each time the version is read that is current then.
"""

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pyarrow.parquet as pq
import redis
from psycopg.sql import SQL, Identifier

from tests.serving.delivery import servers

Lists = dict[str, list[str]]
NETWORK = ("postgresql", "redis", "s3")
RECORD = "CURRENT.json"


class Site(NamedTuple):
    """A target of a test: its settings, and what a reader sees."""

    kind: str
    settings: dict[str, Any]
    read: Callable[[str], Lists]
    """Returns the lists of a kind, such as `lists` or `scenarios.cart`, by user."""
    versions: Callable[[], set[str]]
    """Returns the labels of all versions that are there, wholly or in part."""
    text: Callable[[], str]
    """Returns all that the target holds as one text."""


def files_site(folder: Path, kind: str, packed: bool) -> Site:
    def read(of: str) -> Lists:
        version = json.loads((folder / "CURRENT.json").read_text())["current"]["version"]
        manifest = json.loads((folder / version / "manifest.json").read_text())
        content = (folder / version / manifest["files"][of]["path"]).read_bytes()
        text = (gzip.decompress(content) if packed else content).decode()
        rows: Any = csv.DictReader(io.StringIO(text, newline=""))
        if kind == "jsonl":
            rows = (json.loads(line) for line in text.split("\n") if line)
        return _by_user((row["user_id"], int(row["position"]), row["item_id"]) for row in rows)

    def text() -> str:
        found = []
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                content = path.read_bytes()
                found.append(
                    (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
                )
        return "\n".join(found)

    def versions() -> set[str]:
        return {path.name for path in folder.iterdir() if path.is_dir()}

    return Site(kind, {"kind": kind, "path": str(folder), "gzip": packed}, read, versions, text)


def postgresql_site(url: str, schema: str) -> Site:
    def ask(query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(url) as connection:
            return connection.execute(query.encode()).fetchall()

    def read(of: str) -> Lists:
        view = "shop" + (f"_{of.removeprefix('scenarios.')}" if of != "lists" else "")
        return _by_user(ask(f'SELECT user_id, position, item_id FROM "{schema}"."{view}"'))  # type: ignore[arg-type]

    def tables() -> list[str]:
        query = f"SELECT tablename FROM pg_tables WHERE schemaname = '{schema}'"
        return [name for (name,) in ask(query) if name != "headrace_versions"]

    def text() -> str:
        names = [*tables(), "headrace_versions"]
        return repr([ask(f'SELECT * FROM "{schema}"."{name}"') for name in names])

    settings = {"kind": "postgresql", "url": url, "schema": schema, "table": "shop"}
    return Site(
        "postgresql", settings, read, lambda: {t.rpartition("_v")[2] for t in tables()}, text
    )


def redis_site(url: str, prefix: str) -> Site:
    client: Any = redis.Redis.from_url(url, decode_responses=True)

    def read(of: str) -> Lists:
        version = json.loads(client.get(f"{prefix}:current"))["current"]["version"]
        begin = f"{prefix}:{version}:{of}:"
        keys = [*client.scan_iter(match=f"{begin}*", count=1000)]
        documents = client.mget(keys) if keys else []
        return {
            key.removeprefix(begin): [row["item_id"] for row in json.loads(document)]
            for key, document in zip(keys, documents, strict=True)
            if document is not None
        }

    def keys() -> list[str]:
        return [*client.scan_iter(match=f"{prefix}:*", count=1000)]

    def text() -> str:
        kinds = {"string": client.get, "hash": client.hgetall, "set": client.smembers}
        return repr([(key, kinds[client.type(key)](key)) for key in sorted(keys())])

    def versions() -> set[str]:
        names = {key.removeprefix(f"{prefix}:").partition(":")[0] for key in keys()}
        return names - {"current", "versions"}

    settings = {"kind": "redis", "url": url, "prefix": prefix}
    return Site("redis", settings, read, versions, text)


def s3_site(client: Any, url: str, prefix: str, password: str) -> Site:
    def get(name: str) -> bytes:
        found: bytes = client.get_object(Bucket="shop-lists", Key=name)["Body"].read()
        return found

    def read(of: str) -> Lists:
        version = json.loads(get(f"{prefix}/CURRENT.json"))["current"]["version"]
        manifest = json.loads(get(f"{prefix}/{version}/manifest.json"))
        names = [f"{prefix}/{version}/{file['path']}" for file in manifest["files"][of]]
        rows = [row for name in names for row in pq.read_table(io.BytesIO(get(name))).to_pylist()]
        return _by_user((row["user_id"], row["position"], row["item_id"]) for row in rows)

    def names() -> list[str]:
        pages = client.get_paginator("list_objects_v2").paginate(
            Bucket="shop-lists", Prefix=f"{prefix}/"
        )
        return [one["Key"] for page in pages for one in page.get("Contents", ())]

    def text() -> str:
        found = []
        for name in names():
            content = get(name)
            is_table = name.endswith(".parquet")
            found.append(repr(pq.read_table(io.BytesIO(content)).to_pylist()) if is_table else "")
            found.append(name + ("" if is_table else content.decode()))
        return "\n".join(found)

    def versions() -> set[str]:
        return {
            name.removeprefix(f"{prefix}/").split("/")[0]
            for name in names()
            if "/" in name.removeprefix(f"{prefix}/")
        }

    settings = {
        "kind": "s3", "bucket": "shop-lists", "prefix": prefix, "endpoint_url": url,
        "region": "us-east-1", "access_key": "shop-access", "secret_key": password,
    }  # fmt: skip
    return Site("s3", settings, read, versions, text)


def at_port(site: Site, port: int) -> dict[str, Any]:
    """Return the settings of a site with another port."""
    key = "endpoint_url" if site.kind == "s3" else "url"
    head, _, tail = site.settings[key].rpartition(":")
    _, slash, rest = tail.partition("/")
    return {**site.settings, key: f"{head}:{port}{slash}{rest}", "timeout_seconds": 1}


def put(site: Site, name: str, content: str) -> None:
    """Write a file, an object or a key of a target; the record is called `CURRENT.json`."""
    if site.kind == "s3":
        client, prefix = _store_of(site)
        client.put_object(Bucket="shop-lists", Key=f"{prefix}/{name}", Body=content.encode())
    elif site.kind == "redis":
        client = redis.Redis.from_url(site.settings["url"])
        key = "current" if name == RECORD else name
        client.set(f"{site.settings['prefix']}:{key}", content)
    elif site.kind == "postgresql":
        table = Identifier(site.settings["schema"], "headrace_versions")
        with psycopg.connect(site.settings["url"]) as connection:
            statement = SQL("UPDATE {} SET record = %s").format(table)
            connection.execute(statement, (json.dumps({"content": content}),))
    else:
        path = Path(site.settings["path"]) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def empty_out(site: Site) -> None:
    """Remove all that a target holds."""
    if site.kind == "s3":
        client, prefix = _store_of(site)
        found = client.list_objects_v2(Bucket="shop-lists", Prefix=f"{prefix}/")["Contents"]
        for one in found:
            client.delete_object(Bucket="shop-lists", Key=one["Key"])
    elif site.kind == "redis":
        redis.Redis.from_url(site.settings["url"]).flushdb()
    elif site.kind == "postgresql":
        with psycopg.connect(site.settings["url"]) as connection:
            connection.execute(f"DROP SCHEMA {site.settings['schema']} CASCADE".encode())
    else:
        folder = Path(site.settings["path"])
        folder.rename(folder.with_name("elsewhere"))


def _store_of(site: Site) -> tuple[Any, str]:
    """Return a client of the store and the prefix in it."""
    return servers.s3_client(site.settings["endpoint_url"]), site.settings["prefix"]


def _by_user(rows: Iterator[tuple[str, int, str]] | Any) -> Lists:
    found: Lists = {}
    for user, _, item in sorted(rows):
        found.setdefault(user, []).append(item)
    return found
