"""Files that are there and cannot be read: none of them is passed over."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from conf.errors import InputError
from conf.runs.inputs.input_files import fingerprint_inputs
from tests.conf.runs.inputs.test_request_keys import config_of, names


@contextmanager
def without_rights_of_root() -> Iterator[None]:
    """Act as a user whom permissions hold for."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


@pytest.fixture
def root() -> Iterator[Path]:
    """Yield a folder that another user can look into, with a file in each of two folders."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for folder in ("day=1", "day=2"):
            (root / folder).mkdir()
            (root / folder / "a.csv").write_text("user_id,item_id,time\n")
        (root / "workspace").mkdir()
        for path in (root, root / "workspace"):
            path.chmod(0o777)
        yield root
        for path in root.rglob("*"):
            path.chmod(0o755)


def test_what_nobody_may_read_is_named(root: Path) -> None:
    file, folder = root / "day=1/a.csv", root / "day=2"
    file.chmod(0)
    with without_rights_of_root(), pytest.raises(InputError, match=r"1/a\.csv cannot be read: P"):
        names(root, "day=*/*.csv")
    file.chmod(0o644)
    for rights, pattern in ((0, "day=*/*.csv"), (0, "**/*.csv"), (0, "day=*/a.csv"),
                            (0o644, "day=*/*.csv"), (0o644, "day=2/a.csv")):  # fmt: skip
        folder.chmod(rights)
        with without_rights_of_root(), pytest.raises(InputError, match=r"2.* cannot be read: Perm"):
            names(root, pattern)
    root.chmod(0)
    closed = config_of(root / "day=1", paths=("a.csv",))
    with (
        without_rights_of_root(),
        pytest.raises(InputError, match="not a folder that can be opened"),
    ):
        fingerprint_inputs(closed)


def test_a_folder_that_may_be_entered_and_not_listed_is_one_on_the_way(root: Path) -> None:
    (root / "day=1").chmod(0o711)
    with without_rights_of_root():
        assert names(root, "day=1/a.csv", str(root / "day=1/a.csv")) == ["day=1/a.csv"]


def test_links_are_followed_and_what_is_no_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "real.txt").write_text("text")
    (tmp_path / "a.csv").symlink_to(tmp_path / "real.txt")
    assert names(tmp_path, "*.csv") == ["a.csv"]
    (tmp_path / "b.csv").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"b\.csv is a link that leads nowhere"):
        names(tmp_path, "*.csv")
    (tmp_path / "b.csv").unlink()
    os.mkfifo(tmp_path / "b.csv")
    with pytest.raises(InputError, match=r"b\.csv is neither a file nor a folder"):
        names(tmp_path, "*.csv")
    (tmp_path / "b.csv").unlink()
    (tmp_path / "b.csv").symlink_to("/proc/self/mem")  # which cannot be read from its beginning
    with pytest.raises(InputError, match=r"b\.csv cannot be read: "):
        names(tmp_path, "*.csv")


def test_a_folder_in_place_of_files_is_told(tmp_path: Path) -> None:
    (tmp_path / "log.csv").mkdir()
    with pytest.raises(InputError, match=r"no file matches 'log\.csv'.* which is a folder, so"):
        names(tmp_path, "log.csv")
    with pytest.raises(InputError, match=r"no file matches 'log\.csv/\*'.*paths$"):
        names(tmp_path, "log.csv/*")


@pytest.mark.parametrize("name", ["a[1].csv", "a {b}, #c 100%?.csv", "[a]", "é+.csv", "a*.csv"])
def test_a_file_is_found_by_its_name(tmp_path: Path, name: str) -> None:
    for file in (name, "a1.csv"):
        (tmp_path / file).write_text("user_id,item_id,time\n")
    found = fingerprint_inputs(config_of(tmp_path, paths=[name]))["events.log"]
    assert name in {file.name for file in found}


def test_a_pattern_with_a_bracket_that_finds_nothing_is_explained(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"in a pattern \[ab\] means one of the letters, and \[\["):
        fingerprint_inputs(config_of(tmp_path, paths=["[x]/*.csv"]))
