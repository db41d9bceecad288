"""Targets: what may be written about them, and what may not."""

from pathlib import Path
from typing import Any

import pytest

from conf.errors import ConfigError
from conf.settings.config import Config
from conf.settings.load import load_config
from conf.settings.publishing.deliver import S3Target
from conf.settings.publishing.places import place_key

YAML = """
run: {name: shop, output: workspace}
input: {root: none, events: {log: {paths: [none], time_unit: seconds}}}
etl: {event_types: {view: {}}}
score: {scenarios: {cart: {}, a_scenario_with_a_rather_long_name_of_its_own: {}}}
"""
MARKS = {"SLASH": "/", "QUESTION": "?", "HASH": "#", "OPTION": "?a=b", "BOTH": "/x?a=b"}
"""What passwords have in their middle, by the name of their variable."""
PLACE = {"kind": "csv", "path": "out"}


def loaded(tmp_path: Path, *overrides: str) -> Config:
    path = tmp_path / "shop.yaml"
    path.write_text(YAML)
    return load_config(path, overrides)


@pytest.fixture(autouse=True)
def _variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_DATABASE", "postgresql://shop:hush@host/shop")
    monkeypatch.setenv("SHOP_WORD", "hush")
    monkeypatch.setenv("SHOP_OPTIONS", "redis://[::1]:1/0?username=a@b")
    for name, mark in MARKS.items():
        monkeypatch.setenv(name, f"hush{mark}hush")


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("{kind: csv, path: out, lists: [carts]}", r"deliver.a.lists has 'carts'.*default, cart"),
        (
            "{kind: csv, path: out, audiences: true}",
            r"deliver.a.audiences is true.*score.audiences",
        ),
        ("{kind: csv, path: out, similar_items: true}", r"set score.similar_items"),
        ("{kind: postgresql, url: u, table: Shop}", r"table='Shop'"),
        ("{kind: postgresql, url: u, table: shop}", r"more than 63 bytes with the scenario a_scen"),
        ("{kind: redis, url: u, ttl_hours: 24}", r"ttl_hours=24.*greater than or equal to 48"),
        ("{kind: redis, url: u, prefix: 'a*'}", r"'a\*' is no prefix"),
        ("{kind: s3, bucket: B}", r"bucket='B'"),
        ("{kind: s3, bucket: shop, access_key: '${oc.env:SHOP_WORD}'}", r"access_key and .* both"),
        ("{kind: s3, bucket: shop, endpoint_url: 'http://a:b@c'}", r"endpoint_url"),
        ("{kind: mysql}", r"deliver.a.kind='mysql': is none of 'jsonl', 'csv'"),
        ("{path: out}", r"deliver.a.kind: is missing"),
        ("{kind: csv, path: out, lists: [cart, cart]}", r"deliver.a.lists has 'cart' twice"),
        ("{kind: csv, path: workspace/lists/out}", r"path=.* is in the folder run.output='workspa"),
        ("{kind: csv, path: none/../none}", r"path=.* is in the folder input.root='none'"),
        *(
            (
                f"{{kind: {kind}, url: '{scheme}://u:${{oc.env:{name}}}@h/0'{more}}}",
                r"deliver.a.\w+.url: has a / \? or # before the @.*%2F, %3F and %23",
            )
            for kind, scheme, more in (
                ("redis", "redis", ""),
                ("postgresql", "postgresql", ", table: shop"),
            )
            for name in MARKS
        ),
    ],
)
def test_a_wrong_target_is_refused(tmp_path: Path, target: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as caught:
        loaded(tmp_path, f"deliver.a={target}")
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("{kind: csv, path: out}", "{kind: jsonl, path: ../out/../x/../out}"),
        ("{kind: redis, url: 'redis://a@Cache/0', prefix: s}",
         "{kind: redis, url: 'rediss://cache:6379?db=0', prefix: 's:'}"),
        ("{kind: redis, url: 'unix:///run/r.sock'}", "{kind: redis, url: 'unix://b@/run/r.sock?db=0'}"),
        ("{kind: postgresql, table: t, url: 'postgresql://a@HOST/shop'}",
         "{kind: postgresql, table: t, url: 'postgres://b@host:5432/shop?sslmode=require'}"),
        ("{kind: postgresql, table: t, url: 'postgresql://host,two:1/shop'}",
         "{kind: postgresql, table: t, url: 'host=HOST,two port=5432,1 dbname=shop user=a'}"),
        ("{kind: s3, bucket: shop, endpoint_url: 'http://Store'}",
         "{kind: s3, bucket: shop, prefix: headrace/, endpoint_url: 'http://store:80/'}"),
    ],
)  # fmt: skip
def test_two_targets_have_two_places_however_they_are_written(
    tmp_path: Path, one: str, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    monkeypatch.chdir(folder)
    one = one.replace("path: out", f"path: {folder}")
    with pytest.raises(ConfigError, match=r"deliver.b and deliver.a have one place.*deliver.b"):
        loaded(tmp_path, "score.scenarios={}", f"deliver.a={one}", f"deliver.b={other}")


def test_two_servers_are_two_places(tmp_path: Path) -> None:
    urls = ("redis://h/0", "redis://h/1", "redis://h:1/0", "redis://i/0", "redis://[::1]/0")
    named = {f"t{n}": f"deliver.t{n}={{kind: redis, url: '{url}'}}" for n, url in enumerate(urls)}
    found = loaded(tmp_path, *named.values()).deliver
    assert len({place_key(target) for target in found.values()}) == len(urls)


def test_a_scenario_is_not_called_like_the_lists_of_score_itself(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"score.scenarios has 'default'.*another name"):
        loaded(tmp_path, "deliver.a={kind: csv, path: out}", "score.scenarios.default={}")
    assert loaded(tmp_path, "score.scenarios.default={}").score.scenarios


@pytest.mark.parametrize(
    "target",
    [
        "{kind: redis, url: 'redis://:hush@host/0'}",
        "{kind: redis, url: 'redis://:hush${oc.env:SHOP_WORD}@host/0'}",
        "{kind: postgresql, table: t, url: 'postgresql://host/db?user=a&password=hush'}",
        "{kind: postgresql, table: t, url: 'host=h password=hush'}",
        "{kind: redis, url: 'redis://:${oc.env:SHOP_NONE,hush}@host/0'}",
        "{kind: redis, url: '${oc.env:SHOP_NONE,redis://:hush@host/0}'}",
        "{kind: s3, bucket: shop, access_key: '${oc.env:A,hush}', secret_key: '${oc.env:B}'}",
        "{kind: s3, bucket: shop, access_key: hush, secret_key: '${oc.env:SHOP_WORD}'}",
        "{kind: s3, bucket: shop, access_key: '${oc.env:SHOP_WORD}', secret_key: hush}",
    ],
)
def test_a_credential_in_the_file_is_refused_and_not_shown(tmp_path: Path, target: str) -> None:
    with pytest.raises(ConfigError, match=r"deliver\.a\..*which is not allowed") as caught:
        loaded(tmp_path, f"deliver.a={target}")
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["redis://host/0", "redis://user@host/0", "redis://:${oc.env:SHOP_WORD}@host:1/0",
     "${oc.env:SHOP_DATABASE}", "${oc.env:SHOP_NONE,redis://host/0}",
     "${oc.env:SHOP_OPTIONS}"],
)  # fmt: skip
def test_an_address_without_one_is_taken(tmp_path: Path, url: str) -> None:
    assert "a" in loaded(tmp_path, f"deliver.a={{kind: redis, url: '{url}'}}").deliver


def test_a_short_password_is_not_shown_by_an_error(tmp_path: Path) -> None:
    """Texts of fewer than 8 characters are masked at their keys alone."""
    given = "deliver.a={kind: redis, url: '${oc.env:SHOP_DATABASE}', ttl_hours: 1, prefx: x}"
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, given)
    assert "hush" not in str(caught.value)
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, "deliver.a={url: '${oc.env:SHOP_WORD}'}")
    assert "hush" not in str(caught.value)


def test_a_prefix_ends_without_its_separator() -> None:
    given: dict[str, Any] = {"kind": "s3", "bucket": "shop", "prefix": "lists/"}
    assert S3Target.model_validate(given).prefix == "lists"
