"""Which versions stay, and why; all others may go.

A version stays if a pointer names it, if `retention` keeps it, or if one that stays needs it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from conf.contract import MAIN
from conf.errors import ConfigError
from conf.privacy.identities import IDENTITIES
from conf.retention.versions import (
    KINDS,
    Key,
    Pointed,
    Version,
    bytes_in,
    folders_of,
    pointers_of,
    withdrawn_in,
)
from conf.settings.publishing.retention import Kept, Retention
from conf.workspace.folders import listed
from conf.workspace.json_files import is_there
from conf.workspace.pointers import versions_before
from conf.workspace.versions import UNDATED


class Plan(NamedTuple):
    """What is done to the versions of a workspace."""

    kept: dict[Key, str]
    """Versions that stay, with the first reason."""
    removed: tuple[Version, ...]
    """All others, in the order of their removal."""
    identities: tuple[Path, ...]
    """Tables of identities whose dataset is gone, and that no version that stays needs."""
    withdrawn: tuple[Key, ...]
    """Versions that were rolled back and are there; some stay, the others are removed."""


def plan_of(
    workspace: Path,
    versions: Mapping[Key, Version],
    retention: Retention,
    asked: Mapping[Key, str],
) -> Plan:
    """Return what stays and what may go.

    Args:
        workspace: Folder of the workspace.
        versions: All of its versions.
        retention: The section.
        asked: Versions that the configuration itself needs, with reasons; they may be missing.

    Raises:
        ConfigError: When `retention.hold` names no version.
        VersionError: When a pointer or a list of withdrawn versions is damaged, or a pointer names
            a version that is not there.
    """
    reasons: dict[Key, str] = {}
    for pointed in pointers_of(workspace):
        kept: Kept = getattr(retention, pointed.kind)
        _add(reasons, _named(workspace, pointed, kept))
    for (kind, _), found in _by_role(versions.values()).items():
        _add(reasons, _newest(found, getattr(retention, kind)))
    _add(reasons, _held(workspace, retention, versions))
    _add(reasons, asked)
    kept_now = _with_needs({key: why for key, why in reasons.items() if key in versions}, versions)
    order = sorted(versions.values(), key=lambda one: (KINDS.index(one.key.kind), _age(one)))
    removed = tuple(one for one in order if one.key not in kept_now)
    withdrawn = tuple(sorted(key for key in withdrawn_in(workspace) if key in versions))
    orphans = _orphans(workspace, [versions[key] for key in kept_now])
    return Plan(kept_now, removed, orphans, withdrawn)


def folders_to_remove(workspace: Path, plan: Plan) -> list[Path]:
    """Return the folders that go, in the order of their removal."""
    of_versions = [folder for one in plan.removed for folder in folders_of(workspace, one.key)]
    return [*of_versions, *plan.identities]


def told_plan(workspace: Path, plan: Plan) -> dict[str, Any]:
    """Return a plan as entries of the result.

    Returns:
        `removed`: by kind, id and bytes of what goes; a file with several names counts where it is
        removed first; `kept`: by kind, the reason of each id that stays; `removed_bytes`: the sum;
        `withdrawn_versions`: by kind, the ids that were rolled back, whether they stay or go.
    """
    removed: dict[str, dict[str, int]] = {kind: {} for kind in KINDS}
    counted = set[tuple[int, int]]()
    for one in plan.removed:
        folders = folders_of(workspace, one.key)
        sizes = [bytes_in(folder, counted) for folder in folders]
        removed[one.key.kind][one.key.id] = sum(sizes)
    if plan.identities:
        orphans = {folder.name: bytes_in(folder, counted) for folder in plan.identities}
        removed[IDENTITIES] = orphans
    kept: dict[str, dict[str, str]] = {kind: {} for kind in KINDS}
    for key in sorted(plan.kept, reverse=True):
        told = "; it was rolled back" if key in plan.withdrawn else ""
        kept[key.kind][key.id] = plan.kept[key] + told
    withdrawn: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for key in plan.withdrawn:
        withdrawn[key.kind].append(key.id)
    return {
        "removed": removed,
        "removed_bytes": sum(size for sizes in removed.values() for size in sizes.values()),
        "kept": kept,
        "withdrawn_versions": withdrawn,
    }


def _add(reasons: dict[Key, str], more: Mapping[Key, str]) -> None:
    """Add reasons to those of versions that have none yet."""
    for key, why in more.items():
        reasons.setdefault(key, why)


def _named(workspace: Path, pointed: Pointed, kept: Kept) -> dict[Key, str]:
    """Return what a pointer names, and what rollback can go back to."""
    kind = pointed.kind
    found = {Key(kind, version): why for version, why in pointed.ids.items()}
    try:
        before = versions_before(workspace, kind, pointed.role)
    except ConfigError:
        before = []  # there is none
    for version in before[: kept.keep]:
        found.setdefault(Key(kind, version), f"rollback can go back to it{pointed.told}")
    return found


def _by_role(versions: Iterable[Version]) -> dict[tuple[str, str], list[Version]]:
    found: dict[tuple[str, str], list[Version]] = defaultdict(list)
    for one in versions:
        found[one.key.kind, one.role].append(one)
    return found


def _age(version: Version) -> tuple[str, float, str]:
    """Return what orders versions from old to new."""
    day = "" if version.logical_date == UNDATED else version.logical_date
    return day, version.committed_at, version.key.id


def _newest(versions: list[Version], kept: Kept) -> dict[Key, str]:
    """Return the newest of the versions of one kind and role."""
    ordered = sorted(versions, key=_age, reverse=True)
    role = ordered[0].role
    told = "" if role == MAIN else f" of role {role}"
    found = {one.key: f"one of the {kept.keep} newest{told}" for one in ordered[: kept.keep]}
    dated = [one for one in ordered if one.logical_date != UNDATED]
    if kept.days is not None and dated:
        newest = date.fromisoformat(dated[0].logical_date)
        first = (newest - timedelta(days=kept.days - 1)).isoformat()
        for one in dated:
            if one.logical_date >= first:
                found.setdefault(one.key, f"of the last {kept.days} days")
    return found


def _held(workspace: Path, retention: Retention, versions: Mapping[Key, Version]) -> dict[Key, str]:
    """Return the versions that are held.

    Raises:
        ConfigError: When there is no such version.
    """
    ids = {key.id for key in versions}
    unknown = [one for one in retention.hold if one not in ids]
    if unknown:
        raise ConfigError(
            f"retention.hold names {', '.join(unknown)}, but {workspace} has no such version; "
            "correct the id, or take it out (headrace status shows ids)"
        )
    return {key: "retention.hold" for key in versions if key.id in retention.hold}


def _with_needs(reasons: Mapping[Key, str], versions: Mapping[Key, Version]) -> dict[Key, str]:
    """Return what stays with all that it needs.

    The model that a training started from stays with the new one, so that the same training is
    found done; not the one before that, or all models would stay.
    """
    found = dict(reasons)
    _add_needs(found, list(found), versions)
    starts = {
        start: f"{key} started from it"
        for key in found
        if (start := versions[key].starts_from) is not None and start in versions
    }
    _add(found, starts)
    _add_needs(found, list(starts), versions)
    return found


def _add_needs(found: dict[Key, str], keys: Iterable[Key], versions: Mapping[Key, Version]) -> None:
    """Add what some versions were made from, and what that was made from."""
    waiting = list(keys)
    for key in waiting:  # it grows
        for need in versions[key].needs:
            if need in versions:
                found.setdefault(need, f"{key} needs it")
                waiting.append(need)


def _orphans(workspace: Path, versions: Iterable[Version]) -> tuple[Path, ...]:
    """Return the tables of identities of datasets that are gone and that no kept version names."""
    needed = {key.id for one in versions for key in one.needs}
    return tuple(
        folder
        for folder in listed(workspace / IDENTITIES, "[!.]*")
        if folder.name not in needed and not is_there(workspace / "datasets" / folder.name)
    )
