"""An erasure reaches every version in every target, and says so if it cannot."""

import json
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redis

from conf.erasure.receipts import is_genuine
from conf.errors import ConfigError, TargetDownError, VersionError
from conf.privacy.erased import erasure_is_open
from conf.privacy.identities import KIND, LABEL, NUMBER, RAW_ID, SCHEMA, identities_folder
from conf.privacy.keys import load_keys
from conf.privacy.sealing import pseudonym
from conf.runs.managing import run_deliver, run_rollback
from conf.settings.config import Config
from tests.serving.delivery import servers
from tests.serving.delivery.conftest import KINDS
from tests.serving.delivery.readers import NETWORK, RECORD, Site, at_port, put
from tests.serving.delivery.shops import (
    GONE,
    LEFT,
    NAMES,
    config_of,
    erase,
    lists_for,
    staged,
    with_key,
    write_lists,
    write_two,
)


@pytest.fixture
def shop(tmp_path: Path, site: Site) -> Config:
    """Return a configuration with a key, whose target has two versions with all users."""
    config = with_key(config_of(tmp_path, there=site.settings))
    write_two(tmp_path, config, NAMES)
    return config


def with_audiences(config: Config) -> Config:
    """Return the configuration with a target that also gets audiences."""
    target = config.deliver["there"].model_copy(update={"audiences": True})
    return config.model_copy(update={"deliver": {"there": target}})


def current_of(site: Site) -> str:
    """Return the label that the record of Redis names."""
    client: Any = redis.Redis.from_url(site.settings["url"])
    label: str = json.loads(client.get(f"{site.settings['prefix']}:current"))["current"]["version"]
    return label


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_labelled", [False, True])
def test_no_version_holds_an_erased_user(tmp_path: Path, site: Site, is_labelled: bool) -> None:
    config = with_audiences(with_key(config_of(tmp_path, there=site.settings)))
    keys = load_keys(config.privacy)
    assert keys is not None
    shown = {name: pseudonym(keys.label, keys.tenant, "user", name) for name in NAMES}
    shown = shown if is_labelled else dict(zip(NAMES, NAMES, strict=True))
    write_two(tmp_path, config, [*shown.values()])
    assert all(shown[name] in site.text() for name in GONE)
    result = erase(tmp_path, config, *GONE)
    assert not any(shown[name] in site.text() for name in GONE)
    assert site.read("lists") == lists_for([shown[name] for name in LEFT], "b")
    assert site.read("scenarios.cart") == lists_for([shown[name] for name in LEFT], "b")
    assert all(shown[name] in site.text() for name in LEFT)
    told = result["removed"]["deliver/there"]
    if site.kind in ("postgresql", "redis"):
        assert told == {"lists": 12, "scenarios.cart": 12, "audiences": 6}
    else:
        assert told == {"versions": 2}
    receipt = Path(result["receipt"])
    assert is_genuine(receipt, keys)
    assert json.loads(receipt.read_text())["removed"]["deliver/there"] == told
    assert run_deliver(config)["delivered"]["there"]["status"] == "current"
    assert erase(tmp_path, config, *GONE)["status"] == "done"


@pytest.mark.parametrize("kind", NETWORK)
def test_an_erasure_that_misses_a_target_stays_open(
    tmp_path: Path, site: Site, shop: Config
) -> None:
    """The labels are known only to a table of identities, which loses them the first time."""
    folder = identities_folder(tmp_path, "none")
    folder.mkdir(parents=True)
    columns = {KIND: ["user"] * 6, RAW_ID: [f"raw{n}" for n in range(6)], LABEL: NAMES,
               NUMBER: range(2, 8)}  # fmt: skip
    table = pa.table(columns, schema=SCHEMA)
    pq.write_table(table, folder / "part-00000.parquet", write_page_checksum=True)
    down = at_port(site, servers.free_port())
    unreached = with_key(config_of(tmp_path, there=down))
    with pytest.raises(TargetDownError, match=r"not finished.*may still hold the users in there"):
        erase(tmp_path, unreached, "raw1", "raw2")
    assert erasure_is_open(tmp_path)
    assert all(name in site.text() for name in GONE)
    with pytest.raises(ConfigError, match="an erasure of 2 users was interrupted"):
        erase(tmp_path, shop, "raw3")
    without = with_key(config_of(tmp_path))
    with pytest.raises(ConfigError, match=r"users in there.*put it back into deliver"):
        erase(tmp_path, without, "raw1", "raw2")
    assert erasure_is_open(tmp_path)
    result = erase(tmp_path, shop, "raw1", "raw2")
    assert result["status"] == "done"
    assert not any(name in site.text() for name in GONE)
    assert not erasure_is_open(tmp_path)
    assert site.read("lists") == lists_for(LEFT, "b")


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_cut_off_delivery_left_is_erased_too(tmp_path: Path, site: Site) -> None:
    config = with_key(config_of(tmp_path, there=site.settings))
    write_lists(tmp_path, lists_for(NAMES, "a"), number=3)
    run_deliver(config)
    staged(tmp_path, config, "000009_0123abcd").close()
    erase(tmp_path, config, *GONE)
    assert "000009_0123abcd" not in site.versions()
    assert not any(name in site.text() for name in GONE)


@pytest.mark.parametrize("kind", KINDS)
def test_a_target_that_missed_an_erasure_loses_its_users_by_the_next_delivery(
    tmp_path: Path, site: Site, shop: Config
) -> None:
    """Also by a second erasure, of others, and never goes back to a version with them."""
    erase(tmp_path, with_key(config_of(tmp_path)), GONE[0])
    assert GONE[0] in site.text()
    erase(tmp_path, shop, GONE[1])
    assert not any(name in site.text() for name in GONE)
    assert site.read("lists") == lists_for(LEFT, "b")
    assert site.read("scenarios.cart") == lists_for(LEFT, "b")
    write_two(tmp_path, shop, LEFT)
    erase(tmp_path, with_key(config_of(tmp_path)), LEFT[0])
    run_deliver(shop)
    assert LEFT[0] not in site.text()
    told = run_rollback(shop, "lists")["delivered"]["there"]
    assert told["status"] == "delivered"
    assert LEFT[0] not in site.text()
    assert site.read("lists") == lists_for(LEFT[1:], "a")


@pytest.mark.parametrize("kind", KINDS)
def test_a_delivery_during_an_erasure_does_not_count_as_one_after_it(
    tmp_path: Path, site: Site, shop: Config
) -> None:
    down = config_of(tmp_path, down={"kind": "redis", "url": "redis://127.0.0.1:1/0"})
    with pytest.raises(TargetDownError):
        erase(tmp_path, with_key(down), GONE[0])
    write_lists(tmp_path, lists_for(NAMES, "c"))  # of a run that began before
    run_deliver(shop)
    journal = tmp_path / "erased" / "journal.json"
    journal.unlink()  # as at the end of the erasure, which does not know this target
    write_lists(tmp_path, lists_for(LEFT, "d"))
    run_deliver(shop)
    assert GONE[0] not in site.text()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.usefixtures("shop")
def test_an_erasure_leaves_what_is_not_ours(tmp_path: Path, site: Site) -> None:
    other = with_key(config_of(tmp_path / "other", there=site.settings))
    other = other.model_copy(update={"run": other.run.model_copy(update={"name": "other"})})
    before = site.text()
    (tmp_path / "other").mkdir()
    with pytest.raises(ConfigError, match=r"has the lists of the run 'shop', not of 'other'"):
        erase(tmp_path / "other", other, *GONE)
    assert site.text() == before
    left = other.model_copy(update={"deliver": {}})  # nothing of this run was ever there
    assert erase(tmp_path / "other", left, *GONE)["status"] == "done"


@pytest.mark.parametrize("kind", ["redis"])
@pytest.mark.parametrize("is_text", [True, False])
def test_a_target_of_another_program_alone_keeps_no_erasure_open(
    tmp_path: Path, site: Site, is_text: bool
) -> None:
    """Nothing of ours was ever there, so it may be taken out."""
    client: Any = redis.Redis.from_url(site.settings["url"])
    key = f"{site.settings['prefix']}:current"
    _ = client.set(key, b"\xff\xfe") if is_text else client.hset(key, "a", "b")
    write_lists(tmp_path, lists_for(NAMES, "a"))
    with pytest.raises(ConfigError, match=r"not Headrace's"):
        erase(tmp_path, with_key(config_of(tmp_path, there=site.settings)), *GONE)
    assert erase(tmp_path, with_key(config_of(tmp_path)), *GONE)["status"] == "done"
    assert client.exists(key)


@pytest.mark.parametrize("kind", ["postgresql"])
def test_an_erasure_leaves_a_foreign_view_of_a_scenario(
    tmp_path: Path, site: Site, shop: Config
) -> None:
    """The target has users all the same, also if the file of the places is lost."""
    schema = site.settings["schema"]
    (tmp_path / "lists/DELIVERED.json").unlink()
    with psycopg.connect(site.settings["url"], autocommit=True) as connection:
        connection.execute(f"DROP VIEW {schema}.shop_cart".encode())
        connection.execute(
            f"CREATE VIEW {schema}.shop_cart AS SELECT * FROM {schema}.shop".encode()
        )
        with pytest.raises(ConfigError, match=rf"{schema}\.shop_cart is there, but it is not"):
            erase(tmp_path, shop, *GONE)
        shown = connection.execute(f"SELECT count(*) FROM {schema}.shop_cart".encode()).fetchone()
    assert shown == (12,)  # it shows the lists, not those of the scenario
    with pytest.raises(ConfigError, match=r"users in there.*back into deliver"):
        erase(tmp_path, with_key(config_of(tmp_path)), *GONE)
    assert erasure_is_open(tmp_path)


@pytest.mark.parametrize("kind", ["postgresql"])
def test_a_table_that_is_read_keeps_the_erasure_open(
    tmp_path: Path, site: Site, shop: Config
) -> None:
    """A dump reads tables, not views, so that it is in the way of removing them alone."""
    patient = with_key(config_of(tmp_path, there={**site.settings, "timeout_seconds": 1}))
    erase(tmp_path, with_key(config_of(tmp_path)), GONE[0])
    schema, label = site.settings["schema"], min(site.versions())
    read = f"SELECT * FROM {schema}.shop_v{label}".encode()
    with psycopg.connect(site.settings["url"]) as reader:
        reader.execute(read)
        with pytest.raises(TargetDownError, match=rf"{label} may have erased users"):
            erase(tmp_path, patient, GONE[1])
        assert erasure_is_open(tmp_path)
        assert GONE[0] in site.text()
    assert erase(tmp_path, shop, GONE[1])["removed"]["deliver/there"]["versions"] == 2
    assert not any(name in site.text() for name in GONE)


@pytest.mark.parametrize("kind", ["postgresql"])
def test_an_erasure_that_is_run_again_counts_what_the_first_one_removed(
    tmp_path: Path, site: Site, shop: Config
) -> None:
    patient = with_key(config_of(tmp_path, there={**site.settings, "timeout_seconds": 1}))
    with psycopg.connect(site.settings["url"]) as reader:
        reader.execute(f"SELECT * FROM {site.settings['schema']}.shop".encode())
        with pytest.raises(TargetDownError, match="somebody reads the lists"):
            erase(tmp_path, patient, *GONE)
    told = erase(tmp_path, shop, *GONE)["removed"]["deliver/there"]
    assert told == {"lists": 12, "scenarios.cart": 12}


@pytest.mark.parametrize("kind", KINDS)
def test_an_erasure_asks_for_a_delivery_first_if_a_record_is_damaged(
    tmp_path: Path, site: Site, shop: Config
) -> None:
    put(site, RECORD, "")
    with pytest.raises(VersionError, match=r"is damaged; run headrace deliver.*erase again"):
        erase(tmp_path, shop, *GONE)
    run_deliver(shop)
    assert erase(tmp_path, shop, *GONE)["status"] == "done"
    assert not any(name in site.text() for name in GONE)
    assert site.read("lists") == lists_for(LEFT, "b")


@pytest.mark.parametrize("kind", ["redis"])
def test_an_erasure_counts_what_is_left_not_what_was_there(
    tmp_path: Path, site: Site, shop: Config
) -> None:
    """One that was cut off has removed a list, but has not written so into the record."""
    client: Any = redis.Redis.from_url(site.settings["url"])
    version = current_of(site)
    client.delete(f"{site.settings['prefix']}:{version}:lists:{GONE[0]}")
    erase(tmp_path, shop, *GONE)
    told = run_deliver(shop)["delivered"]["there"]
    assert (told["status"], told["version"]) == ("current", version)
    assert told["kinds"]["lists"] == {"rows": 12, "lists": 4}


@pytest.mark.parametrize("kind", ["redis"])
def test_a_damaged_audience_is_removed_by_an_erasure(tmp_path: Path, site: Site) -> None:
    """It may have the users. The next delivery writes it again."""
    config = with_audiences(with_key(config_of(tmp_path, there=site.settings)))
    write_two(tmp_path, config, NAMES)
    client: Any = redis.Redis.from_url(site.settings["url"])
    begin = f"{site.settings['prefix']}:{current_of(site)}:audiences:"
    client.hset(f"{begin}hash", "a", "b")
    for name, content in {"tents": "x", "a": "[1]", "b": '[{"user": "u1"}]', "c": b"\xff"}.items():
        client.set(begin + name, content)
    assert erase(tmp_path, config, *GONE)["status"] == "done"
    assert not client.keys(f"{begin}*")
    assert run_deliver(config)["delivered"]["there"]["status"] == "delivered"
    assert client.get(f"{site.settings['prefix']}:{current_of(site)}:audiences:tents")
