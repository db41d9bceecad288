"""Remove users from every version that targets hold.

Tables and keys lose the users' rows. Files and objects are written again without the users, from
the lists of the workspace, and older versions are removed.
"""

import logging
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol, cast

from conf.errors import HeadraceError, VersionError
from conf.settings.publishing.deliver import AnyTarget
from conf.workspace.pointers import read_pointer
from serving.delivery.deliver import combined, delivered
from serving.delivery.places import form_of, opened
from serving.delivery.reading import Delivery, Published
from serving.delivery.versions import Counts, Place, State, Version

log = logging.getLogger(__name__)


class _WithRows(Protocol):
    """A target whose rows can be removed one by one."""

    def erase_rows(self, names: frozenset[str]) -> dict[str, dict[str, tuple[int, Counts]]]:
        """Remove the rows of users; return, by version and kind, how many, and what is left."""


def run(
    workspace: Path, run: str, targets: Mapping[str, AnyTarget], names: frozenset[str]
) -> tuple[dict[str, dict[str, int]], HeadraceError | None]:
    """Remove users from all targets; their lists in the workspace are without them already.

    Args:
        workspace: Folder of the workspace, whose lock is held.
        run: Name of the run.
        targets: Their settings by name.
        names: The users' ids and labels.

    Returns:
        Removed rows by target and kind of lists, with the number of removed versions, and the error
        that names the targets that failed; None: none did.
    """
    published = None
    if read_pointer(workspace, "lists") is not None:
        published = Published(workspace, run)
    removed: dict[str, dict[str, int]] = {}
    errors: dict[str, HeadraceError] = {}
    for name, target in targets.items():
        delivery = None if published is None else published.delivery(target, form_of(target))
        try:
            with closing(opened(name, target)) as place:
                removed[name] = erased(place, delivery, names, f"deliver.{name}")
        except HeadraceError as error:
            errors[name] = error
            log.error("erase: %s: %s", name, error)
    return removed, combined(errors, "lists may still hold the users in")


def erased(
    place: Place, delivery: Delivery | None, names: frozenset[str], where: str
) -> dict[str, int]:
    """Remove users from one target; return removed rows by kind of lists, and removed versions.

    Args:
        place: The target.
        delivery: What is published now, without the users; None: nothing is.
        names: The users' ids and labels.
        where: What messages call the target.

    Raises:
        HeadraceError: When they may still be there.
    """
    state = place.state()
    kept = set() if state is None else state.named()
    removed = {"versions": 0}
    for label in place.labels():
        if label not in kept:  # nobody else writes now: the workspace is locked
            place.drop(label)
            removed["versions"] += 1
    if state is None:
        return removed
    if hasattr(place, "erase_rows"):
        found = cast(_WithRows, place).erase_rows(names)
        for kinds in found.values():
            for kind, (rows, _) in kinds.items():
                removed[kind] = removed.get(kind, 0) + rows
        left = {label: {k: c for k, (_, c) in kinds.items()} for label, kinds in found.items()}
        place.switch(lambda old: _renewed(old, left, delivery))
        return removed
    if delivery is None:
        raise VersionError(
            f"{where} has lists, but the workspace has none to replace them by; remove what the "
            "target holds by hand, or run headrace score, and erase again"
        )
    delivered(place, delivery, where, keep=0)
    alone = place.switch(_alone)
    for label in place.labels():
        if label not in alone.named():
            place.drop(label)
    removed["versions"] += len(state.named() - alone.named())
    return removed


def _alone(state: State | None) -> State:
    """Return the record without earlier versions."""
    assert state is not None  # something was just delivered
    return state.model_copy(update={"held": ()}) if state.held else state


def _renewed(
    state: State | None, left: Mapping[str, Mapping[str, Counts]], delivery: Delivery | None
) -> State:
    """Return the record with the counts that are left.

    The current version counts as what the workspace has now, if it has as many rows and lists.
    """
    assert state is not None  # its rows were just removed

    def renewed(version: Version) -> Version:
        kinds = dict(left.get(version.version, version.kinds))
        changes: dict[str, Any] = {"kinds": kinds, "content": ""}
        if delivery is not None and version is state.current and _is_same(state, delivery):
            expected = {kind.name: (kind.rows, kind.lists) for kind in delivery.kinds}
            found = {name: (count.rows, count.lists) for name, count in kinds.items()}
            if expected == found:
                changes["content"] = delivery.content
        return version.model_copy(update=changes)

    current, *held = (renewed(one) for one in (state.current, *state.held))
    return state.model_copy(update={"current": current, "held": tuple(held)})


def _is_same(state: State, delivery: Delivery) -> bool:
    same = (state.number, state.current.id) == (delivery.number, delivery.id)
    canary = None if delivery.canary is None else dict(delivery.canary)
    return same and state.current.canary == canary
