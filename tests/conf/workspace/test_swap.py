"""What a kill between the steps of a swap leaves, and what is made of it."""

import errno
import os
from pathlib import Path

import pytest

from conf.workspace.swap import finish_swaps, folder_beside, link, name_beside, swap

KIND, MANIFEST = "models", "bundle.json"


def version(folder: Path, content: str, *, is_whole: bool = True) -> Path:
    folder.mkdir(parents=True)
    (folder / "weights").write_text(content)
    if is_whole:
        (folder / MANIFEST).write_text(content)
    return folder


def content_of(workspace: Path) -> dict[str, str]:
    """Return what the weights of each folder say."""
    return {
        folder.name: (folder / "weights").read_text() for folder in (workspace / KIND).iterdir()
    }


def interrupted(workspace: Path, *, is_whole: bool) -> None:
    """Leave what a kill leaves after the old folder was renamed, before the new one is."""
    folder = version(workspace / KIND / "v", "old")
    version(name_beside(folder), "new", is_whole=is_whole)
    folder.rename(folder.with_name(".erasing.v.old"))


def test_a_swap_leaves_the_replacement_alone(tmp_path: Path) -> None:
    folder = version(tmp_path / KIND / "v", "old")
    (folder_beside(folder) / "weights").write_text("new")
    swap(folder)
    assert content_of(tmp_path) == {"v": "new"}


@pytest.mark.parametrize(("is_whole", "kept"), [(True, "new"), (False, "old")])
def test_the_new_folder_is_taken_only_if_it_is_whole(
    tmp_path: Path, is_whole: bool, kept: str
) -> None:
    interrupted(tmp_path, is_whole=is_whole)
    for _ in range(2):  # the second time there is nothing to do
        finish_swaps(tmp_path)
        assert content_of(tmp_path) == {"v": kept}


def test_a_replacement_that_was_never_swapped_in_is_removed(tmp_path: Path) -> None:
    folder = version(tmp_path / KIND / "v", "old")
    version(name_beside(folder), "new")
    finish_swaps(tmp_path)
    assert content_of(tmp_path) == {"v": "old"}


def test_an_old_folder_that_was_left_over_is_removed(tmp_path: Path) -> None:
    version(tmp_path / KIND / "v", "new")
    version(tmp_path / KIND / ".erasing.v.old", "old")
    finish_swaps(tmp_path)
    assert content_of(tmp_path) == {"v": "new"}


def test_a_replacement_begins_empty(tmp_path: Path) -> None:
    folder = version(tmp_path / KIND / "v", "old")
    version(name_beside(folder), "half")
    beside = folder_beside(folder)
    assert beside == name_beside(folder) and list(beside.iterdir()) == []
    assert (folder / "weights").read_text() == "old"


@pytest.mark.parametrize("can_link", [True, False])
def test_a_file_is_linked_or_else_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can_link: bool
) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    source, target = tmp_path / "source", tmp_path / "a" / "b" / "target"
    source.write_text("rows")
    if not can_link:
        monkeypatch.setattr(os, "link", refused)
    link(source, target)
    assert target.read_text() == "rows" and target.samefile(source) == can_link
    link(source, target.with_name("next"))  # the folder is there by now
    assert target.with_name("next").read_text() == "rows"
