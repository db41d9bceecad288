"""All versions of a workspace with what each of them needs, read from the manifests alone."""

import os
import stat
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from conf.contract import MAIN, MANIFEST_NAME, MANIFESTS
from conf.errors import VersionError
from conf.privacy.identities import identities_folder
from conf.workspace.folders import listed, manifests_of
from conf.workspace.json_files import is_there, read_checked
from conf.workspace.mending import mend, told_value
from conf.workspace.pointers import published_roles, read_pointer, withdrawn_versions
from conf.workspace.publications import canary_of
from conf.workspace.versions import UNDATED

KINDS = ("lists", "models", "datasets")
"""In the order of removal: what is left after a kill has all that it needs."""


class Key(NamedTuple):
    """What names a version."""

    kind: str
    id: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.id}"


class Version(NamedTuple):
    """A committed version."""

    key: Key
    role: str
    """Of a model; `main` for other kinds."""
    logical_date: str
    committed_at: float
    """Time of its manifest's file, in seconds since 1970: the order of versions of one day."""
    needs: tuple[Key, ...]
    """What it was made from, whether it is there or not."""
    starts_from: Key | None
    """The model that the training of this one started from."""


def read_versions(workspace: Path) -> dict[Key, Version]:
    """Return all committed versions.

    Raises:
        VersionError: When it cannot be told of one of them what it needs: it is damaged, of another
            release, or a link. All are named.
    """
    found, doubts = {}, []
    for kind in KINDS:
        for link in (path for path in listed(workspace / kind, "[!.]*") if path.is_symlink()):
            if not link.name.endswith(".json"):
                doubts.append(f"{link} is a link, and links are not followed; {mend(link)}")
        for path in manifests_of(workspace, kind):
            if path.parent.is_symlink():
                continue
            try:
                version = _read(kind, path)
            except VersionError as error:
                doubts.append(str(error))
            else:
                found[version.key] = version
    if doubts:
        lines = "\n".join(f"  {doubt}" for doubt in doubts)
        raise VersionError(
            f"{workspace}: nothing is removed, because it is unknown what these versions need:\n"
            f"{lines}"
        )
    return found


def _read(kind: str, path: Path) -> Version:
    manifest = read_checked(path, MANIFESTS[kind])
    if manifest["id"] != path.parent.name:
        told = told_value(manifest["id"])
        raise VersionError(f"{path} is the manifest of {told}; {mend(path)}")
    if not _is_day(manifest["logical_date"]):
        day = told_value(manifest["logical_date"])
        raise VersionError(f"{path} is damaged: logical_date is {day}; {mend(path)}")
    needs = [Key("datasets", manifest["dataset_id"])] if kind != "datasets" else []
    if kind == "lists":
        models = (manifest["model_id"], *manifest.get("models", {}).values())
        needs += [Key("models", model) for model in models]
    return Version(
        Key(kind, path.parent.name),
        manifest.get("role", MAIN),
        manifest["logical_date"],
        path.stat().st_mtime,
        tuple(needs),
        _start(manifest) if kind == "models" else None,
    )


def _is_day(text: str) -> bool:
    try:
        return text == UNDATED or date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _start(bundle: dict[str, Any]) -> Key | None:
    train = bundle["config"].get("train") or {}
    model = (train.get("warm_start") or {}).get("model")
    return None if model is None else Key("models", model)


class Pointed(NamedTuple):
    """What a pointer says."""

    kind: str
    role: str
    content: dict[str, Any]

    @property
    def ids(self) -> dict[str, str]:
        """Return the versions that readers see, with how they see them."""
        canary = canary_of(self.content)
        found = {} if canary is None else {canary.id: "canary"}
        return found | {str(self.content["id"]): f"current{self.told}"}

    @property
    def told(self) -> str:
        """Return the role for people; empty for the main one."""
        return "" if self.role == MAIN else f" (role {self.role})"


def withdrawn_in(workspace: Path) -> frozenset[Key]:
    """Return the versions of all kinds and roles that were rolled back.

    Raises:
        VersionError: When a list of them, or a pointer, is damaged.
    """
    return frozenset(
        Key(kind, version)
        for kind in KINDS
        for role in (MAIN, *published_roles(workspace, kind))
        for version in withdrawn_versions(workspace, kind, role)
    )


def pointers_of(workspace: Path) -> Iterator[Pointed]:
    """Yield all pointers of a workspace.

    Raises:
        VersionError: When one is damaged, or names a current version that is not there.
    """
    for kind in KINDS:
        for role in (MAIN, *published_roles(workspace, kind)):
            content = read_pointer(workspace, kind, role)
            if content is None:
                continue
            pointed = Pointed(kind, role, content)
            for version in pointed.ids:
                folder = workspace / kind / version
                if not is_there(folder / MANIFEST_NAME[kind]):
                    raise VersionError(
                        f"{folder} is published, but it is not there, so it cannot be told what it "
                        f"needs, and nothing is removed; {mend(folder)}"
                    )
            yield pointed


def folders_of(workspace: Path, key: Key) -> list[Path]:
    """Return the folders that are removed with a version: its own, and its table of identities."""
    folders = [workspace / key.kind / key.id]
    if key.kind == "datasets":
        folders.append(identities_folder(workspace, key.id))
    return [folder for folder in folders if is_there(folder)]


def bytes_in(folder: Path, counted: set[tuple[int, int]]) -> int:
    """Return the bytes of the files in a folder; links to files count nothing.

    Args:
        folder: The folder.
        counted: Device and inode of each file that was counted before; it grows. A file with
            several names (hard links) counts once.
    """
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            found = (Path(place) / name).lstat()
            key = found.st_dev, found.st_ino
            if stat.S_ISREG(found.st_mode) and key not in counted:
                counted.add(key)
                total += found.st_size
    return total
