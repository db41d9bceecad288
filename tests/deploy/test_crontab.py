import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.examples import CHECKOUT, DEPLOY, read_crontab

DAY_SECONDS = 86_400
ENTRY = read_crontab((DEPLOY / "crontab").read_text())
YAML = """
run: {{name: cron, output: "{folder}/workspace"}}
input: {{root: "{folder}", events: {{log: {{paths: [log.csv], time_unit: seconds}}}}}}
etl: {{event_types: {{view: {{}}}}, row_group_rows: 20}}
spark: {{driver_memory: 1g, shuffle_partitions: 2, master: "local[1]"}}
ray: {{num_cpus: 2, object_store_mib: 100}}
train:
  algorithm: neural
  gate: warn
  epochs: 1
  max_workers: 1
  model: {{width: 8, blocks: 1, heads: 1, history_length: 8}}
score: {{list_length: 3}}
"""


def write_shop(folder: Path) -> dict[str, str]:
    """Write a tiny log of the last days, with its configuration; return the entry's settings."""
    today = int(time.time()) // DAY_SECONDS * DAY_SECONDS
    rows = [
        f"u{user},i{(user * 3 + day * day) % 17},{today - day * DAY_SECONDS + user}"
        for user in range(40) for day in range(8)
    ]  # fmt: skip
    (folder / "log.csv").write_text("user_id,item_id,time\n" + "\n".join(rows) + "\n")
    (folder / "run.yaml").write_text(YAML.format(folder=folder))
    path = f"{CHECKOUT / '.venv' / 'bin'}:/usr/local/bin:/usr/bin:/bin"
    settings = {"HEADRACE_HOME": str(folder), "HEADRACE_CONFIG": "run.yaml", "PATH": path}
    assert settings.keys() < ENTRY.environment.keys()
    return settings


def start(settings: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start the entry's very command as cron does, with another home and configuration."""
    kept = {name: os.environ[name] for name in ("HOME", "JAVA_HOME") if name in os.environ}
    environment = {**kept, **ENTRY.environment, **settings}
    return subprocess.Popen([environment["SHELL"], "-c", ENTRY.command], env=environment)


def results(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "headrace.log").read_text().splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def test_the_entry_runs_once_a_day_for_the_day_before() -> None:
    minute, hour, *rest = ENTRY.times
    assert minute.isdigit() and hour.isdigit() and rest == ["*", "*", "*"]
    asked = ENTRY.command.split("$(")[1].split(")")[0]
    day = subprocess.run(["sh", "-c", asked], text=True, capture_output=True, check=True).stdout
    expected = subprocess.run(
        ["date", "-u", "-d", "24 hours ago", "+%F"], text=True, capture_output=True, check=True
    )
    assert day == expected.stdout


@pytest.mark.slow
def test_the_entry_twice_on_one_day_makes_one_set_of_lists(tmp_path: Path) -> None:
    settings = write_shop(tmp_path)

    codes = sorted(process.wait(540) for process in [start(settings), start(settings)])

    log = (tmp_path / "headrace.log").read_text()
    assert codes in ([0, 75], [0, 0]), log
    assert codes == [0, 0] or "is locked by process" in log.replace("\n", " ")
    pointer = (tmp_path / "workspace" / "lists" / "CURRENT.json").read_bytes()

    assert start(settings).wait(120) == 0  # the same day again

    assert results(tmp_path)[0]["status"] == "done"
    again = [result["status"] for result in results(tmp_path)[1:]]
    assert again == ["already done"] * codes.count(0)
    assert (tmp_path / "workspace" / "lists" / "CURRENT.json").read_bytes() == pointer
    assert len(list((tmp_path / "workspace" / "lists").glob("*/lists.json"))) == 1
