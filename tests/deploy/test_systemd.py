import shutil
import subprocess
from configparser import RawConfigParser
from pathlib import Path

import pytest

from tests.deploy.examples import DEPLOY, read_crontab

UNITS = ("headrace.service", "headrace.timer")


def unit(name: str) -> RawConfigParser:
    parser = RawConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(DEPLOY / name)
    return parser


def test_service_runs_what_the_crontab_runs() -> None:
    line = unit("headrace.service")["Service"]["ExecStart"].replace("%%", "%").replace("$$", "$")

    run = line.split("'")[1].removeprefix("exec ")

    assert run in read_crontab((DEPLOY / "crontab").read_text()).command


def test_service_starts_again_only_for_what_can_heal() -> None:
    service = unit("headrace.service")["Service"]

    assert service["Restart"] == "on-failure" and service["SuccessExitStatus"] == "4"
    assert service["RestartPreventExitStatus"].split() == ["2", "3", "5", "6"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    paths = [shutil.copy(DEPLOY / name, tmp_path) for name in UNITS]
    checked = subprocess.run(
        ["systemd-analyze", "verify", *paths], text=True, capture_output=True, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, "")

    calendar = unit("headrace.timer")["Timer"]["OnCalendar"]
    subprocess.run(["systemd-analyze", "calendar", calendar], capture_output=True, check=True)
