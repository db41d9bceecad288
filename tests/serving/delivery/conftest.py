"""Servers that the tests of this folder share, and a place of its own in each for every test."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from conf.masking.texts import forget_secrets
from tests.serving.delivery import servers
from tests.serving.delivery.readers import (
    Site,
    files_site,
    postgresql_site,
    redis_site,
    s3_site,
)

KINDS = ("jsonl", "csv", "postgresql", "redis", "s3")
_numbers = itertools.count()


@pytest.fixture(autouse=True)
def _no_secrets_of_other_tests() -> Iterator[None]:
    forget_secrets()
    yield
    forget_secrets()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[servers.Server]:
    with servers.postgresql() as server:
        yield server


@pytest.fixture(scope="session")
def valkey() -> Iterator[servers.Server]:
    with servers.valkey() as server:
        yield server


@pytest.fixture(scope="session")
def store() -> Iterator[servers.Server]:
    with servers.s3("shop-lists") as server:
        yield server


@pytest.fixture
def site(kind: str, tmp_path_factory: pytest.TempPathFactory, request: Any) -> Site:
    """Return an empty target of a kind; the test names the kind as a parameter."""
    place = f"test_{next(_numbers)}"
    if kind in ("jsonl", "csv"):
        return files_site(tmp_path_factory.mktemp("to") / "delivered", kind, packed=kind == "csv")
    if kind == "postgresql":
        return postgresql_site(request.getfixturevalue("postgresql").url, place)
    if kind == "redis":
        return redis_site(request.getfixturevalue("valkey").url, place)
    url = request.getfixturevalue("store").url
    return s3_site(servers.s3_client(url), url, place, servers.PASSWORD)
