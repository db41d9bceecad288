"""Versions: how datasets, models and lists are committed.

A version's folder is written once. Its manifest is written last, under a temporary name that is
then renamed: a folder without a manifest is no version. `pointers.py` says which one is current.
"""

from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel

from conf.contract import MANIFEST_NAME, DataFile
from conf.errors import VersionError
from conf.workspace.folders import listed, own_folder
from conf.workspace.hashes import hash_file, hash_footer
from conf.workspace.json_files import Record, is_there, read_json, read_record, write_json
from conf.workspace.mending import mend
from conf.workspace.storage import raise_storage_failure

WORK_OWNER = "workspace"  # file in a training's work folder that names its workspace
UNDATED = "undated"


def version_id(name: str, logical_date: str, request: str) -> str:
    """Return an id: the run's name, the logical date and the hash of what it is made from."""
    return f"{name}-{logical_date}-{request[:12]}"


def find_version(workspace: Path, kind: str, request: str) -> str | None:
    """Return the id of the committed version made for `request`, if there is one."""
    for folder in listed(workspace / kind, f"[!.]*-{request[:12]}"):
        path = folder / MANIFEST_NAME[kind]
        if not is_there(path):
            continue
        manifest = read_json(path)
        named = str(manifest.get("request"))
        if manifest.get("id") != folder.name or not named.startswith(request[:12]):
            raise VersionError(f"{path} is not the manifest of this version; {mend(path)}")
        if named == request:
            return folder.name
    return None


def new_folder(workspace: Path, kind: str, version: str) -> Path:
    """Return the folder of a version to be written; create it if necessary.

    Files of an interrupted writer of the same version stay; the caller may use or remove them.
    """
    folder = workspace / kind / version
    if (folder / MANIFEST_NAME[kind]).exists():
        raise VersionError(f"{folder} is already committed; a version is never written again")
    return own_folder(folder)


def commit(workspace: Path, kind: str, manifest: BaseModel) -> None:
    """Write a version's manifest, which makes it a version."""
    folder = workspace / kind / str(getattr(manifest, "id"))  # noqa: B009
    write_json(folder / MANIFEST_NAME[kind], manifest.model_dump(mode="json"))


def read_manifest(workspace: Path, kind: str, version: str, model: type[Record]) -> Record:
    """Return a committed version's manifest; check its files as `require_files` does.

    Raises:
        VersionError: When there is no such version, or it is damaged.
    """
    folder = workspace / kind / version
    path = folder / MANIFEST_NAME[kind]
    if not is_there(path):
        raise VersionError(
            f"{folder} has no {path.name}: it is not a committed version; {mend(folder)}"
        )
    manifest = read_record(path, model)
    named: str = getattr(manifest, "id")  # noqa: B009
    if named != version:
        raise VersionError(f"{path} is the manifest of {named}; {mend(path)}")
    require_files(folder, manifest)
    return manifest


def require_files(folder: Path, manifest: BaseModel, *, by_content: bool = False) -> None:
    """Check that the files of a version are there, with their sizes and footers.

    Args:
        folder: Folder of the version.
        manifest: Its manifest.
        by_content: Whether to read them too, and to compare their hashes.

    Raises:
        VersionError: Naming the first file that is missing or different.
    """
    files: dict[str, tuple[DataFile, ...]] = getattr(manifest, "files")  # noqa: B009
    named = [file for part in files.values() for file in part]
    for one in (manifest, *getattr(manifest, "scenarios", {}).values()):
        absent: DataFile | None = getattr(one, "absent", None)
        named += [] if absent is None else [absent]
    for file in named:
        on_disk = version_path(folder, file.path)
        size = _size(on_disk)
        is_odd = size is None and is_there(on_disk)
        state = "is missing" if size is None else f"has {size} bytes"
        state = "is no plain file" if is_odd else state
        says = f"{file.bytes} bytes"
        if size == file.bytes:
            expected, found = file.footer_sha256, hash_footer
            if by_content:
                expected, found = file.sha256, hash_file
            if expected is None or _hash(on_disk, found) == expected:
                continue
            state, says = "has other content", f"sha256 {expected}"
        raise VersionError(f"{on_disk} {state}, but its manifest says {says}; {mend(on_disk)}")


def _size(path: Path) -> int | None:
    """Return the size of a plain file; None if there is none."""
    try:
        return path.stat().st_size if path.is_file() else None
    except OSError as error:
        raise_storage_failure(error, path)
        return None


def _hash(path: Path, find: Callable[[Path], str]) -> str:
    try:
        return find(path)
    except OSError as error:
        raise_storage_failure(error, path)
        raise


def version_path(root: Path, relative: str) -> Path:
    """Return the path of a version's file; refuse a path that leads out of the folder."""
    if relative.isprintable() and (root / relative).is_symlink():
        raise VersionError(f"{root / relative} is a link, no plain file; {mend(root / relative)}")
    path = (root / relative).resolve() if relative.isprintable() else root.parent
    if not path.is_relative_to(root.resolve()):
        raise VersionError(
            f"{root}: its manifest names {relative!r}, which leads out of the folder, so it is "
            f"damaged; {mend(root)}"
        )
    return path
