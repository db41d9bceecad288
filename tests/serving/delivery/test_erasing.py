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
from conf.runs.managing import run_deliver, run_erase, run_rollback
from conf.settings.config import Config
from tests.serving.delivery import servers
from tests.serving.delivery.conftest import KINDS
from tests.serving.delivery.readers import Site
from tests.serving.delivery.shops import config_of, write_lists
from tests.serving.delivery.test_failures import NETWORK, at_port
from tests.serving.delivery.test_mending import put

KEY = "0123456789abcdef0123456789abcdef"
NAMES = [f"token{number}token" for number in range(6)]
GONE, LEFT = NAMES[1:3], [NAMES[0], *NAMES[3:]]


def with_key(config: Config) -> Config:
    privacy = {"privacy": {"key": KEY}}
    return Config.model_validate({**config.model_dump(mode="json", by_alias=True), **privacy})


def lists_for(names: list[str], mark: str) -> dict[str, list[str]]:
    return {name: [f"{mark}-{place}" for place in range(3)] for name in names}


def erase(workspace: Path, config: Config, *users: str) -> dict[str, Any]:
    path = workspace / "users.txt"
    path.write_text("\n".join(users))
    return run_erase(config, path)


def write_two(workspace: Path, config: Config, names: list[str]) -> None:
    """Deliver two versions with lists, a scenario and an audience."""
    for mark in "ab":
        lists = lists_for(names, mark)
        audiences = {"tents": names, "few": names[1:2]}
        write_lists(workspace, lists, scenarios={"cart": lists}, audiences=audiences)
        run_deliver(config)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_labelled", [False, True])
def test_no_version_holds_an_erased_user(tmp_path: Path, site: Site, is_labelled: bool) -> None:
    config = with_key(config_of(tmp_path, there=site.settings))
    target = config.deliver["there"].model_copy(update={"audiences": True})
    config = config.model_copy(update={"deliver": {"there": target}})
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
def test_an_erasure_that_misses_a_target_stays_open(tmp_path: Path, site: Site) -> None:
    """The labels are known only to a table of identities, which loses them the first time."""
    folder = identities_folder(tmp_path, "none")
    folder.mkdir(parents=True)
    columns = {KIND: ["user"] * 6, RAW_ID: [f"raw{n}" for n in range(6)], LABEL: NAMES,
               NUMBER: range(2, 8)}  # fmt: skip
    table = pa.table(columns, schema=SCHEMA)
    pq.write_table(table, folder / "part-00000.parquet", write_page_checksum=True)
    config = with_key(config_of(tmp_path, there=site.settings))
    write_two(tmp_path, config, NAMES)
    down = at_port(site, servers.free_port())
    unreached = with_key(config_of(tmp_path, there=down))
    with pytest.raises(TargetDownError, match=r"not finished.*may still hold the users in there"):
        erase(tmp_path, unreached, "raw1", "raw2")
    assert erasure_is_open(tmp_path)
    assert all(name in site.text() for name in GONE)
    with pytest.raises(ConfigError, match="an erasure of 2 users was interrupted"):
        erase(tmp_path, config, "raw3")
    without = with_key(config_of(tmp_path))
    with pytest.raises(ConfigError, match=r"users in there.*put it back into deliver"):
        erase(tmp_path, without, "raw1", "raw2")
    assert erasure_is_open(tmp_path)
    result = erase(tmp_path, config, "raw1", "raw2")
    assert result["status"] == "done"
    assert not any(name in site.text() for name in GONE)
    assert not erasure_is_open(tmp_path)
    assert site.read("lists") == lists_for(LEFT, "b")


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_cut_off_delivery_left_is_erased_too(tmp_path: Path, site: Site) -> None:
    from serving.delivery.places import form_of, opened
    from serving.delivery.reading import Published

    config = with_key(config_of(tmp_path, there=site.settings))
    write_lists(tmp_path, lists_for(NAMES, "a"), number=3)
    run_deliver(config)
    targets = config.deliver
    target = targets["there"]
    place = opened("there", target)
    place.stage(
        "000009_0123abcd", Published(tmp_path, "shop").delivery("there", targets, form_of(target))
    )
    place.close()
    erase(tmp_path, config, *GONE)
    assert "000009_0123abcd" not in site.versions()
    assert not any(name in site.text() for name in GONE)


@pytest.mark.parametrize("kind", KINDS)
def test_a_target_that_missed_an_erasure_loses_its_users_by_the_next_delivery(
    tmp_path: Path, site: Site
) -> None:
    """Also by a second erasure, of others, and never goes back to a version with them."""
    config = with_key(config_of(tmp_path, there=site.settings))
    write_two(tmp_path, config, NAMES)
    erase(tmp_path, with_key(config_of(tmp_path)), GONE[0])
    assert GONE[0] in site.text()
    erase(tmp_path, config, GONE[1])
    assert not any(name in site.text() for name in GONE)
    assert site.read("lists") == lists_for(LEFT, "b")
    assert site.read("scenarios.cart") == lists_for(LEFT, "b")
    write_two(tmp_path, config, LEFT)
    erase(tmp_path, with_key(config_of(tmp_path)), LEFT[0])
    run_deliver(config)
    assert LEFT[0] not in site.text()
    told = run_rollback(config, "lists")["delivered"]["there"]
    assert told["status"] == "delivered"
    assert LEFT[0] not in site.text()
    assert site.read("lists") == lists_for(LEFT[1:], "a")


@pytest.mark.parametrize("kind", KINDS)
def test_a_delivery_during_an_erasure_does_not_count_as_one_after_it(
    tmp_path: Path, site: Site
) -> None:
    down = config_of(tmp_path, down={"kind": "redis", "url": "redis://127.0.0.1:1/0"})
    config = with_key(config_of(tmp_path, there=site.settings))
    write_two(tmp_path, config, NAMES)
    with pytest.raises(TargetDownError):
        erase(tmp_path, with_key(down), GONE[0])
    write_lists(tmp_path, lists_for(NAMES, "c"))  # of a run that began before
    run_deliver(config)
    journal = tmp_path / "erased" / "journal.json"
    journal.unlink()  # as at the end of the erasure, which does not know this target
    write_lists(tmp_path, lists_for(LEFT, "d"))
    run_deliver(config)
    assert GONE[0] not in site.text()


@pytest.mark.parametrize("kind", KINDS)
def test_an_erasure_leaves_what_is_not_ours(tmp_path: Path, site: Site) -> None:
    config = with_key(config_of(tmp_path, there=site.settings))
    write_two(tmp_path, config, NAMES)
    other = with_key(config_of(tmp_path / "other", there=site.settings))
    other = other.model_copy(update={"run": other.run.model_copy(update={"name": "other"})})
    before = site.text()
    (tmp_path / "other").mkdir()
    with pytest.raises(ConfigError, match=r"has the lists of the run 'shop', not of 'other'"):
        erase(tmp_path / "other", other, *GONE)
    assert site.text() == before
    left = other.model_copy(update={"deliver": {}})  # nothing of this run was ever there
    assert erase(tmp_path / "other", left, *GONE)["status"] == "done"


@pytest.mark.parametrize("kind", ["postgresql"])
def test_an_erasure_leaves_a_foreign_view_of_a_scenario(tmp_path: Path, site: Site) -> None:
    config = with_key(config_of(tmp_path, there=site.settings))
    write_two(tmp_path, config, NAMES)
    schema = site.settings["schema"]
    with psycopg.connect(site.settings["url"], autocommit=True) as connection:
        connection.execute(f"DROP VIEW {schema}.shop_cart".encode())
        connection.execute(
            f"CREATE VIEW {schema}.shop_cart AS SELECT * FROM {schema}.shop".encode()
        )
        with pytest.raises(ConfigError, match=rf"{schema}\.shop_cart is there, but it is not"):
            erase(tmp_path, config, *GONE)
        shown = connection.execute(f"SELECT count(*) FROM {schema}.shop_cart".encode()).fetchone()
    assert shown == (12,)  # it shows the lists, not those of the scenario
    assert erasure_is_open(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_an_erasure_asks_for_a_delivery_first_if_a_record_is_damaged(
    tmp_path: Path, site: Site
) -> None:
    config = with_key(config_of(tmp_path, there=site.settings))
    write_two(tmp_path, config, NAMES)
    put(site, "CURRENT.json", "")
    with pytest.raises(VersionError, match=r"is damaged; run headrace deliver.*erase again"):
        erase(tmp_path, config, *GONE)
    run_deliver(config)
    assert erase(tmp_path, config, *GONE)["status"] == "done"
    assert not any(name in site.text() for name in GONE)
    assert site.read("lists") == lists_for(LEFT, "b")


def test_a_killed_erasure_has_noted_its_targets(tmp_path: Path) -> None:
    """It ends while it erases the workspace; the targets are taken out before it is run again."""
    first, other = ({"kind": "jsonl", "path": f"{tmp_path}-{n}"} for n in "ab")
    config = with_key(config_of(tmp_path, web=first))
    write_lists(tmp_path, lists_for(NAMES, "a"))
    run_deliver(config)
    damaged = next((tmp_path / "lists").glob("*/part-00000.parquet"))
    content = damaged.read_bytes()
    damaged.write_bytes(content[:-1])
    with pytest.raises(VersionError):
        erase(tmp_path, config, *GONE)
    damaged.write_bytes(content)
    for left in (config_of(tmp_path), config_of(tmp_path, other=other),
                 config_of(tmp_path, web=other)):  # fmt: skip
        with pytest.raises(ConfigError, match=r"users in web.*back into deliver"):
            erase(tmp_path, with_key(left), *GONE)
        assert erasure_is_open(tmp_path)
    both = config_of(tmp_path, other=other, renamed=first)
    assert erase(tmp_path, with_key(both), *GONE)["status"] == "done"
    held = "".join(path.read_text() for path in Path(f"{tmp_path}-a").glob("*/*.jsonl"))
    assert held and not any(name in held for name in GONE)


def test_an_erasure_warns_of_targets_that_it_does_not_reach(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = {"kind": "jsonl", "path": f"{tmp_path}-a"}
    config = with_key(config_of(tmp_path, web=first))
    write_lists(tmp_path, lists_for(NAMES, "a"))
    run_deliver(config)
    assert erase(tmp_path, with_key(config_of(tmp_path)), *GONE)["status"] == "done"
    assert "erase: web got lists at a place that is no longer in the section deliver" in caplog.text
    Path(f"{tmp_path}-a").rename(f"{tmp_path}-b")
    assert erase(tmp_path, config, *GONE)["status"] == "done"
    assert "deliver.web is empty, although lists were delivered there" in caplog.text


@pytest.mark.parametrize("kind", ["redis"])
def test_an_erasure_counts_what_is_left_not_what_was_there(tmp_path: Path, site: Site) -> None:
    """One that was cut off has removed a list, but has not written so into the record."""
    config = with_key(config_of(tmp_path, there=site.settings))
    write_two(tmp_path, config, NAMES)
    client: Any = redis.Redis.from_url(site.settings["url"])
    version = json.loads(client.get(f"{site.settings['prefix']}:current"))["current"]["version"]
    client.delete(f"{site.settings['prefix']}:{version}:lists:{GONE[0]}")
    erase(tmp_path, config, *GONE)
    told = run_deliver(config)["delivered"]["there"]
    assert (told["status"], told["version"]) == ("current", version)
    assert told["kinds"]["lists"] == {"rows": 12, "lists": 4}
