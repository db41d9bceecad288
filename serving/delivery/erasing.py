"""Remove users from every version that targets hold.

Tables and keys lose the users' rows. Files and objects are written again without the users, from
the lists of the workspace, and older versions are removed.
"""

import logging
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

from conf.errors import HeadraceError, TargetDownError, VersionError
from conf.privacy.delivered import Delivered, read_delivered
from conf.privacy.erased import erased_mark
from conf.settings.publishing.deliver import AnyTarget
from conf.settings.publishing.places import place_key
from conf.workspace.pointers import read_pointer
from serving.delivery.deliver import allowed_state, delivered
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


class Marks(NamedTuple):
    """See `conf.privacy.erased.erased_mark`."""

    before: str
    """Of the users who had been erased before this erasure."""
    now: str
    """Of all who are erased at its end."""


def run(
    workspace: Path,
    run: str,
    targets: Mapping[str, AnyTarget],
    names: frozenset[str],
    before: str,
    note: Callable[[str, dict[str, int]], None],
) -> tuple[set[str], HeadraceError | None]:
    """Remove users from all targets; their lists in the workspace are without them already.

    Args:
        workspace: Folder of the workspace, whose lock is held.
        run: Name of the run.
        targets: Their settings by name.
        names: The users' ids and labels.
        before: Mark of the users who had been erased before this erasure.
        note: Is called with the name of a target and the rows that were removed there so far, by
            kind of lists, with the number of removed versions.

    Returns:
        Names of the targets that hold the users no more, and the error that names those that
        failed; None: none did.

    Raises:
        VersionError: When the file of the places that got lists is damaged.
    """
    has_lists = read_pointer(workspace, "lists") is not None
    published = Published(workspace, run, is_erasure=True) if has_lists else None
    marks = Marks(before, erased_mark(workspace, is_erasure=True))
    noted = read_delivered(workspace)
    reached: set[str] = set()
    errors: dict[str, HeadraceError] = {}
    for name, target in targets.items():
        where = f"deliver.{name}"
        try:
            form = form_of(target)
            delivery = None if published is None else published.delivery(name, targets, form)
            with closing(opened(name, target)) as place:
                try:
                    state = _state_of(place, run, noted.get(place_key(target)), where)
                except NotOursError:
                    if place_key(target) not in noted:  # nothing of ours was ever there
                        reached.add(name)
                    raise
                erased(place, state, delivery, names, marks, where, partial(note, name))
            reached.add(name)
        except FAILURES as error:
            errors[name] = as_ours(error, workspace, where)
            log.error("erase: %s: %s", name, errors[name])
    return reached, combined(errors, "lists may still hold the users in")


def _state_of(place: Place, run: str, before: Delivered | None, where: str) -> State | None:
    """Return the record of a target that an erasure may change.

    Args:
        place: The target.
        run: Name of the run.
        before: What was delivered there; None: nothing was.
        where: What messages call the target.

    Raises:
        NotOursError: When it is not ours, or of another run.
        TargetDownError: When nothing is there, although lists were delivered there.
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
    was_delivered_to = before is not None and before.number is not None
    if state is None and was_delivered_to and not [*place.labels()]:
        raise TargetDownError(
            f"{where} is empty, although lists were delivered there: if its disk or server is "
            "away, erase again later; if somebody has removed the lists, run headrace deliver, and "
            "then headrace erase again with the same file"
        )
    return state


def erased(
    place: Place,
    state: State | None,
    delivery: Delivery | None,
    names: frozenset[str],
    marks: Marks,
    where: str,
    note: Callable[[dict[str, int]], None],
) -> None:
    """Remove users from one target.

    Args:
        place: The target.
        state: Its record, which is ours.
        delivery: What is published now, without the users; None: nothing is.
        names: The users' ids and labels.
        marks: Of the erased users.
        where: What messages call the target.
        note: Is called with removed rows by kind of lists, and removed versions.

    Raises:
        HeadraceError: When they may still be there.
    """
    kept = set() if state is None else state.named()
    removed = {"versions": _drop_others(place, kept)}
    if state is not None:
        is_without = False
        if hasattr(place, "erase_rows"):
            found = cast(_WithRows, place).erase_rows(names)
            for kinds in found.values():
                for kind, (rows, _) in kinds.items():
                    removed[kind] = removed.get(kind, 0) + rows
            note(removed)  # at once: when the erasure is run again, it does not find them
            left = {label: {k: c for k, (_, c) in kinds.items()} for label, kinds in found.items()}
            renewed = place.switch(lambda old: _renewed(old, left, delivery, marks))
            is_without = all(one.erased == marks.now for one in renewed.versions())
        if not is_without:  # files and objects, and what missed an earlier erasure
            kept = _alone_there(place, delivery, where)
            earlier = state.named() - kept
            for label in earlier:
                place.drop(label)  # one without our mark too: our record named it
            removed["versions"] += len(earlier)
    note(removed)
    if stay := sorted(set(place.labels()) - kept):
        raise TargetDownError(
            f"{where}: {', '.join(stay)} may have erased users, but cannot be removed while "
            "somebody reads it in a long transaction; erase again later"
        )


def _alone_there(place: Place, delivery: Delivery | None, where: str) -> set[str]:
    """Deliver what is published now, and remove all other versions; return the label that stays."""
    if delivery is None:
        raise VersionError(
            f"{where} has lists, but the workspace has none to replace them by; remove what the "
            "target holds by hand, or run headrace score, and erase again"
        )
    delivered(place, allowed_state(place, delivery, where), delivery, where, keep=0)
    kept = place.switch(_alone).named()
    _drop_others(place, kept)
    return kept


def _drop_others(place: Place, kept: set[str]) -> int:
    """Remove all versions but for some; return how many."""
    others = set(place.labels()) - kept  # nobody else writes now: the workspace is locked
    for label in others:
        place.drop(label)
    return len(others)


def _alone(state: State | None) -> State:
    """Return the record without earlier versions."""
    assert state is not None  # something was just delivered
    return state.model_copy(update={"held": ()}) if state.held else state


def _renewed(
    state: State | None,
    left: Mapping[str, Mapping[str, Counts]],
    delivery: Delivery | None,
    marks: Marks,
) -> State:
    """Return the record with the counts that are left, and the mark of the erased users.

    A version with neither mark missed an earlier erasure: it keeps its mark, so that `erased`
    delivers again.

    The current version counts as what the workspace has now, if it has as many rows and lists.
    """
    assert state is not None  # its rows were just removed

    def renewed(version: Version) -> Version:
        kinds = dict(left.get(version.version, version.kinds))
        changes: dict[str, Any] = {"kinds": kinds, "content": ""}
        if version.erased not in marks:
            return version.model_copy(update=changes)
        changes["erased"] = marks.now
        if delivery is not None and version is state.current and _is_same(state, delivery):
            expected = {kind.name: (kind.rows, kind.lists) for kind in delivery.kinds}
            found = {name: (count.rows, count.lists) for name, count in kinds.items()}
            if expected == found:
                changes["content"] = delivery.content
        return version.model_copy(update=changes)

    current, *held = map(renewed, state.versions())
    return state.model_copy(update={"current": current, "held": tuple(held)})


def _is_same(state: State, delivery: Delivery) -> bool:
    there = (state.number, state.current.id, state.current.canary)
    return there == (delivery.number, delivery.id, delivery.canary)
