import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conf.errors import ConfigError, LockHeldError, VersionError
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
    assert json.loads((tmp_path / LOCK_NAME).read_text()) == {"number": 2}  # free


def hold_elsewhere(workspace: Path, renewed_ago: float = 0) -> None:
    owner = {"host": "elsewhere", "pid": 1, "started_at": "1", "number": 7, "lease_seconds": 60}
    path = workspace / LOCK_NAME
    path.write_text(json.dumps(owner))
    os.utime(path, (time.time() - renewed_ago,) * 2)


@pytest.mark.parametrize(("renewed_ago", "is_held"), [(50, True), (70, False)])
def test_an_owner_on_another_machine_keeps_it_until_its_lease_runs_out(
    tmp_path: Path, renewed_ago: float, is_held: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold_elsewhere(tmp_path, renewed_ago)
    # The clock of this machine may be wrong by hours: that of the file system counts.
    monkeypatch.setattr(time, "time", lambda: 0.0)

    if is_held:
        with pytest.raises(LockHeldError, match="elsewhere"), workspace_lock(tmp_path, 60):
            pass
    else:
        with workspace_lock(tmp_path, 60):
            pass


def hold_here(workspace: Path, pid: int, started_at: str, renewed_ago: float = 0) -> None:
    owner = {"host": socket.gethostname(), "pid": pid, "started_at": started_at}
    path = workspace / LOCK_NAME
    path.write_text(json.dumps({**owner, "number": 7, "lease_seconds": 60}))
    os.utime(path, (time.time() - renewed_ago,) * 2)


def test_a_new_process_with_the_number_of_a_dead_owner_does_not_keep_it(tmp_path: Path) -> None:
    hold_here(tmp_path, os.getpid(), "long ago")
    with workspace_lock(tmp_path, 60) as lease:
        assert lease.number == 8


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="only /proc tells when a process began")
def test_an_owner_keeps_it_whatever_its_name_until_it_is_dead(tmp_path: Path) -> None:
    """Also if nobody has asked yet how the dead one ended."""
    program = tmp_path / "of an odd) name"
    program.symlink_to(shutil.which("sleep") or "")
    owner = subprocess.Popen([program, "600"])
    try:
        fields = Path(f"/proc/{owner.pid}/stat").read_text().rpartition(")")[2].split()
        hold_here(tmp_path, owner.pid, fields[19])
        with pytest.raises(LockHeldError, match=f"{owner.pid}"), workspace_lock(tmp_path, 60):
            pass
        owner.kill()
        os.waitid(os.P_PID, owner.pid, os.WEXITED | os.WNOWAIT)
        with workspace_lock(tmp_path, 60) as lease:
            assert lease.number == 8
    finally:
        owner.kill()
        owner.wait()


@pytest.mark.parametrize(
    "content",
    ["[]", "7", "{", '{"lease_seconds": 60}', '{"host": "a", "pid": 1, "started_at": "1"}'],
)
def test_a_damaged_lock_is_free(tmp_path: Path, content: str) -> None:
    (tmp_path / LOCK_NAME).write_text(content)
    before = time.monotonic()
    with workspace_lock(tmp_path, 60) as lease:
        assert lease.number == 1
        assert before + 60 <= lease.held_until <= time.monotonic() + 60


def test_a_living_owner_loses_it_when_its_lease_has_run_out(tmp_path: Path) -> None:
    holder = start_holder(tmp_path)
    try:
        started_at = json.loads((tmp_path / LOCK_NAME).read_text())["started_at"]
        hold_here(tmp_path, holder.pid, started_at, renewed_ago=50)
        with pytest.raises(LockHeldError, match=f"{holder.pid}"), workspace_lock(tmp_path, 60):
            pass
        hold_here(tmp_path, holder.pid, started_at, renewed_ago=70)
        with workspace_lock(tmp_path, 60) as lease:
            assert lease.number == 8
    finally:
        holder.communicate()


def test_the_lease_is_renewed_again_and_again(tmp_path: Path) -> None:
    path = tmp_path / LOCK_NAME
    with workspace_lock(tmp_path, 4) as lease:
        ends = [lease.held_until]
        while len(ends) < 3:
            assert time.monotonic() < lease.held_until  # it never runs out
            if lease.held_until > ends[-1]:
                ends.append(lease.held_until)
            time.sleep(0.01)
        assert json.loads(path.read_text())["number"] == lease.number
        assert {file.name for file in tmp_path.iterdir()} == {LOCK_NAME, ".lock.guard"}


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


def test_each_owner_has_a_number_of_its_own(tmp_path: Path) -> None:
    hold_elsewhere(tmp_path, renewed_ago=70)
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "CURRENT.json").write_text('{"number": 20}')
    numbers = []
    for _ in range(2):
        with workspace_lock(tmp_path, 60) as lease, lease.kept() as number:
            numbers.append(number)
    (tmp_path / LOCK_NAME).write_text("")  # an accident
    with workspace_lock(tmp_path, 60) as lease:
        numbers.append(lease.number)
    assert numbers == [21, 22, 21]


def test_who_has_lost_the_lease_does_nothing_more(tmp_path: Path) -> None:
    done = []
    with (
        pytest.raises(LockHeldError, match=r"has lost the lock .another run has taken it over"),
        workspace_lock(tmp_path, 60) as lease,
    ):
        hold_elsewhere(tmp_path)  # after a pause of this process, say
        with lease.kept():
            done.append("published")
    assert not done
    assert json.loads((tmp_path / LOCK_NAME).read_text())["host"] == "elsewhere"


def test_a_lock_from_the_future_is_free_when_its_lease_has_run_out_here(tmp_path: Path) -> None:
    path = tmp_path / LOCK_NAME
    owner = {"host": "elsewhere", "pid": 1, "started_at": "1", "number": 9, "lease_seconds": 1}
    path.write_text(json.dumps(owner))
    os.utime(path, (2_051_222_400, 2_051_222_400))  # in 2035
    with pytest.raises(LockHeldError), workspace_lock(tmp_path, 60):
        pass
    time.sleep(1.1)
    with workspace_lock(tmp_path, 60) as lease:
        assert lease.number == 10


@pytest.mark.parametrize("name", [LOCK_NAME, ".lock.guard"])
@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_a_lock_that_is_no_file_is_neither_followed_nor_waited_for(
    tmp_path: Path, name: str, kind: str
) -> None:
    path = tmp_path / "workspace" / name
    path.parent.mkdir()
    target = tmp_path / "target"
    target.write_text("kept")
    make = {"link": lambda: path.symlink_to(target), "pipe": lambda: os.mkfifo(path),
            "folder": path.mkdir}  # fmt: skip
    make[kind]()
    with (
        pytest.raises(VersionError, match=r"lock\.\w+ is no plain file.*; remove it"),
        workspace_lock(path.parent, 60),
    ):
        pass
    assert target.read_text() == "kept"


ROBBED = """
import json, pathlib, sys, time
from conf.command.stopping import stoppable
from conf.errors import LockHeldError
from conf.workspace import lock
folder = pathlib.Path(sys.argv[1])
other = {"host": "elsewhere", "pid": 1, "started_at": "1", "number": 9, "lease_seconds": 60}
try:
    with stoppable(), lock.workspace_lock(folder, 1):
        (folder / lock.LOCK_NAME).write_text(json.dumps(other))
        time.sleep(30)
except LockHeldError as error:
    sys.exit(str(error))
print("worked on")
"""


def test_a_run_is_stopped_when_another_has_taken_it_over(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ROBBED, str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "has lost the lock (another run has taken it over)" in ended.stderr
    left = json.loads((tmp_path / LOCK_NAME).read_text())
    assert (left["host"], left["number"]) == ("elsewhere", 9)


STARVED = """
import errno, os, pathlib, sys, time
from conf.command.stopping import stoppable
from conf.errors import StorageError
from conf.workspace import lock
replace, fails_until = lock._replace, time.monotonic() + float(sys.argv[2])
seconds, tried_at = int(sys.argv[3]), []
def full(path, content):
    if held and time.monotonic() < fails_until:
        tried_at.append(time.monotonic())
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    replace(path, content)
lock._replace, held = full, []
try:
    with stoppable(), lock.workspace_lock(pathlib.Path(sys.argv[1]), seconds) as lease:
        held.append(True)
        time.sleep(2 * seconds)
except StorageError as error:
    print("given up in time" if tried_at[-1] < lease.held_until else "given up too late")
    sys.exit(str(error))
print("kept")
"""


@pytest.mark.parametrize(
    ("seconds", "lease_seconds", "told"),
    [(1.0, 2, "kept\n"), (60.0, 4, "given up in time\n")],
)
def test_a_disk_that_is_full_for_a_moment_does_not_lose_it(
    tmp_path: Path, seconds: float, lease_seconds: int, told: str
) -> None:
    """Without the lease, it stops before another run could take the lock over."""
    command = [sys.executable, "-c", STARVED, str(tmp_path), str(seconds), str(lease_seconds)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.stdout == told and "trying again" in ended.stderr
    is_kept = told == "kept\n"
    assert (ended.returncode == 0) == is_kept
    assert ("free some space" in ended.stderr) != is_kept
