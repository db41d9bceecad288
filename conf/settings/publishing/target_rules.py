"""Rules between the targets of `deliver` and the other sections."""

from collections.abc import Mapping
from pathlib import Path

from conf.settings.publishing.deliver import (
    DEFAULT_LISTS,
    AnyTarget,
    FilesTarget,
    PostgresqlTarget,
    S3Target,
)
from conf.settings.publishing.places import shared_places

_LONGEST_IDENTIFIER = 63  # of PostgreSQL, in bytes
_LONGEST_VERSION = len("_v") + len("000000000000_0123abcd")


def broken_delivery_rules(
    targets: dict[str, AnyTarget],
    scenarios: list[str],
    *,
    similar_items: bool,
    audiences: bool,
    folders: Mapping[str, str],
) -> list[str]:
    """Return a message for each broken rule between targets and the lists that there are.

    Args:
        targets: The section, by name.
        scenarios: Names of the scenarios.
        similar_items: Whether there are lists of items.
        audiences: Whether there are audiences.
        folders: Folders that no target may be in, by the key that names each.
    """
    found = []
    if targets and DEFAULT_LISTS in scenarios:
        found.append(
            f"score.scenarios has {DEFAULT_LISTS!r}, which in deliver.NAME.lists means the lists "
            "of score itself; give the scenario another name"
        )
    for name, target in targets.items():
        found += _about_lists(name, target, [DEFAULT_LISTS, *scenarios])
        for key, is_there in (("similar_items", similar_items), ("audiences", audiences)):
            if getattr(target, key) and not is_there:
                found.append(
                    f"deliver.{name}.{key} is true, but there are none; set score.{key}, or "
                    f"leave deliver.{name}.{key} out"
                )
        if isinstance(target, FilesTarget):
            found += _about_folder(name, target, folders)
        if isinstance(target, PostgresqlTarget):
            found += _about_names(name, target, scenarios)
        if isinstance(target, S3Target) and (target.access_key is None) != (
            target.secret_key is None
        ):
            found.append(
                f"deliver.{name}.access_key and deliver.{name}.secret_key belong together; set "
                "both, or neither"
            )
    return found + shared_places(targets)


def _about_lists(name: str, target: AnyTarget, known: list[str]) -> list[str]:
    wanted = target.lists or ()
    wrong = [one for one in wanted if one not in known]
    if wrong:
        return [
            f"deliver.{name}.lists has {wrong[0]!r}, which is no name in score.scenarios; "
            f"there are: {', '.join(known)}"
        ]
    twice = [one for one in dict.fromkeys(wanted) if wanted.count(one) > 1]
    return [f"deliver.{name}.lists has {one!r} twice; name it once" for one in twice[:1]]


def _about_folder(name: str, target: FilesTarget, folders: Mapping[str, str]) -> list[str]:
    """A target in the workspace would be taken for a part of it, one in the input for a log."""
    path = Path(target.path).resolve()
    return [
        f"deliver.{name}.path={target.path!r} is in the folder {key}={folder!r}; name a folder "
        "outside of it"
        for key, folder in folders.items()
        if path.is_relative_to(Path(folder).resolve())
    ]


def _about_names(name: str, target: PostgresqlTarget, scenarios: list[str]) -> list[str]:
    """PostgreSQL cuts names that are too long, so that two could become one."""
    wanted = [one for one in target.lists or scenarios if one != DEFAULT_LISTS]
    too_long = [
        one
        for one in wanted
        if len(f"{target.table}_{one}") + _LONGEST_VERSION > _LONGEST_IDENTIFIER
    ]
    return [
        f"deliver.{name}.table={target.table!r} makes a name of more than {_LONGEST_IDENTIFIER} "
        f"bytes with the scenario {one}; choose a shorter one"
        for one in too_long[:1]
    ]
