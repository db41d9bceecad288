"""A disk that is full at some moment of a stage: one line, exit code 74, and then the same result.

The workspace is on a file system of 64 MiB, and all but a few KiB of it are taken.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.end2end.conftest import Shop, headrace

_OF_STAGE = {"etl": (), "train": ("datasets",), "score": ("datasets", "models")}
_LEFT_KIB = {"etl": (0, 300, 1200), "train": (0, 8, 100), "score": (0, 8, 40)}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a file system cannot be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("stage", _OF_STAGE)
def test_a_full_disk_is_one_line_and_the_next_run_makes_the_same(
    stage: str, finished_shop: tuple[Shop, dict[str, Any]], small_disk: Path
) -> None:
    made, right = finished_shop
    shop = made.at(small_disk / "workspace")
    shop.workspace.mkdir()
    for kind in _OF_STAGE[stage]:
        shutil.copytree(made.workspace / kind, shop.workspace / kind)

    for left_kib in _LEFT_KIB[stage]:
        free = os.statvfs(small_disk)
        ballast = small_disk / "ballast"
        with ballast.open("wb") as stream:
            os.posix_fallocate(stream.fileno(), 0, free.f_bavail * free.f_frsize - (left_kib << 10))
        done = headrace(*shop.arguments(stage), exit_code=74)
        ballast.unlink()

        told = [line for line in done.stderr.splitlines() if line.startswith("headrace: ")]
        assert len(told) == 1 and str(small_disk) in told[0], done.stderr
        assert "Traceback" not in done.stderr

    result = json.loads(headrace(*shop.arguments(stage, "--json")).stdout)
    assert result["id"] == right[stage]["id"]
    assert result.get("content") == right[stage].get("content")
    assert result.get("counts") == right[stage].get("counts")
    assert not list(shop.workspace.rglob("*.tmp"))
