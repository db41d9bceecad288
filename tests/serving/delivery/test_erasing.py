"""An erasure reaches every version in every target, and says so if it cannot."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conf.erasure.receipts import is_genuine
from conf.errors import ConfigError, TargetDownError
from conf.privacy.erased import erasure_is_open
from conf.privacy.identities import KIND, LABEL, NUMBER, RAW_ID, SCHEMA, identities_folder
from conf.privacy.keys import load_keys
from conf.privacy.sealing import pseudonym
from conf.runs.delivering import run_deliver
from conf.runs.managing import run_erase
from conf.settings.config import Config
from tests.serving.delivery import servers
from tests.serving.delivery.conftest import KINDS
from tests.serving.delivery.readers import Site
from tests.serving.delivery.shops import config_of, write_lists
from tests.serving.delivery.test_failures import NETWORK, at_port

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
