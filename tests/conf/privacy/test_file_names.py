from pathlib import Path

import pytest

from conf.contract import CACHE_NAME
from conf.erasure.rows import Target
from conf.errors import InputError
from conf.privacy.file_names import erased_names, hidden_names
from conf.privacy.keys import require_keys
from conf.runs.inputs.input_files import fingerprint_inputs, names_hidden_in_errors
from conf.settings.config import Config
from conf.workspace.json_files import read_json, write_json
from tests.conf.erasable import KEY

PRIVACY = {"mode": "pseudonymise", "key": KEY}


def config_of(root: Path, **privacy: str) -> Config:
    return Config.model_validate({
        "run": {"name": "tiny", "output": str(root / "workspace")},
        "input": {"root": str(root), "events": {"log": {"paths": ["*.csv"], "time_unit": "iso"}}},
        "etl": {"event_types": {"view": {}}}, "privacy": privacy,
    })  # fmt: skip


KEYS = require_keys(config_of(Path("x"), **PRIVACY).privacy, "the test")


def test_hidden_names_keep_the_order_and_depend_on_the_key() -> None:
    names = ["b.csv", "a.csv", "a.csv", "\u00e9.csv", "Z.csv"]
    hidden = hidden_names(names, KEYS)
    assert sorted(hidden, key=hidden.__getitem__) == sorted(set(names))
    assert hidden == hidden_names(reversed(names), KEYS)
    other = require_keys(config_of(Path("x"), mode="pseudonymise", key=KEY[::-1]).privacy, "it")
    assert not set(hidden.values()) & set(hidden_names(names, other).values())
    many = hidden_names((f"{n:07d}" for n in range(3)), KEYS)
    assert [name[:12] for name in many.values()] == ["file-000001-", "file-000002-", "file-000003-"]


@pytest.mark.parametrize("privacy", [{}, PRIVACY])
def test_the_cache_of_hashes_has_no_path(tmp_path: Path, privacy: dict[str, str]) -> None:
    (tmp_path / "marked.csv").write_text("user_id,item_id,time\n")
    cache = tmp_path / "workspace" / CACHE_NAME
    cache.parent.mkdir()
    cache.write_text(f'{{"{tmp_path}/marked.csv|1|2": "of an older release"}}')
    config = config_of(tmp_path, **privacy)
    (file,) = fingerprint_inputs(config)["events.log"]
    written = cache.read_text()
    assert "marked" not in written and file.sha256 in written
    # The hash is found there again: a wrong one is believed.
    hashes = read_json(cache)["files"]
    write_json(cache, {"files": dict.fromkeys(hashes, "wrong")})
    assert fingerprint_inputs(config)["events.log"][0].sha256 == "wrong"


def test_paths_in_errors_are_replaced_by_what_stands_for_them(tmp_path: Path) -> None:
    for name in ("marked.csv", "marked.csv.old.csv"):
        (tmp_path / name).write_text("user_id,item_id,time\n")
    inputs = fingerprint_inputs(config_of(tmp_path, **PRIVACY))
    first, other = inputs["events.log"]
    with (
        pytest.raises(InputError, match=f"^{other.name} is like {first.name}$"),
        names_hidden_in_errors(inputs),
    ):
        raise InputError(f"{tmp_path}/marked.csv.old.csv is like marked.csv")


@pytest.mark.parametrize(("name", "is_named"), [
    ("who=u-1/part.csv", True), ("who_u-1.csv", True), ("u-1", True), ("x-u-1-y.csv", True),
    ("who=u%2D1/part.csv", True),
    ("u-12.csv", False), ("xu-1.csv", False), ("u-1\u00e9.csv", False),
    ("d/e\u0301.csv", True), ("d/\u00e9.csv", True), ("who=a%20b.csv", True), ("a b", True),
])  # fmt: skip
def test_an_id_is_found_in_the_name_of_a_file(name: str, is_named: bool) -> None:
    raw = frozenset({"u-1", "\u00e9", "a b"})
    target = Target(raw, raw, frozenset(), (KEYS.cipher(),))
    assert target.is_named_in(name) == is_named


def test_new_names_do_not_repeat_those_of_an_erasure_before() -> None:
    names = ["erased-1", "erased-3", "b-marked", "a-marked", "other"]
    found = erased_names(names, lambda name: "marked" in name)
    assert found == {"a-marked": "erased-4", "b-marked": "erased-5"}
