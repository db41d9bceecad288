import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conf.errors import ConfigError, LockHeldError
from conf.workspace.lock import LOCK_NAME, workspace_lock

HOLD = """
import sys, pathlib
from conf.workspace.lock import workspace_lock
with workspace_lock(pathlib.Path(sys.argv[1]), 60):
    print("held", flush=True)
    sys.stdin.read()
"""


def start_holder(workspace: Path) -> subprocess.Popen[str]:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(workspace)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    return holder


def test_a_second_writer_is_sent_away_and_told_who_holds_it(tmp_path: Path) -> None:
    holder = start_holder(tmp_path)
    try:
        with (
            pytest.raises(LockHeldError, match=f"locked by process {holder.pid}") as caught,
            workspace_lock(tmp_path, 60),
        ):
            pass
        assert caught.value.exit_code == 75
    finally:
        holder.communicate()


def test_a_killed_owner_loses_it_at_once(tmp_path: Path) -> None:
    holder = start_holder(tmp_path)
    holder.kill()
    holder.wait()

    assert (tmp_path / LOCK_NAME).exists()
    with workspace_lock(tmp_path, 60):
        owner = json.loads((tmp_path / LOCK_NAME).read_text())
        assert owner["pid"] == os.getpid()
    assert not (tmp_path / LOCK_NAME).exists()


@pytest.mark.parametrize(("expires_in", "is_held"), [(60, True), (-1, False)])
def test_an_owner_on_another_machine_keeps_it_until_its_lease_runs_out(
    tmp_path: Path, expires_in: float, is_held: bool
) -> None:
    owner = {
        "host": "elsewhere",
        "pid": 1,
        "started_at": "1",
        "expires_at": time.time() + expires_in,
    }
    (tmp_path / LOCK_NAME).write_text(json.dumps(owner))

    if is_held:
        with pytest.raises(LockHeldError, match="elsewhere"), workspace_lock(tmp_path, 60):
            pass
    else:
        with workspace_lock(tmp_path, 60):
            pass


def test_it_is_free_again_after_an_error_inside(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), workspace_lock(tmp_path, 60):
        raise RuntimeError
    with workspace_lock(tmp_path, 60):
        pass


def test_a_workspace_that_cannot_be_written_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for workspace in (tmp_path / "file", tmp_path / "file" / "below"):
        with (
            pytest.raises(ConfigError, match=r"run\.output='.*file.*' is not a writable folder"),
            workspace_lock(workspace, 60),
        ):
            pass
