"""Deliver the published lists to targets: stage, check the counts, switch, remove what is old.

The next delivery finishes what a kill has cut off. Until the switch, readers see the old version
whole, and from then on the new one.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from conf.errors import ConfigError, HeadraceError, StorageError, VersionError
from conf.privacy.delivered import (
    NAME,
    Delivered,
    note_delivered,
    places_left,
    read_delivered,
)
from conf.settings.publishing.deliver import AnyTarget
from conf.settings.publishing.places import places_of
from serving.delivery.failures import FAILURES, as_ours, combined
from serving.delivery.places import form_of, opened
from serving.delivery.reading import Delivery, Published
from serving.delivery.versions import (
    Counts,
    DamagedRecordError,
    Place,
    State,
    Version,
    changed,
    is_up_to_date,
    leftovers,
    mended_state,
    new_label,
    or_none,
    require_allowed,
)

log = logging.getLogger(__name__)

DELIVERED, SWITCHED, CURRENT, FAILED = "delivered", "switched", "current", "failed"


def run(
    workspace: Path, run: str, targets: Mapping[str, AnyTarget], only: str | None = None
) -> tuple[dict[str, dict[str, Any]], HeadraceError | None]:
    """Deliver the published lists to every target; one that fails does not stop the others.

    Args:
        workspace: Folder of the workspace, whose lock is held.
        run: Name of the run.
        targets: Settings of all targets by name.
        only: Name of the only target that is delivered to; None: all.

    Returns:
        What happened, by target, and the error that names the targets that failed; None: none did.

    Raises:
        VersionError: When nothing is published, or the lists are damaged.
    """
    published = Published(workspace, run)
    noted, places = _noted(workspace), places_of(targets)
    told: dict[str, dict[str, Any]] = {}
    errors: dict[str, HeadraceError] = {}
    for name in targets if only is None else [only]:
        where, started = f"deliver.{name}", time.monotonic()
        try:
            delivery = published.delivery(name, targets, form_of(targets[name]))
            with closing(opened(name, targets[name])) as place:
                state = allowed_state(place, delivery, where)
                _warn_of_place(noted, place, state, delivery, places)
                # Before anything is written: a kill may follow, and an erasure has to know.
                noted = note_delivered(workspace, noted, delivery.place, name, None)
                told[name] = delivered(place, state, delivery, where, keep=targets[name].keep)
        except FAILURES as error:
            errors[name] = as_ours(error, workspace, where)
            told[name] = {"status": FAILED, "error": str(errors[name])}
            log.error("deliver: %s: %s", name, errors[name])
            continue
        noted = _with_number(workspace, noted, delivery)
        told[name]["seconds"] = round(time.monotonic() - started, 1)
        canary = delivery.canary
        also = "" if canary is None else f", and {canary['id']} for {canary['share']:.4g} of users"
        log.info("deliver: %s has %s%s: %s", name, delivery.id, also, told[name]["status"])
    return told, combined(errors, "the current version was not delivered to")


def _noted(workspace: Path) -> dict[str, Delivered]:
    """Return what was delivered, by place; a damaged file is put aside and counts as empty."""
    try:
        return read_delivered(workspace)
    except VersionError as error:
        path = workspace / "lists" / NAME
        aside = path.with_name(f"damaged-{NAME}")
        path.replace(aside)
        log.warning(
            "deliver: the places of earlier deliveries are not known any more; only those of the "
            "current targets are noted again. The damaged file is kept as %s: %s",
            aside,
            error,
        )
        return {}


def _with_number(
    workspace: Path, noted: dict[str, Delivered], delivery: Delivery
) -> dict[str, Delivered]:
    """Note the number of a delivery; a failure does not undo the delivery, so it is only logged."""
    try:
        return note_delivered(workspace, noted, delivery.place, delivery.target, delivery.number)
    except (HeadraceError, OSError) as error:
        told = as_ours(error, workspace, f"deliver.{delivery.target}")
        log.warning("deliver: %s has its lists, but that is not noted: %s", delivery.target, told)
        return noted


def _warn_of_place(
    noted: Mapping[str, Delivered],
    place: Place,
    state: State | None,
    delivery: Delivery,
    places: Mapping[str, str],
) -> None:
    """Warn if a place has lost what was delivered there, or a target has got another place.

    Args:
        noted: What was delivered, by place.
        place: The target.
        state: Its record; None: there is none, or a damaged one.
        delivery: What is to be delivered.
        places: Names of all targets, by place.
    """
    before = noted.get(delivery.place)
    if before is not None:
        if before.number is not None and state is None and _is_empty(place):
            log.warning(
                "deliver.%s is empty, although number %d was delivered there at %s: somebody has "
                "removed it, or the address leads to another server now; all lists are delivered "
                "again",
                delivery.target, before.number, before.at,
            )  # fmt: skip
        return
    if delivery.target in places_left(noted, places).values():
        log.warning(
            "deliver.%s was at another place before: the lists there stay, and no erasure reaches "
            "them; remove them by hand, then their entry in lists/DELIVERED.json",
            delivery.target,
        )


def _is_empty(place: Place) -> bool:
    try:
        return place.state() is None
    except DamagedRecordError:
        return False


def allowed_state(place: Place, delivery: Delivery, where: str) -> State | None:
    """Return the record of a target to deliver to; None: there is none, or a damaged one.

    Args:
        place: The target.
        delivery: What is to be delivered.
        where: What messages call the target.

    Raises:
        HeadraceError: When the target is down, not ours, or further than this delivery.
    """
    if not delivery.kinds:
        raise ConfigError(
            f"{where}: {delivery.id} has none of the lists that {where} asks for, so nothing is "
            f"delivered; name others in {where}.lists"
        )
    state = mended_state(place, delivery)
    require_allowed(state, delivery, where)
    return state


def delivered(
    place: Place, state: State | None, delivery: Delivery, where: str, *, keep: int
) -> dict[str, Any]:
    """Deliver to one target, unless it has it already; return what happened.

    Args:
        place: The target.
        state: Its record, see `allowed_state`.
        delivery: What is to be delivered.
        where: What messages call the target.
        keep: Earlier versions that stay.

    Raises:
        HeadraceError: When the target is down, full, not ours, or further than this delivery.
    """
    version, status = _there(place, state, delivery), CURRENT
    if version is None:
        version, status = _staged(place, delivery, where), DELIVERED
    elif state is not None and (version, delivery.number) != (state.current, state.number):
        status = SWITCHED
    replaces = None if state is None else state.current.version
    if status != CURRENT or (state is not None and not is_up_to_date(state, delivery)):
        found = version
        state = place.switch(
            lambda old: changed(
                old, delivery, found, keep=keep, replaces=replaces, where=where
            )
        )  # fmt: skip
    for label in leftovers(place.labels(), state):
        place.drop(label)
    assert state is not None  # there is a version
    counts = {name: count.model_dump() for name, count in state.current.kinds.items()}
    return {"status": status, "version": state.current.version, "kinds": counts}


def _there(place: Place, state: State | None, delivery: Delivery) -> Version | None:
    """Return the version of this content that the target has whole; None: it has none."""
    if state is None:
        return None
    for one in state.versions():
        is_current = one is state.current and state.number == delivery.number
        if one.content == delivery.content and place.holds(one, delivery, is_current=is_current):
            return one
    return None


def _staged(place: Place, delivery: Delivery, where: str) -> Version:
    """Write a version that no reader sees, and read back how much of it is there.

    Raises:
        StorageError: When the target does not hold all that was written.
    """
    label = new_label(delivery.number)
    try:
        written = place.stage(label, delivery)
        _require_equal(written, place.counts(label, delivery), where)
    except FAILURES:
        with suppress(*FAILURES):  # the first error says more
            place.drop(label)
        _require_still_allowed(place, delivery, where)
        raise
    return Version(
        version=label,
        id=delivery.id,
        canary=delivery.canary,
        logical_date=delivery.logical_date,
        content=delivery.content,
        kinds=written,
    )


def _require_still_allowed(place: Place, delivery: Delivery, where: str) -> None:
    """Raise the error about a later delivery: it removes what this one has written so far."""
    state = None
    with suppress(*FAILURES):
        state = or_none(place.state)
    require_allowed(state, delivery, where)


def _require_equal(written: Mapping[str, Counts], found: Mapping[str, Counts], where: str) -> None:
    wrong: Sequence[str] = [
        f"{kind}: {found[kind].rows:,} of {count.rows:,} rows, {found[kind].lists:,} of "
        f"{count.lists:,} lists"
        for kind, count in written.items()
        if found[kind] != count
    ]
    if wrong:
        raise StorageError(
            f"{where} does not hold what was written to it ({'; '.join(wrong)}): it may be full, "
            "or something else removes its rows; nothing was switched"
        )
