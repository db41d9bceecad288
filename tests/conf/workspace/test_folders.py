import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from conf.errors import ConfigError
from conf.privacy.erased import add_erased, erased_folder
from conf.privacy.keys import load_keys
from conf.settings.config import Run
from conf.settings.load import load_config
from conf.workspace.folders import close_to_others, current_umask, set_umask
from conf.workspace.json_files import write_json
from tests.conf import erasable
from tests.packaging.checkout import CHECKOUT


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_umask_of_the_run_holds_for_new_files(tmp_path: Path) -> None:
    set_umask(None)
    assert current_umask() == 0o022
    write_json(tmp_path / "usual.json", {})
    set_umask("077")
    assert current_umask() == 0o077
    write_json(tmp_path / "closed.json", {})
    (tmp_path / "folder").mkdir()

    assert mode(tmp_path / "usual.json") == 0o644
    assert mode(tmp_path / "closed.json") == 0o600
    assert mode(tmp_path / "folder") == 0o700


@pytest.mark.parametrize("value", ["77", "088", "rwx", "1777", "'0o77'"])
def test_a_umask_that_is_no_octal_number_is_refused(value: str) -> None:
    with pytest.raises(ConfigError, match=r"run\.umask"):
        load_config(CHECKOUT / "conf/demo.yaml", [f"run.umask={value}"])
    assert Run(name="a", output="b", umask="077").umask == "077"


def test_the_hashes_of_erased_users_are_for_their_owner_also_in_old_workspaces(
    tmp_path: Path,
) -> None:
    keys = load_keys(erasable.config_of(tmp_path).privacy)
    assert keys is not None
    (tmp_path / "erased").mkdir()
    (tmp_path / "erased/receipt-old.json").write_text("{}")
    add_erased(tmp_path, keys, ["a" * 64])

    assert mode(erased_folder(tmp_path)) == 0o700
    assert {mode(path) for path in erased_folder(tmp_path).iterdir()} == {0o600}


def test_an_erasure_leaves_the_quarantine_closed(tmp_path: Path) -> None:
    erasable.write_workspace(tmp_path, erasable.NAMES)
    (tmp_path / "users.txt").write_text("\n".join(erasable.GONE))
    from conf.erasure.erase import run

    run(erasable.config_of(tmp_path), users=tmp_path / "users.txt")

    quarantine = tmp_path / "datasets" / erasable.DATASET / "quarantine"
    assert mode(quarantine) == 0o700
    assert [mode(path) for path in quarantine.iterdir()] == [0o600]


def test_links_in_a_closed_folder_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path / "theirs")
    (folder / "file").write_text("")
    close_to_others(folder)

    assert mode(tmp_path / "theirs") == 0o644
    assert (mode(folder), mode(folder / "file")) == (0o700, 0o600)
