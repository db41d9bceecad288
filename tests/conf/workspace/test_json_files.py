import json
import os
from pathlib import Path

import pytest

from conf.errors import VersionError
from conf.workspace.folders import emptied, own_folder, remove
from conf.workspace.json_files import CHECKSUM, read_json, write_json
from conf.workspace.lock import LOCK_NAME, workspace_lock
from conf.workspace.pointers import WITHDRAWN_NAME, publish, read_pointer, rollback
from trainer.training.checkpoint import load_checkpoint, save_checkpoint


def test_what_is_written_is_read_and_may_be_laid_out_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"b": [1, None, 2.5], "a": {"ü": True}})
    path.write_text(json.dumps(json.loads(path.read_text()), indent=4))

    assert read_json(path) == {"b": [1, None, 2.5], "a": {"ü": True}}


def test_a_changed_value_is_told_and_files_without_checksum_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"users": 12})
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"users": 13}))
    with pytest.raises(VersionError, match="checksum does not fit its content; restore it, or"):
        read_json(path)

    del content[CHECKSUM]
    path.write_text(json.dumps(content))
    assert read_json(path) == {"users": 12}
    with pytest.raises(VersionError, match="its key 'users' is not known"):
        read_json(path, keys=("id",))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "it is empty"), (b"[]", "no mapping"), (b"null", "no mapping"),
        (b'{"a": 1, "a": 2}', "the key 'a' occurs twice"), (b'{"a": NaN}', "NaN is no number"),
        (b'{"a": -Infinity}', "-Infinity is no number"), (b'{"a": 1e999}', "too large"),
        (b"[" * 100_000, "damaged"), (b'{"a": ' + b"9" * 5000 + b"}", "damaged"),
        (b'{"a": "\xff"}', "damaged"), (b'{"a": 1', "damaged"),
    ],
)  # fmt: skip
def test_what_is_no_json_of_ours_is_told_in_one_line(
    tmp_path: Path, content: bytes, why: str
) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(VersionError, match=why) as caught:
        read_json(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert caught.value.exit_code == 6


def test_pipes_links_and_folders_are_told_and_not_followed(tmp_path: Path) -> None:
    path, outside = tmp_path / "a.json", tmp_path / "outside.json"
    write_json(outside, {"a": 1})
    for make, told in (
        (lambda: os.mkfifo(path), "a pipe"), (path.mkdir, "a folder"),
        (lambda: path.symlink_to(outside), "a link"), (lambda: path.symlink_to("x"), "a link"),
    ):  # fmt: skip
        make()
        with pytest.raises(VersionError, match=f"is {told}, not a plain file; restore it, or"):
            read_json(path)
        remove(path)
    assert outside.exists()


def test_pointers_and_withdrawn_versions_that_are_no_files_are_not_taken_for_absent(
    tmp_path: Path,
) -> None:
    (tmp_path / "lists").mkdir()
    os.mkfifo(tmp_path / "lists/CURRENT.json")
    with pytest.raises(VersionError, match=r"CURRENT\.json is a pipe"):
        read_pointer(tmp_path, "lists")
    (tmp_path / "lists/CURRENT.json").unlink()

    (tmp_path / "lists" / WITHDRAWN_NAME).symlink_to("nowhere")
    for work in (lambda: publish(tmp_path, "lists", "a", "2026-01-01"),
                 lambda: rollback(tmp_path, "lists")):  # fmt: skip
        with pytest.raises(VersionError, match=r"WITHDRAWN\.json is a link"):
            work()


def test_a_pipe_in_place_of_the_lock_or_of_a_pointer_ends_in_no_wait(tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    os.mkfifo(tmp_path / "lists/CURRENT.json")
    with workspace_lock(tmp_path, 60) as lease:
        assert lease.number == 1
    (tmp_path / LOCK_NAME).unlink()
    os.mkfifo(tmp_path / LOCK_NAME)
    with pytest.raises(VersionError, match="is no plain file"), workspace_lock(tmp_path, 60):
        pass


@pytest.mark.parametrize(
    "content", ["", "[]", "{", "[" * 100_000, '{"host": 1, "pid": "x", "lease_seconds": 1e999}']
)
def test_a_damaged_lock_is_free_and_told(
    tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / LOCK_NAME).write_text(content)
    with workspace_lock(tmp_path, 60) as lease:
        assert lease.number == 1
    assert f"{LOCK_NAME} is damaged" in caplog.text


def test_a_work_folder_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    outside, work = tmp_path / "outside", tmp_path / ".work-1"
    outside.mkdir()
    (outside / "theirs").write_text("stays")
    work.symlink_to(outside)
    with pytest.raises(VersionError, match=r"work-1 is a link, but has to be a folder; remove it"):
        own_folder(work)

    assert emptied(work) == work
    assert not work.is_symlink() and work.is_dir()
    work.rmdir()
    work.write_text("a file")
    with pytest.raises(VersionError, match="is no folder, but"):
        own_folder(work)
    remove(work)
    assert not work.exists() and (outside / "theirs").read_text() == "stays"


@pytest.mark.parametrize("content", ["", "{}", "[]", "null", '{"bytes": "x"}', '{"bytes": 1e999}'])
def test_a_damaged_marker_is_told_and_the_older_checkpoint_is_taken(
    tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(2):
        save_checkpoint(tmp_path, number, {"step": number})
    (tmp_path / "00000001.json").write_text(content)

    state = load_checkpoint(tmp_path)

    assert state is not None and state["step"] == 0
    assert f"the checkpoint {tmp_path / '00000001.pt'} is passed over: " in caplog.text
