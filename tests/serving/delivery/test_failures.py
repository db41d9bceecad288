"""What can go wrong with a target: one message, the right exit code, and no credential in it."""

import importlib
import json
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from conf.errors import (
    ConfigError,
    StorageError,
    TargetDownError,
    VersionError,
)
from conf.runs.managing import run_deliver
from conf.settings.load import load_config
from conf.workspace.pointers import publish
from serving.delivery.places import require_client
from serving.delivery.texts import said
from tests.serving.delivery import servers
from tests.serving.delivery.conftest import KINDS
from tests.serving.delivery.readers import NETWORK, RECORD, Site, at_port, put, redis_site
from tests.serving.delivery.servers import require_no_password
from tests.serving.delivery.shops import config_of, deliver, lists_of, write_lists


@pytest.mark.parametrize("kind", NETWORK)
def test_a_server_that_is_down_is_tried_again_later(tmp_path: Path, site: Site) -> None:
    write_lists(tmp_path, lists_of(3, "a"))
    files = {"kind": "csv", "path": f"{tmp_path}-files"}
    config = config_of(tmp_path, down=at_port(site, servers.free_port()), files=files)
    with pytest.raises(
        TargetDownError, match=r"not delivered to down\. deliver\.down: .*(answer|is down)"
    ) as caught:
        run_deliver(config)
    require_no_password(caught.value)
    made = caught.value.made or {}
    assert made["status"] == "failed"
    assert {name: one["status"] for name, one in made["delivered"].items()} == {
        "down": "failed", "files": "delivered",
    }  # fmt: skip


@pytest.mark.parametrize("kind", NETWORK)
def test_a_server_that_does_not_answer_is_left(tmp_path: Path, site: Site) -> None:
    write_lists(tmp_path, lists_of(3, "a"))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        config = config_of(tmp_path, slow=at_port(site, silent.getsockname()[1]))
        with pytest.raises(TargetDownError, match=r"slow: .*(answer|is down)"):
            run_deliver(config)


@pytest.mark.parametrize("kind", NETWORK)
def test_wrong_credentials_are_told_without_them(tmp_path: Path, site: Site) -> None:
    write_lists(tmp_path, lists_of(3, "a"))
    wrong = {
        key: str(value).replace(servers.PASSWORD, "wrong") for key, value in site.settings.items()
    }
    with pytest.raises(
        ConfigError, match=r"there: .*(authentication|WRONGPASS|invalid|Signature)"
    ) as e:
        run_deliver(config_of(tmp_path, there=wrong))
    require_no_password(e.value)


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        ("postgresql", "url", "postgresql://shop:wrong@@h:port:/x?y=z%"),
        ("postgresql", "url", "postgresql://shop:{}@127.0.0.1:{}/nowhere"),
        ("redis", "url", "http://:wrong@127.0.0.1/0"),
        ("redis", "url", "redis://:wrong@127.0.0.1:99999999/0"),
        ("redis", "url", "redis://:wrong@a..b/0"),
        ("postgresql", "url", "postgresql://:wrong@127.0.0.1:99999999/shop"),
        ("postgresql", "url", "postgresql://:wrong@a..b/shop"),
        ("s3", "bucket", "no-such-bucket"),
    ],
)
def test_a_wrong_address_is_a_wrong_configuration(
    tmp_path: Path, site: Site, key: str, value: str, request: Any
) -> None:
    write_lists(tmp_path, lists_of(3, "a"))
    if "{}" in value:
        value = value.format(servers.PASSWORD, request.getfixturevalue("postgresql").port)
    with pytest.raises(ConfigError) as caught:
        run_deliver(config_of(tmp_path, there={**site.settings, key: value}))
    require_no_password(caught.value)


@pytest.mark.parametrize("kind", ["postgresql"])
@pytest.mark.parametrize("relation", ["TABLE {}.shop (a int)", "VIEW {}.shop AS SELECT 1 AS a"])
def test_a_foreign_relation_is_left_as_it_is(tmp_path: Path, site: Site, relation: str) -> None:
    write_lists(tmp_path, lists_of(3, "a"))
    schema = site.settings["schema"]
    with psycopg.connect(site.settings["url"], autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}".encode())
        connection.execute(f"CREATE {relation.format(schema)}".encode())
        with pytest.raises(ConfigError, match=rf"{schema}\.shop is there, but it is not Headrace"):
            deliver(tmp_path, site)
        assert connection.execute(f"SELECT * FROM {schema}.shop".encode()).description is not None


@pytest.mark.parametrize("kind", ["postgresql"])
def test_a_foreign_view_of_a_scenario_is_left_as_it_is(tmp_path: Path, site: Site) -> None:
    write_lists(tmp_path, lists_of(3, "a"), scenarios={"cart": lists_of(2, "c")})
    schema = site.settings["schema"]
    with psycopg.connect(site.settings["url"], autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}".encode())
        connection.execute(f"CREATE TABLE {schema}.shop_cart (a int)".encode())
    with pytest.raises(ConfigError, match=rf"{schema}\.shop_cart is there"):
        deliver(tmp_path, site)


@pytest.mark.parametrize("kind", ["jsonl", "redis", "s3"])
def test_a_foreign_record_is_left_as_it_is(tmp_path: Path, site: Site) -> None:
    write_lists(tmp_path, lists_of(3, "a"))
    put(site, RECORD, json.dumps({"id": "of another program"}))
    before = site.text()
    with pytest.raises(ConfigError, match="not Headrace's"):
        deliver(tmp_path, site)
    assert site.text() == before


@pytest.mark.parametrize("policy", ["noeviction", "allkeys-random"])
def test_a_full_server_is_a_full_storage(tmp_path: Path, policy: str) -> None:
    write_lists(tmp_path, lists_of(3, "a"))
    with servers.valkey("--maxmemory", "4mb", "--maxmemory-policy", policy) as server:
        site = redis_site(server.url, "shop")
        deliver(tmp_path, site)
        write_lists(tmp_path, lists_of(4000, "b"))
        with pytest.raises((StorageError, TargetDownError), match=r"full|evicts"):
            deliver(tmp_path, site)
        if policy == "noeviction":
            assert site.read("lists") == lists_of(3, "a")
            assert len(site.versions()) == 1  # what did not fit is removed


@pytest.mark.parametrize("kind", KINDS)
def test_of_two_publishers_the_later_one_wins(tmp_path: Path, site: Site) -> None:
    shops = [tmp_path / "early", tmp_path / "late"]
    for number, shop in enumerate(shops, start=6):
        write_lists(shop, lists_of(300, shop.name), number=number)
    begin = threading.Barrier(2)

    def publish(shop: Path) -> str:
        begin.wait()
        try:
            return str(deliver(shop, site, keep=0)["status"])
        except (VersionError, TargetDownError) as error:
            return type(error).__name__

    with ThreadPoolExecutor(2) as pool:
        early, late = pool.map(publish, shops)
    assert late == "delivered"
    assert early in ("delivered", "VersionError", "TargetDownError")
    assert site.read("lists") == lists_of(300, "late")
    deliver(shops[1], site, keep=0)
    assert len(site.versions()) == 1


def test_a_missing_client_is_named_with_its_extra() -> None:
    with pytest.raises(ConfigError, match=r"needs the package psycopg9.*headrace\[postgresql\]"):
        require_client("psycopg9", "postgresql", "deliver.web")


def test_a_delivery_needs_no_ray() -> None:
    code = (
        "import sys; import serving.delivery.deliver, serving.delivery.erasing; "
        "print(*{'ray', 'torch', 'psycopg', 'redis', 'boto3'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("of_canary", [False, True])
def test_a_damaged_version_is_not_delivered(tmp_path: Path, of_canary: bool) -> None:
    version = write_lists(tmp_path, lists_of(3, "a"))
    if of_canary:
        version = write_lists(tmp_path, lists_of(3, "b"), is_published=False)
        publish(tmp_path, "lists", version, "2026-05-31", share=0.5)
    (tmp_path / "lists" / version / "part-00001.parquet").write_bytes(b"")
    config = config_of(tmp_path, there={"kind": "csv", "path": f"{tmp_path}-out"})
    with pytest.raises(VersionError, match="has 0 bytes"):
        run_deliver(config)
    assert not Path(f"{tmp_path}-out").exists()


@pytest.mark.parametrize(
    ("deliver_", "target", "told"),
    [
        ({}, None, "there are no targets"),
        ({"a": {"kind": "csv", "path": "p"}}, "b", "no target: a"),
    ],
)
def test_a_target_has_to_be_named(tmp_path: Path, deliver_: Any, target: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        run_deliver(config_of(tmp_path, **deliver_), target)


@pytest.mark.parametrize("password", ["se/cret-word", "se?cret", "cret#s@word"])
def test_a_password_that_is_not_escaped_is_masked_too(password: str) -> None:
    url = f"postgresql://shop:{password}@host/shop"
    assert password not in said(ValueError(f"could not use {password} of shop"), url)


def test_a_short_password_does_not_mask_the_letters_of_a_message() -> None:
    url = "redis://:e@host:1/0"
    told = said(ValueError("the server redis://:e@host:1 ended, password=e"), url)
    assert told == "the server redis://:***@host:1 ended, password=***"


def test_secrets_of_targets_are_masked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    origins = importlib.import_module("conf.masking.origins")
    texts = importlib.import_module("conf.masking.texts")
    monkeypatch.setenv("SHOP_URL", "postgresql://shop:se%2Fcret-word@host/shop")
    path = tmp_path / "shop.yaml"
    path.write_text(
        "run: {name: shop, output: w}\n"
        "input: {root: n, events: {log: {paths: [n], time_unit: seconds}}}\n"
        "etl: {event_types: {view: {}}}\n"
        "deliver: {web: {kind: postgresql, url: '${oc.env:SHOP_URL}', table: shop}}\n"
    )
    config = load_config(path)
    assert origins.public_config(config)["deliver"]["web"]["url"] == "***"
    for secret in ("postgresql://shop:se%2Fcret-word@host/shop", "se%2Fcret-word", "se/cret-word"):
        assert texts.masked(f"it said {secret}!") == "it said ***!"
