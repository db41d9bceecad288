"""Which version is current: pointers, their numbers, going back.

`CURRENT.json` is replaced in one step. Its number only grows, so a late writer is refused. Models
of a role other than the main one have pointers of their own, such as `CURRENT-ranker.json`. With a
canary, the pointer also names a version that a share of the users sees.
"""

from pathlib import Path
from typing import Any

from conf.contract import MAIN, MANIFEST_NAME
from conf.errors import ConfigError, VersionError
from conf.workspace.folders import listed
from conf.workspace.json_files import is_there, read_json, write_json
from conf.workspace.mending import mend, told_value
from conf.workspace.publications import (
    CANARY,
    PUBLISHED,
    Canary,
    canary_of,
    is_canary,
    is_history,
    is_name,
    with_canary,
    with_publication,
    without_canary,
)
from conf.workspace.versions import UNDATED

POINTER_NAME = "CURRENT.json"
CURRENT = "current"
"""What `publish` returns for a version that is published already."""
WITHDRAWN_NAME = "WITHDRAWN.json"
_POINTED = ("id", "number", "logical_date", "previous", "withdrawn", PUBLISHED, CANARY)


def _path(workspace: Path, kind: str, name: str, role: str) -> Path:
    return workspace / kind / (name if role == MAIN else name.replace(".", f"-{role}."))


def published_roles(workspace: Path, kind: str) -> list[str]:
    """Return the roles other than the main one that have a current version, sorted."""
    pointers = listed(workspace / kind, POINTER_NAME.replace(".", "-*."))
    return [path.stem.partition("-")[2] for path in pointers]


def read_pointer(workspace: Path, kind: str, role: str = MAIN) -> dict[str, Any] | None:
    """Return the contents of `CURRENT.json`, or None if nothing is published yet."""
    path = _path(workspace, kind, POINTER_NAME, role)
    if not is_there(path):
        return None
    pointer = {PUBLISHED: [], **read_json(path, _POINTED)}
    is_right = {
        "id": is_name, "number": lambda value: type(value) is int, "logical_date": is_name,
        "previous": _are_names, "withdrawn": _are_names, PUBLISHED: is_history,
        CANARY: is_canary,
    }  # fmt: skip
    for key, is_so in is_right.items():
        if not is_so(pointer.get(key)):
            state = f"{key} is {told_value(pointer[key])}" if key in pointer else f"it has no {key}"
            raise VersionError(f"{path} is damaged: {state}; {mend(path)}")
    return pointer


def _are_names(value: object) -> bool:
    return isinstance(value, list) and all(map(is_name, value))


def current_version(workspace: Path, kind: str, role: str = MAIN) -> str:
    """Return the id of the current version.

    Raises:
        VersionError: When nothing is published.
    """
    pointer = read_pointer(workspace, kind, role)
    if pointer is None:
        raise VersionError(
            f"{_named(workspace, kind, role)} has no current version; "
            "run the stage that makes it first"
        )
    return str(pointer["id"])


def _named(workspace: Path, kind: str, role: str) -> str:
    """Return what messages call the versions of a role."""
    return f"{workspace / kind}" + ("" if role == MAIN else f" (role {role})")


def publish(
    workspace: Path,
    kind: str,
    version: str,
    logical_date: str,
    number: int | None = None,
    *,
    role: str = MAIN,
    share: float = 1.0,
) -> str:
    """Make a committed version the current one, or the canary.

    Args:
        workspace: Folder of the workspace.
        kind: datasets, models or lists.
        version: Id of the version.
        logical_date: Its day; a version of an earlier day than the current one, or the canary, is
            not published.
        number: Number that the writer took when it began; None: the next number.
        role: Whose pointer is written.
        share: Share of the users that see it. Below 1 it becomes the canary; if nothing is current
            yet, all see it.

    Returns:
        `published`, `canary` (it is the canary now, or was already), `current` (it already was),
        `withdrawn` (rolled back before) or `older`.

    Raises:
        VersionError: When a writer with a later number has published before, or when nothing is
            current and the version was withdrawn.
    """
    pointer = read_pointer(workspace, kind, role) or {"number": 0, "previous": []}
    canary = canary_of(pointer)
    if pointer.get("id") == version:
        return CURRENT
    if canary is not None and (canary.id, canary.share) == (version, share):
        return CANARY
    withdrawn = _withdrawn(workspace, kind, pointer, role)
    if version in withdrawn:
        if "id" not in pointer:
            raise _nothing_current(workspace, kind, version, role)
        return "withdrawn"
    before = pointer if canary is None else canary._asdict()
    if _is_older(logical_date, before.get("logical_date", UNDATED)):
        return "older"
    number = _number(workspace, kind, version, pointer, number, role)
    if share < 1 and "id" in pointer:
        _point(workspace, kind, with_canary(pointer, version, logical_date, number, share), role)
        return CANARY
    pointed = _as_current(pointer, version, logical_date, number)
    _point(workspace, kind, {**pointed, "withdrawn": withdrawn}, role)
    return "published"


def _number(
    workspace: Path,
    kind: str,
    version: str,
    pointer: dict[str, Any],
    number: int | None,
    role: str,
) -> int:
    """Return the number to publish a version under.

    Raises:
        VersionError: When a writer with a later number has published before.
    """
    last: int = pointer["number"]
    number = last + 1 if number is None else number
    if number < last:
        raise VersionError(
            f"{_named(workspace, kind, role)}: a later writer has published number {last}; "
            f"{version} with number {number} comes too late; run again"
        )
    return number


def _as_current(
    pointer: dict[str, Any], version: str, logical_date: str, number: int
) -> dict[str, Any]:
    """Return a pointer whose current version is another one, without a canary."""
    before = [pointer["id"], *pointer["previous"]] if "id" in pointer else []
    changes = {
        "id": version,
        "logical_date": logical_date,
        "number": number,
        "previous": [other for other in dict.fromkeys(before) if other != version],
    }
    return with_publication(without_canary({**pointer, **changes}), version, number)


def promote(
    workspace: Path, kind: str, number: int | None = None, *, role: str = MAIN
) -> tuple[str, str]:
    """Make the canary the current version of all users.

    Returns:
        The id that is current now, and the one that was.

    Raises:
        ConfigError: When there is no canary.
        VersionError: When a writer with a later number has published before.
    """
    pointer = read_pointer(workspace, kind, role) or {}
    canary = _canary_in(pointer, workspace, kind, role)
    number = _number(workspace, kind, canary.id, pointer, number, role)
    _point(workspace, kind, _as_current(pointer, canary.id, canary.logical_date, number), role)
    return canary.id, str(pointer["id"])


def required_canary(workspace: Path, kind: str, role: str = MAIN) -> Canary:
    """Return the canary.

    Raises:
        ConfigError: When there is none.
    """
    return _canary_in(read_pointer(workspace, kind, role), workspace, kind, role)


def _canary_in(pointer: dict[str, Any] | None, workspace: Path, kind: str, role: str) -> Canary:
    canary = canary_of(pointer)
    if canary is None:
        raise ConfigError(
            f"{_named(workspace, kind, role)} has no canary, so there is nothing to promote; lists "
            "become one with publish.share below 1, and headrace status shows it"
        )
    return canary


def _nothing_current(workspace: Path, kind: str, version: str, role: str) -> VersionError:
    of_role = "" if role == MAIN else f"--role {role} "
    return VersionError(
        f"{_named(workspace, kind, role)} has no current version, and {version} was rolled back, "
        f"so it is not published again; headrace rollback --kind {kind} {of_role}--allow {version} "
        "lets the same run publish it"
    )


def versions_before(workspace: Path, kind: str, role: str = MAIN) -> list[str]:
    """Return the versions that can be gone back to, the newest first.

    Raises:
        ConfigError: When there is none.
    """
    pointer = read_pointer(workspace, kind, role) or {"id": None, "previous": []}
    withdrawn = _withdrawn(workspace, kind, pointer, role)
    previous = [
        version
        for version in dict.fromkeys(pointer["previous"])
        if version not in (pointer["id"], *withdrawn)
        and (workspace / kind / version / MANIFEST_NAME[kind]).is_file()
    ]
    if not previous:
        raise ConfigError(
            f"{_named(workspace, kind, role)} has no earlier version to go back to; "
            + ("headrace status shows the current one" if pointer["id"] else "nothing is current")
        )
    return previous


def rollback(
    workspace: Path, kind: str, number: int | None = None, *, role: str = MAIN
) -> tuple[str, str]:
    """Take the canary back; if there is none, make the version before the current one current.

    The withdrawn version stays on disk. Publishing it again is refused, so a schedule does not undo
    what a person did.

    Args:
        workspace: Folder of the workspace.
        kind: datasets, models or lists.
        number: Number of the writer; None: the next number.
        role: Whose pointer is written.

    Returns:
        The id that is current now, and the one that is withdrawn.

    Raises:
        ConfigError: When there is no canary, and no version to go back to.
        VersionError: When a writer with a later number has published before.
    """
    pointer = read_pointer(workspace, kind, role) or {}
    canary = canary_of(pointer)
    if canary is not None:
        left, changes = canary.id, without_canary(pointer)
    else:
        previous = versions_before(workspace, kind, role)
        manifest = read_json(workspace / kind / previous[0] / MANIFEST_NAME[kind])
        day = manifest["logical_date"]
        left = str(pointer["id"])
        changes = {
            **pointer, "id": previous[0], "logical_date": day, "previous": previous[1:],
        }  # fmt: skip
    number = _number(workspace, kind, changes["id"], pointer, number, role)
    withdrawn = list(dict.fromkeys([left, *_withdrawn(workspace, kind, pointer, role)]))
    write_json(_path(workspace, kind, WITHDRAWN_NAME, role), {"ids": withdrawn})
    changes |= {"number": number, "withdrawn": withdrawn}
    _point(workspace, kind, with_publication(changes, changes["id"], number), role)
    return str(changes["id"]), left


def allow(workspace: Path, kind: str, version: str, role: str = MAIN) -> None:
    """Let a withdrawn version be published again, by the run that finds it done.

    Raises:
        ConfigError: When it is not withdrawn.
    """
    pointer = read_pointer(workspace, kind, role)
    withdrawn = _withdrawn(workspace, kind, pointer or {}, role)
    if version not in withdrawn:
        known = ", ".join(withdrawn) or "none"
        raise ConfigError(
            f"{version!r} is no withdrawn version of {_named(workspace, kind, role)}; those are: "
            f"{known}"
        )
    withdrawn.remove(version)
    if pointer is not None:
        _point(workspace, kind, {**pointer, "withdrawn": withdrawn}, role)
    write_json(_path(workspace, kind, WITHDRAWN_NAME, role), {"ids": withdrawn})


def withdrawn_versions(workspace: Path, kind: str, role: str = MAIN) -> list[str]:
    """Return the versions that were rolled back, the last one first.

    Raises:
        VersionError: When the list of them, or the pointer, is damaged.
    """
    return _withdrawn(workspace, kind, read_pointer(workspace, kind, role) or {}, role)


def _withdrawn(workspace: Path, kind: str, pointer: dict[str, Any], role: str) -> list[str]:
    """Return the withdrawn versions; a pointer that was lost does not bring them back.

    Raises:
        VersionError: When the list is damaged.
    """
    path = _path(workspace, kind, WITHDRAWN_NAME, role)
    kept: Any = read_json(path, ("ids",)).get("ids") if is_there(path) else []
    if not _are_names(kept):
        raise VersionError(f"{path} is damaged: it has no list of ids; {mend(path)}")
    return list(dict.fromkeys([*pointer.get("withdrawn", []), *kept]))


def _point(workspace: Path, kind: str, pointer: dict[str, Any], role: str) -> None:
    write_json(_path(workspace, kind, POINTER_NAME, role), pointer)


def _is_older(date: str, current: str) -> bool:
    return UNDATED not in (date, current) and date < current
