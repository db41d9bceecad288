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
from conf.privacy.delivered import read_delivered
from conf.privacy.erased import erased_mark
from conf.settings.publishing.deliver import AnyTarget
from conf.settings.publishing.places import place_key
from conf.workspace.pointers import read_pointer
from serving.delivery.deliver import delivered
from serving.delivery.failures import FAILURES, as_ours, combined
from serving.delivery.places import form_of, opened
from serving.delivery.reading import Delivery, Published
from serving.delivery.versions import (
    Counts,
    DamagedRecordError,
    NotOursError,
    Place,
    State,
    Version,
    require_own,
)

log = logging.getLogger(__name__)


class _WithRows(Protocol):
    """A target whose rows can be removed one by one."""

    def erase_rows(self, names: frozenset[str]) -> dict[str, dict[str, tuple[int, Counts]]]:
        """Remove the rows of users; return, by version and kind, how many, and what is left."""


def run(
    workspace: Path,
    run: str,
    targets: Mapping[str, AnyTarget],
    names: frozenset[str],
    before: str,
) -> tuple[dict[str, dict[str, int]], HeadraceError | None]:
    """Remove users from all targets; their lists in the workspace are without them already.

    Args:
        workspace: Folder of the workspace, whose lock is held.
        run: Name of the run.
        targets: Their settings by name.
        names: The users' ids and labels.
        before: Mark of the users who had been erased before this erasure.

    Returns:
        Removed rows by target and kind of lists, with the number of removed versions, and the error
        that names the targets that failed; None: none did.
    """
    published = None
    if read_pointer(workspace, "lists") is not None:
        published = Published(workspace, run, is_erasure=True)
    marks = before, erased_mark(workspace, is_erasure=True)
    noted = read_delivered(workspace)
    removed: dict[str, dict[str, int]] = {}
    errors: dict[str, HeadraceError] = {}
    for name, target in targets.items():
        where = f"deliver.{name}"
        try:
            delivery = None
            if published is not None:
                delivery = published.delivery(name, targets, form_of(target))
            with closing(opened(name, target)) as place:
                state = _state_of(place, run, where)
                if state is None and place_key(target) in noted:
                    log.warning(
                        "erase: %s is empty, although lists were delivered there: if they are on "
                        "another server now, they still have the users",
                        where,
                    )
                removed[name] = erased(place, state, delivery, names, marks, where)
        except FAILURES as error:
            if isinstance(error, NotOursError) and place_key(target) not in noted:
                removed[name] = {}  # nothing of ours was ever there
            errors[name] = as_ours(error, workspace, where)
            log.error("erase: %s: %s", name, errors[name])
    return removed, combined(errors, "lists may still hold the users in")


def _state_of(place: Place, run: str, where: str) -> State | None:
    """Return the record of a target that an erasure may change.

    Raises:
        ConfigError: When it is not ours, or of another run.
        VersionError: When it is damaged, so that nobody can say what readers see.
    """
    try:
        state = place.state()
    except DamagedRecordError as error:
        raise VersionError(
            f"{error}; run headrace deliver, which writes it again, and then headrace erase again "
            "with the same file"
        ) from error
    require_own(state, run, where)
    return state


def erased(
    place: Place,
    state: State | None,
    delivery: Delivery | None,
    names: frozenset[str],
    marks: tuple[str, str],
    where: str,
) -> dict[str, int]:
    """Remove users from one target; return removed rows by kind of lists, and removed versions.

    Args:
        place: The target.
        state: Its record, which is ours.
        delivery: What is published now, without the users; None: nothing is.
        names: The users' ids and labels.
        marks: Of the users who had been erased before, and of those who are erased now.
        where: What messages call the target.

    Raises:
        HeadraceError: When they may still be there.
    """
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
        renewed = place.switch(lambda old: _renewed(old, left, delivery, marks))
        if all(one.erased == marks[-1] for one in renewed.versions()):
            return removed  # else it missed an earlier erasure
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
    state: State | None,
    left: Mapping[str, Mapping[str, Counts]],
    delivery: Delivery | None,
    marks: tuple[str, str],
) -> State:
    """Return the record with the counts that are left, and the mark of the erased users.

    A version with another mark than before this erasure may have users of an earlier one.

    The current version counts as what the workspace has now, if it has as many rows and lists.
    """
    assert state is not None  # its rows were just removed

    def renewed(version: Version) -> Version:
        kinds = dict(left.get(version.version, version.kinds))
        changes: dict[str, Any] = {"kinds": kinds, "content": ""}
        if version.erased not in marks:
            return version.model_copy(update=changes)
        changes["erased"] = marks[-1]
        if delivery is not None and version is state.current and _is_same(state, delivery):
            expected = {kind.name: (kind.rows, kind.lists) for kind in delivery.kinds}
            found = {name: (count.rows, count.lists) for name, count in kinds.items()}
            if expected == found:
                changes["content"] = delivery.content
        return version.model_copy(update=changes)

    current, *held = map(renewed, state.versions())
    return state.model_copy(update={"current": current, "held": tuple(held)})


def _is_same(state: State, delivery: Delivery) -> bool:
    same = (state.number, state.current.id) == (delivery.number, delivery.id)
    canary = None if delivery.canary is None else dict(delivery.canary)
    return same and state.current.canary == canary
