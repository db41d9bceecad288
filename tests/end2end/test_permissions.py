import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end2end.conftest import make_shop


@pytest.fixture
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def modes(folder: Path, *, folders: bool) -> dict[str, str]:
    """Return the permissions of all folders or files below a folder, by path."""
    return {
        path.relative_to(folder).as_posix(): f"{stat.S_IMODE(path.stat().st_mode):o}"
        for path in folder.rglob("*")
        if path.is_dir() == folders
    }


@pytest.mark.slow
def test_all_that_a_run_writes_has_the_umask_that_is_asked_for(
    tmp_path: Path, usual_umask: None
) -> None:
    shop = make_shop(tmp_path)
    closed = shop.at(tmp_path / "closed", "run.umask='077'")
    closed.run("run")
    assert set(modes(closed.workspace, folders=False).values()) == {"600"}
    assert set(modes(closed.workspace, folders=True).values()) == {"700"}

    shop.run("etl")
    for path, mode in modes(shop.workspace, folders=False).items():
        assert mode == ("600" if "/quarantine/" in path else "644"), path
    for path, mode in modes(shop.workspace, folders=True).items():
        assert mode == ("700" if path.endswith("/quarantine") else "755"), path
