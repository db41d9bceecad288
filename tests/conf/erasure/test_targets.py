"""An erasure ends when it has reached every target, or when somebody says that one is gone."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from conf.erasure.receipts import is_genuine
from conf.errors import ConfigError, TargetDownError, VersionError
from conf.privacy.delivered import read_delivered
from conf.privacy.erased import erasure_is_open
from conf.privacy.keys import load_keys
from conf.runs.managing import run_deliver
from conf.settings.config import Config
from conf.settings.publishing.places import place_key
from tests.packaging.checkout import BIN, call
from tests.serving.delivery.shops import (
    GONE,
    KEY,
    NAMES,
    config_of,
    erase,
    lists_for,
    with_key,
    write_lists,
)

YAML = """
run: {{name: shop, output: {}}}
input: {{root: none, events: {{log: {{paths: [none], time_unit: seconds}}}}}}
etl: {{event_types: {{view: {{}}}}}}
privacy: {{key: "${{oc.env:SHOP_KEY}}"}}
"""
DOWN = {"kind": "redis", "url": "redis://127.0.0.1:1/0", "timeout_seconds": 1}


def folder(tmp_path: Path, name: str) -> dict[str, Any]:
    return {"kind": "jsonl", "path": f"{tmp_path}-{name}", "timeout_seconds": 1}


def held_by(target: dict[str, Any]) -> str:
    return "".join(path.read_text() for path in Path(target["path"]).glob("*/*.jsonl"))


@pytest.fixture
def shop(tmp_path: Path) -> Config:
    """Return a configuration with a key, whose target `web` has a version with all users."""
    config = with_key(config_of(tmp_path, web=folder(tmp_path, "a")))
    write_lists(tmp_path, lists_for(NAMES, "a"))
    run_deliver(config)
    return config


def test_a_killed_erasure_has_noted_its_targets(tmp_path: Path, shop: Config) -> None:
    """It ends while it erases the workspace; the targets are taken out before it is run again."""
    damaged = next((tmp_path / "lists").glob("*/part-00000.parquet"))
    content = damaged.read_bytes()
    damaged.write_bytes(content[:-1])
    with pytest.raises(VersionError):
        erase(tmp_path, shop, *GONE)
    damaged.write_bytes(content)
    first, other = folder(tmp_path, "a"), folder(tmp_path, "b")
    for left in (config_of(tmp_path), config_of(tmp_path, other=other),
                 config_of(tmp_path, web=other), config_of(tmp_path, other=DOWN)):  # fmt: skip
        with pytest.raises(ConfigError, match=r"users in web.*back into deliver"):
            erase(tmp_path, with_key(left), *GONE)
        assert erasure_is_open(tmp_path)
    both = config_of(tmp_path, other=other, renamed=first)
    assert erase(tmp_path, with_key(both), *GONE)["status"] == "done"
    assert held_by(first) and not any(name in held_by(first) for name in GONE)


def test_an_erasure_warns_of_targets_that_it_does_not_reach(
    tmp_path: Path, shop: Config, caplog: pytest.LogCaptureFixture
) -> None:
    assert erase(tmp_path, with_key(config_of(tmp_path)), *GONE)["status"] == "done"
    assert "web got lists at a place that is no longer in the section deliver" in caplog.text


def test_a_target_whose_disk_is_away_keeps_the_erasure_open(tmp_path: Path, shop: Config) -> None:
    """A share that is not mounted looks like an empty folder."""
    web, away = Path(f"{tmp_path}-a"), Path(f"{tmp_path}-b")
    web.rename(away)
    with pytest.raises(TargetDownError, match="web is empty, although lists were delivered there"):
        erase(tmp_path, shop, *GONE)
    assert erasure_is_open(tmp_path)
    shutil.rmtree(web)
    away.rename(web)
    assert erase(tmp_path, shop, *GONE)["status"] == "done"
    held = held_by(folder(tmp_path, "a"))
    assert held and not any(name in held for name in GONE)

    shutil.rmtree(web)
    with pytest.raises(TargetDownError):
        erase(tmp_path, shop, *GONE)
    run_deliver(shop)
    assert erase(tmp_path, shop, *GONE)["status"] == "done"


def test_a_version_that_lost_its_mark_is_erased_too(tmp_path: Path, shop: Config) -> None:
    """The record names it, so it is ours."""
    for mark in Path(f"{tmp_path}-a").glob("*/.headrace"):
        mark.unlink()
    assert erase(tmp_path, shop, *GONE)["status"] == "done"
    files = [path for path in Path(f"{tmp_path}-a").rglob("*") if path.is_file()]
    assert files and not any(name in path.read_text() for path in files for name in GONE)


def test_a_delivery_that_was_cut_off_has_noted_its_place(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its version is there, though no reader sees it."""
    first, other = folder(tmp_path, "a"), folder(tmp_path, "b")
    config, moved = (with_key(config_of(tmp_path, web=one)) for one in (first, other))
    write_lists(tmp_path, lists_for(NAMES, "a"))
    Path(first["path"]).mkdir()
    with FileLock(Path(first["path"]) / ".deliver.lock"):
        with pytest.raises(TargetDownError, match="has the lock"):
            run_deliver(config)
        with pytest.raises(TargetDownError, match="has the lock"):
            erase(tmp_path, config, *GONE)
        assert GONE[0] in held_by(first)
        with pytest.raises(ConfigError, match=r"users in web.*back into deliver"):
            erase(tmp_path, moved, *GONE)
        assert erasure_is_open(tmp_path)
    assert erase(tmp_path, config, *GONE)["status"] == "done"
    assert held_by(first) == ""
    run_deliver(config)
    assert "is empty, although" not in caplog.text  # no delivery has ended there


def test_a_target_that_is_gone_for_good_is_named_in_the_receipt(
    tmp_path: Path, shop: Config
) -> None:
    place = place_key(shop.deliver["web"])
    for name, told in (("web", "is still a target"), ("wob", "is no target")):
        with pytest.raises(ConfigError, match=told):
            erase(tmp_path, shop, *GONE, gone=[name])
        assert not erasure_is_open(tmp_path)  # a wrong word opens nothing
    Path(f"{tmp_path}-a").rename(f"{tmp_path}-elsewhere")
    Path(f"{tmp_path}-a").touch()  # its file system is no longer mounted, for example
    with pytest.raises(ConfigError, match="is no folder"):
        erase(tmp_path, shop, *GONE)
    with pytest.raises(ConfigError, match=r"--gone='web': deliver.web is still a target"):
        erase(tmp_path, shop, *GONE, gone=["web"])
    left = with_key(config_of(tmp_path))
    with pytest.raises(
        ConfigError, match=r"if that place is gone for good, run again with --gone web"
    ):
        erase(tmp_path, left, *GONE)
    with pytest.raises(ConfigError, match=r"--gone='wob' is no target .*no longer names: web"):
        erase(tmp_path, left, *GONE, gone=["wob"])
    assert erasure_is_open(tmp_path) and place in read_delivered(tmp_path)
    path = tmp_path / "shop.yaml"
    path.write_text(YAML.format(tmp_path))
    done = call(
        BIN / "headrace", "erase", "-c", path, "--users", tmp_path / "users.txt", "--json",
        "--gone", "web", SHOP_KEY=KEY,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["targets_gone"] == {place: "web"}
    receipt, keys = Path(result["receipt"]), load_keys(left.privacy)
    assert keys is not None and is_genuine(receipt, keys)
    told = json.loads(receipt.read_text())
    assert told["targets_gone"] == {place: "web"}
    receipt.write_text(json.dumps({**told, "targets_gone": {}}))
    assert not is_genuine(receipt, keys)
    assert not read_delivered(tmp_path) and not erasure_is_open(tmp_path)


def test_an_erasure_does_not_begin_if_the_places_are_not_known(
    tmp_path: Path, shop: Config
) -> None:
    (tmp_path / "lists/DELIVERED.json").write_text("{")
    with pytest.raises(VersionError, match=r"DELIVERED\.json is damaged.*run headrace deliver"):
        erase(tmp_path, with_key(config_of(tmp_path)), *GONE)
    assert not erasure_is_open(tmp_path)
    run_deliver(shop)
    assert erase(tmp_path, shop, *GONE)["status"] == "done"
    assert not any(name in held_by(folder(tmp_path, "a")) for name in GONE)
