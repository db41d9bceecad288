"""What a target holds, and what may replace it: versions, their numbers, and the fence.

A target keeps one small record of its state. A version is staged under a label of its own first,
which no reader knows; the record is replaced in one step then. What the record does not name is
left from a delivery that was cut off, or of a version that is no longer kept.
"""

import json
import logging
import re
import secrets
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from conf.errors import ConfigError, HeadraceError, VersionError
from serving.delivery.reading import Delivery

log = logging.getLogger(__name__)

MADE_BY: Final = "headrace"
MARK: Final = ".headrace"
"""Name of a file or an object in each version that we wrote: what lacks it is not ours."""
DAMAGED_MANIFEST: Final = "%s: the manifest of version %s is damaged, so it is not used again"
_LABEL = re.compile(r"^\d{6,12}_[0-9a-f]{8}$")


class Counts(BaseModel):
    """How much of one kind a version has."""

    model_config = ConfigDict(frozen=True)

    rows: int
    lists: int


NOTHING: Final = Counts(rows=0, lists=0)


class Version(BaseModel):
    """A delivered version."""

    model_config = ConfigDict(frozen=True)

    version: Annotated[str, Field(pattern=_LABEL.pattern)]
    """Its label in the target: the number of the delivery that wrote it, and eight digits."""
    id: str
    """The lists in the workspace."""
    canary: dict[str, Any] | None = None
    """`id` and `share` of the canary whose lists a part of the users has; None: nobody has."""
    logical_date: str
    content: str
    """Hash of what it was made from; empty: an erasure has changed it."""
    kinds: dict[str, Counts]
    """By kind of lists."""
    erased: str = ""
    """Mark of the erased users that it is without, see `conf.privacy.erased.erased_mark`."""


class State(BaseModel):
    """The record of a target."""

    model_config = ConfigDict(frozen=True)

    made_by: Literal["headrace"] = MADE_BY
    run: str
    """Name of the run that delivers here."""
    target: str = ""
    """Name of the target in `deliver` when the record was written."""
    place: str = ""
    """Its place as the configuration had it, see `conf.settings.publishing.places`."""
    number: int
    """Number of the publication that was delivered last; one with a smaller number is refused."""
    delivered_at: str
    """Time in UTC."""
    current: Version
    held: tuple[Version, ...] = ()
    """Earlier versions that are still there, newest first."""

    def named(self) -> set[str]:
        """Return the labels of all versions."""
        return {one.version for one in self.versions()}

    def versions(self) -> tuple[Version, ...]:
        """Return all versions, the current one first."""
        return (self.current, *self.held)


class NotOursError(ConfigError):
    """What a target holds is of another run or another program, so it is left as it is."""


class DamagedRecordError(VersionError):
    """The record of a target is ours, but it cannot be read."""


Change = Callable[[State | None], State]


class Place(Protocol):
    """Where a target stores versions; errors of its client are those of `conf.errors`."""

    def state(self) -> State | None:
        """Return the record; None: nothing was delivered here yet.

        Raises:
            NotOursError: When what has its name is not ours.
            DamagedRecordError: When it is ours, but cannot be read.
        """

    def stage(self, label: str, delivery: Delivery) -> dict[str, Counts]:
        """Write a version that no reader sees; return what was written."""

    def counts(self, label: str, delivery: Delivery) -> dict[str, Counts]:
        """Return what is there of a staged version, as it is read back."""

    def holds(self, version: Version, delivery: Delivery, *, is_current: bool) -> bool:
        """Return whether a version is there; one that is not current is looked at row by row."""

    def switch(self, change: Change) -> State:
        """Replace the record in one step, with a lock or a condition; return the new one.

        A record that is damaged counts as none.

        Args:
            change: Takes the record as it is at that moment and returns the new one. If it returns
                the same, nothing is changed. Its errors refuse the switch.
        """

    def labels(self) -> Iterable[str]:
        """Return the labels of all versions of ours that are there, wholly or in part."""

    def drop(self, label: str) -> None:
        """Remove a version that the record does not name."""

    def close(self) -> None:
        """Close connections."""


def new_label(number: int) -> str:
    """Return a label that no other delivery has."""
    return f"{number:06d}_{secrets.token_hex(4)}"


def is_label(text: str) -> bool:
    """Return whether a name is that of a version."""
    return _LABEL.match(text) is not None


def leftovers(labels: Iterable[str], state: State | None) -> list[str]:
    """Return the labels that may be removed: not named by the record, and not of a later number.

    One of a later number may be another delivery's, which is still writing.
    """
    if state is None:
        return []
    return [
        label for label in labels if label not in state.named() and number_of(label) <= state.number
    ]


def number_of(label: str) -> int:
    """Return the number of the delivery that wrote a version."""
    return int(label.partition("_")[0])


def parsed_state(record: Any, where: str, has_versions: Callable[[], bool]) -> State | None:
    """Return a record as it was stored; None stays None.

    Args:
        record: A mapping, or its JSON as text.
        where: What messages call its place.
        has_versions: Returns whether the target has versions of ours; asked only if the record
            does not say whose it is.

    Raises:
        NotOursError: When it is not ours.
        DamagedRecordError: When it is ours, but cannot be read.
    """
    if record is None:
        return None
    try:
        if isinstance(record, str | bytes):
            return State.model_validate_json(record)
        return State.model_validate(record)
    except ValidationError as error:
        raise unreadable(record, where, has_versions) from error


def unreadable(record: Any, where: str, has_versions: Callable[[], bool]) -> HeadraceError:
    """Return the error for a record that is none of ours, or damaged; see `parsed_state`."""
    value = record
    if isinstance(record, str | bytes):
        try:
            value = json.loads(record)
        except ValueError:
            value = None
    is_mapping = isinstance(value, dict)
    if value.get("made_by") == MADE_BY if is_mapping else has_versions():
        return DamagedRecordError(f"{where} is damaged")
    return NotOursError(
        f"{where} is there, but it is not Headrace's; choose another table, prefix or folder "
        "for the target, or remove it if nobody needs it"
    )


def or_none(read: Callable[..., State | None], *given: Any) -> State | None:
    """Return the record that a function returns for what is given; None also if it is damaged."""
    try:
        return read(*given)
    except DamagedRecordError:
        return None


def mended_state(place: Place, delivery: Delivery) -> State | None:
    """Return the record of a target; None if it is damaged, as the delivery writes it again.

    Raises:
        NotOursError: When what has its name is not ours.
        VersionError: When a version of a later number is there, although the record is lost.
    """
    try:
        return place.state()
    except DamagedRecordError as error:
        latest = max((number_of(label) for label in place.labels()), default=0)
        if latest > delivery.number:
            raise VersionError(
                f"{error}, and a version there has number {latest}, which is later than number "
                f"{delivery.number} ({delivery.id}); deliver from the workspace that published "
                "last, or remove all versions in the target, and its record"
            ) from error
        log.warning("%s; all lists are delivered again, with a new record", error)
        return None


def require_allowed(state: State | None, delivery: Delivery, where: str) -> None:
    """Refuse a delivery of another run, or one that comes too late.

    Raises:
        ConfigError: When another run delivers here.
        VersionError: When a later number was delivered.
    """
    if state is None:
        return
    require_own(state, delivery.run, where)
    if delivery.others.get(state.place) == state.target:
        raise ConfigError(
            f"{where} has the lists of deliver.{state.target}: both addresses mean the same place, "
            "although they are written differently; take one of them out of deliver, or give it "
            "another table, prefix or folder"
        )
    if state.number > delivery.number:
        raise VersionError(
            f"{where} has number {state.number} ({state.current.id}), which was delivered later "
            f"than number {delivery.number} ({delivery.id}), so this one is refused; deliver from "
            "the workspace that published last. If you deleted that workspace and this one "
            "replaces it, remove all versions in the target, and its record"
        )


def require_own(state: State | None, run: str, where: str) -> None:
    """Refuse a target of another run.

    Args:
        state: Its record.
        run: Name of the run that asks.
        where: What messages call the target.

    Raises:
        NotOursError: When another run delivers there.
    """
    if state is not None and state.run != run:
        raise NotOursError(
            f"{where} has the lists of the run {state.run!r}, not of {run!r}; choose "
            "another table, prefix or folder: each run needs its own"
        )


def is_up_to_date(state: State, delivery: Delivery) -> bool:
    """Return whether a record has the names of a delivery, and no version with erased users."""
    names = (state.target, state.place) == (delivery.target, delivery.place)
    return names and all(one.erased == delivery.erased for one in state.versions())


def changed(
    state: State | None,
    delivery: Delivery,
    version: Version,
    *,
    keep: int,
    replaces: str | None,
    where: str,
) -> State:
    """Return the record after a switch; the same record if another publisher was faster.

    An earlier version stays only if it is without all users that are erased now. That the content
    of `version` equals that of the workspace's lists shows the same for this one.

    Args:
        state: The record now.
        delivery: What is delivered.
        version: Its version, which is there.
        keep: Earlier versions that stay.
        replaces: Label of a current version of this content that is no longer whole.
        where: What messages call the target.

    Raises:
        HeadraceError: See `require_allowed`.
    """
    require_allowed(state, delivery, where)
    earlier: list[Version] = []
    if state is not None:
        own = state.current
        is_same = state.number == delivery.number and own.content == delivery.content
        if is_same and own.version not in (version.version, replaces):
            return state
        earlier = [
            one
            for one in (own, *state.held)
            if one.content != delivery.content
            and one.version != version.version
            and one.erased == delivery.erased
        ]
    return State(
        run=delivery.run,
        target=delivery.target,
        place=delivery.place,
        number=delivery.number,
        delivered_at=datetime.now(UTC).isoformat(timespec="seconds"),
        current=version.model_copy(update={"erased": delivery.erased}),
        held=tuple(earlier[:keep]),
    )
