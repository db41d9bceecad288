import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from resource import RLIMIT_NOFILE, getrlimit, setrlimit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file

from conf.errors import StorageError, VersionError
from conf.workspace.json_files import read_json, write_json
from conf.workspace.lock import workspace_lock
from conf.workspace.parquet import read_columns
from conf.workspace.storage import require_room, storage_error, storage_told
from trainer.training.checkpoint import load_checkpoint, save_checkpoint

FULL = os.strerror(errno.ENOSPC)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not mounted(folder, "size=2m"):
        pytest.skip("a file system cannot be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def mounted(folder: Path, options: str) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def fill(folder: Path) -> None:
    with pytest.raises(OSError, match=FULL), (folder / "ballast").open("wb") as stream:
        while True:
            stream.write(bytes(1 << 16))


def said(error: BaseException, *folders: Path) -> str:
    told = storage_error(error, folders)
    assert told is not None and told.exit_code == 74
    assert "\n" not in str(told)
    return str(told)


def test_a_full_disk_is_told_with_path_and_space_and_the_old_file_stays(small_disk: Path) -> None:
    path = small_disk / "CURRENT.json"
    write_json(path, {"id": "before"})
    fill(small_disk)

    with (
        pytest.raises(StorageError, match=rf"^/.*disk: {FULL}; 0\.0 MiB of 2\.0 MiB are free"),
        storage_told([small_disk]),
    ):
        write_json(path, {"id": "after" * 10_000})

    assert read_json(path) == {"id": "before"}
    assert sorted(p.name for p in small_disk.iterdir()) == ["CURRENT.json", "ballast"]
    (small_disk / "ballast").unlink()
    write_json(path, {"id": "after" * 10_000})
    assert read_json(path) == {"id": "after" * 10_000}


def test_a_checkpoint_without_room_is_refused_before_it_is_written(small_disk: Path) -> None:
    save_checkpoint(small_disk, 1, {"weights": torch.ones(10), "step": 1})
    with pytest.raises(StorageError, match=r"a checkpoint needs 4\.0 MiB, but [\d.]+ MiB of 2\.0"):
        save_checkpoint(small_disk, 2, {"weights": [{"a": torch.ones(1 << 20)}]})
    state = load_checkpoint(small_disk)
    assert state is not None and state["step"] == 1


def test_writers_of_other_languages_are_understood(small_disk: Path) -> None:
    fill(small_disk)
    rows = pa.table({"a": list(range(200_000))})
    for write in (
        lambda: save_file({"a": torch.ones(1 << 16)}, small_disk / "a.safetensors"),
        lambda: pq.write_table(rows, small_disk / "a.parquet", compression="none"),
        lambda: torch.save(torch.ones(1 << 16), small_disk / "a.pt"),
    ):
        with pytest.raises(Exception) as caught:
            write()
        assert FULL in said(caught.value, small_disk) or "likely reason" in said(
            caught.value, small_disk
        )


def test_a_file_system_without_room_for_another_file_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    if not mounted(folder, "size=2m,nr_inodes=4"):
        pytest.skip("a file system cannot be mounted here")
    try:
        with pytest.raises(OSError, match=FULL) as caught:
            for number in range(9):
                (folder / str(number)).touch()
        assert "no room for another file (inodes: 4, 0 free)" in said(caught.value, folder)
        with pytest.raises(StorageError, match=r"what needs 0\.0 MiB, but its file system has no"):
            require_room(folder, 1, "what")
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_file_system_that_became_read_only_is_told(small_disk: Path) -> None:
    write_json(small_disk / "a.json", {"a": 1})
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with (
        pytest.raises(StorageError, match=r"a\.json\.\d+: Read-only file system; mount it"),
        storage_told([small_disk]),
    ):
        write_json(small_disk / "a.json", {"a": 2})
    with (
        pytest.raises(StorageError, match="Read-only file system; mount it writable"),
        workspace_lock(small_disk, 60),
    ):
        pass
    assert read_json(small_disk / "a.json") == {"a": 1}


def test_a_lock_without_room_is_told_as_a_full_disk(small_disk: Path) -> None:
    fill(small_disk)
    with pytest.raises(StorageError, match=FULL), workspace_lock(small_disk, 60):
        pass
    (small_disk / "ballast").unlink()
    with workspace_lock(small_disk, 60):
        pass


def test_too_many_open_files_are_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": [1]}), path)
    write_json(tmp_path / "a.json", {"a": 1})
    before, opened = getrlimit(RLIMIT_NOFILE), []
    setrlimit(RLIMIT_NOFILE, (200, before[1]))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            while True:
                opened.append((tmp_path / "a.json").open())
        with pytest.raises(StorageError, match=r"a\.parquet: .*this process may open 200; raise"):
            read_columns(path, ["a"])
        with pytest.raises(StorageError, match=r"a\.json: Too many open files"):
            read_json(tmp_path / "a.json")
    finally:
        for stream in opened:
            stream.close()
        setrlimit(RLIMIT_NOFILE, before)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("java.io.FileNotFoundException: /x/blockmgr-1/temp_2 (No space left on device)",
         r"^/x/blockmgr-1/temp_2: No space left"),
        ("An error occurred while calling o12.parquet.\n: java.io.IOException: No space left on "
         "device\n\tat java.base/java.io.FileOutputStream", r"/w\d*: No space left on device; "),
        ("Error while serializing: I/O error: No space left on device (os error 28)", "No space"),
        ("ray::f() OSError: [Errno 122] Disk quota exceeded: '/q/part-1'", "^/q/part-1: Disk"),
        ("java.io.IOException: Stale file handle", "Stale file handle; check the mount"),
    ],
)  # fmt: skip
def test_errors_of_java_rust_and_workers_are_understood(
    tmp_path: Path, text: str, told: str
) -> None:
    folder = tmp_path / "w"
    folder.mkdir()
    outer = RuntimeError("a stage failed")
    outer.__cause__ = RuntimeError(text)
    with pytest.raises(StorageError, match=told), storage_told([folder]):
        raise outer


def test_what_has_another_reason_stays_as_it_is(tmp_path: Path) -> None:
    for error in (
        ValueError("a fault"), ConnectionRefusedError(111, "refused"),
        FileNotFoundError(errno.ENOENT, "No such file or directory", "java"),
        VersionError("no OSError"),
    ):  # fmt: skip
        with pytest.raises(type(error)), storage_told([tmp_path]):
            raise error


def test_a_folder_that_went_away_is_told(tmp_path: Path) -> None:
    with (
        pytest.raises(StorageError, match=r"gone/a\.json.*: it was removed or replaced while"),
        storage_told([tmp_path]),
    ):
        write_json(tmp_path / "gone" / "a.json", {})
