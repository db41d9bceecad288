"""What to say about a damaged file of a workspace: what is in it, and what to do about it."""

from pathlib import Path

from conf.contract import MANIFEST_NAME

_STAGES = {"datasets": "etl", "models": "train", "lists": "score"}
_ELSE = "restore it, or remove it and run again"
LONGEST = 100
"""Characters of a damaged value that a message has."""


def told_value(value: object) -> str:
    """Return a damaged value for a message, cut after `LONGEST` characters."""
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def mend(path: Path) -> str:
    """Return the advice that ends a message about a damaged file.

    Args:
        path: The file, or the folder of a version.
    """
    if path.parent.name == "erased":
        return (
            "restore it from a backup, and do not remove it: without it, users who were erased "
            "come back with the next log. If it is lost, remove it, and erase the same users again"
        )
    kind, folder = _version(path)
    if kind is not None and path.parent.name == kind and path.suffix == ".json":
        return _of_pointer(path, kind)
    if kind is None or folder is None:
        return _ELSE
    role = " (with --role, if its role is not main)" if kind == "models" else ""
    return (
        f"restore it. Without a backup: if that version is current, headrace rollback --kind {kind}"
        f"{role} goes back to the one before, and the same command with --allow {folder.name} lets "
        f"it be published again; then remove {folder} and run headrace {_STAGES[kind]}"
    )


def _of_pointer(path: Path, kind: str) -> str:
    if path.name.startswith("WITHDRAWN"):
        return "restore it; if you remove it, versions that were rolled back can be published again"
    if path.name.startswith("DELIVERED"):
        return (
            "restore it. Without a backup, remove it and run headrace deliver, which notes the "
            "places of all targets again; those of former targets stay unknown, so remove the "
            "lists there by hand"
        )
    lost = "headrace rollback has no earlier version"
    if kind == "lists":
        lost += (
            ", headrace outcome cannot count earlier days, and a canary ends (all users see the "
            "current lists)"
        )
    return (
        f"restore it, or remove it and run headrace {_STAGES[kind]} (or headrace run), which "
        f"publishes again; afterwards {lost}"
    )


def _version(path: Path) -> tuple[str | None, Path | None]:
    """Return the kind and the folder of the version that a path is in or is, None for neither."""
    for inner, outer in zip((path, *path.parents), path.parents, strict=False):
        if outer.name in MANIFEST_NAME:
            return outer.name, None if inner.name.startswith(".") else inner
    return None, None
