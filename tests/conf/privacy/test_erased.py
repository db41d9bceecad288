"""The hashes of erased users go on counting when the key changes."""

import json
from pathlib import Path
from typing import Any

import pytest

from conf.contract import Manifest
from conf.errors import ConfigError
from conf.privacy.erased import add_erased, read_erased
from conf.privacy.keys import Keys, require_keys
from conf.privacy.protection import request_part, require_own_key_id
from conf.privacy.sealing import erased_hash, pseudonym
from conf.runs.managing import run_erase
from conf.runs.stages import run_etl
from conf.settings.load import load_config
from conf.settings.privacy import Privacy
from conf.workspace.json_files import write_json
from conf.workspace.versions import read_manifest
from tests.conf.erasable import (
    DATASET,
    KEY,
    NAMES,
    REPORT,
    config_of,
    everything_in,
    write_workspace,
)

NEW = KEY[::-1]


def keys_of(key: str, **privacy: Any) -> Keys:
    return require_keys(Privacy.model_validate({"key": key, **privacy}), "this")


def is_erased(workspace: Path, keys: Keys, name: str) -> bool:
    found = read_erased(workspace, keys)
    return any(erased_hash(users.key, name) in users.hashes for users in found)


def erase(workspace: Path, name: str, **privacy: Any) -> dict[str, Any]:
    path = workspace.parent / "somebody.txt"
    path.write_text(name)
    return run_erase(config_of(workspace, **privacy), path)


def test_users_erased_with_each_key_stay_erased(workspace: Path) -> None:
    erase(workspace, NAMES[1])
    erase(workspace, NAMES[2], key=NEW, former_keys=[KEY])
    erase(workspace, NAMES[3], key=NEW, former_keys=[KEY])

    keys = keys_of(NEW, former_keys=[KEY])
    assert [is_erased(workspace, keys, name) for name in NAMES[:5]] == [False, *[True] * 3, False]
    stored = json.loads((workspace / "erased/hashes.json").read_text())["keys"]
    assert [len(entry["hashes"]) for entry in stored] == [1, 2]
    config = config_of(workspace, key=NEW, former_keys=[KEY])
    assert request_part(config)[1:] == [
        keys.key_id, sorted(text for entry in stored for text in entry["hashes"]),
    ]  # fmt: skip


def test_the_former_key_may_be_in_a_file(workspace: Path, tmp_path: Path) -> None:
    erase(workspace, NAMES[1])
    (tmp_path / "old").write_text(f"{KEY}\n")
    keys = keys_of(NEW, former_key_files=[str(tmp_path / "old")])
    assert is_erased(workspace, keys, NAMES[1])
    with pytest.raises(ConfigError, match=r"privacy\.former_key_files='none/such' cannot be read"):
        keys_of(NEW, former_key_files=["none/such"])
    with pytest.raises(ConfigError, match=r"privacy\.former_keys has 5 characters"):
        keys_of(NEW, former_keys=["short"])


@pytest.mark.parametrize("former", [[], ["another-key-another-key-another-"]])
def test_without_the_former_key_nothing_runs(workspace: Path, former: list[str]) -> None:
    erase(workspace, NAMES[1])
    config = config_of(workspace, key=NEW, former_keys=former)
    message = r"was made with the key .*; name the first key in privacy\.former_key_files or"
    for refused in (lambda: run_etl(config), lambda: erase(workspace, NAMES[2], key=NEW)):
        with pytest.raises(ConfigError, match=message):
            refused()
    assert NAMES[2] in everything_in(workspace)


def test_two_keys_of_one_name_are_found_out(workspace: Path) -> None:
    erase(workspace, NAMES[1], key_id="ours")
    for former in ([], [KEY]):
        with pytest.raises(ConfigError, match="another key that is called 'ours' too"):
            read_erased(workspace, keys_of(NEW, key_id="ours", former_keys=former))
    assert is_erased(workspace, keys_of(NEW, key_id="new", former_keys=[KEY]), NAMES[1])
    assert is_erased(workspace, keys_of(KEY, key_id="renamed"), NAMES[1])


def test_a_dataset_of_another_key_of_the_same_name_is_found_out(tmp_path: Path) -> None:
    report = REPORT.model_copy(update={"key_id": "ours", "key_check": keys_of(KEY).check})
    write_workspace(tmp_path, NAMES, report)
    require_own_key_id(tmp_path, keys_of(KEY, key_id="ours"))
    require_own_key_id(tmp_path, keys_of(NEW, key_id="other"))
    with pytest.raises(ConfigError, match="key_id='ours' is the name of another key, which made"):
        run_etl(config_of(tmp_path, key=NEW, key_id="ours"))
    with pytest.raises(ConfigError, match="key_id='ours' is the name of another key, which made"):
        erase(tmp_path, NAMES[1], key=NEW, key_id="ours")


@pytest.mark.parametrize("key_id", [None, "ours"])
def test_hashes_of_an_earlier_release_are_read(workspace: Path, key_id: str | None) -> None:
    """Then there was no check: the key is known by its receipts, however it was called."""
    erase(workspace, NAMES[1], key_id=key_id)
    path = workspace / "erased/hashes.json"
    (entry,) = json.loads(path.read_text())["keys"]
    write_json(path, {"key_id": entry["key_id"], "hashes": entry["hashes"]})

    assert is_erased(workspace, keys_of(KEY, key_id=key_id), NAMES[1])
    both = keys_of(NEW, former_keys=[KEY])
    assert is_erased(workspace, both, NAMES[1])
    with pytest.raises(ConfigError, match="was made with"):
        read_erased(workspace, keys_of(NEW, key_id=key_id))
    add_erased(workspace, both, ["f" * 64])
    assert is_erased(workspace, both, NAMES[1])
    for receipt in path.parent.glob("receipt-*"):
        receipt.unlink()
    if key_id is None:
        assert is_erased(workspace, both, NAMES[1])
    else:  # nothing is left that says which key was called so
        with pytest.raises(ConfigError, match="was made with the key 'ours'"):
            read_erased(workspace, both)


def test_labels_of_a_former_key_are_found_without_the_table(tmp_path: Path) -> None:
    names = tuple(pseudonym(KEY.encode(), "", "user", name) for name in NAMES)
    write_workspace(tmp_path, names, REPORT)

    result = erase(tmp_path, NAMES[2], key=NEW, former_keys=[KEY])

    assert result["found"] == 1
    assert names[2] not in everything_in(tmp_path).replace(f"{names[2]}0", "")
    assert read_manifest(tmp_path, "datasets", DATASET, Manifest).counts["users"] == 5


YAML = """
run: {name: tiny, output: out}
input: {root: data, events: {log: {paths: [e.csv], time_unit: iso}}}
etl: {event_types: {view: {}}}
"""


def test_former_keys_come_from_the_environment_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(YAML)
    monkeypatch.setenv("OLD_KEY", KEY)
    config = load_config(path, ["privacy.former_keys=['${oc.env:OLD_KEY}', '${oc.env:NONE,null}']"])
    (former, none) = config.privacy.former_keys
    assert none is None and former is not None and former.get_secret_value() == KEY
    assert KEY not in config.model_dump_json()
    for written in (f"[{KEY}]", f"['${{oc.env:OLD_KEY}}', {KEY}]", KEY):
        with pytest.raises(ConfigError, match=r"privacy\.former_keys holds the key itself") as told:
            load_config(path, [f"privacy.former_keys={written}"])
        assert KEY not in str(told.value) and "former_key_files" in str(told.value)
