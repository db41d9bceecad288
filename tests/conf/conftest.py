from pathlib import Path

import pytest

from tests.conf.erasable import GONE, NAMES, REPORT, write_workspace


@pytest.fixture
def users(tmp_path: Path) -> Path:
    path = tmp_path / "users.txt"
    path.write_text("\n".join([*GONE, ""]))
    return path


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    write_workspace(tmp_path / "workspace", NAMES, REPORT)
    return tmp_path / "workspace"
