"""What a target holds, and what may replace it: versions, their numbers, and the fence.

A target keeps one small record of its state. A version is staged under a label of its own first,
which no reader knows; the record is replaced in one step then. What the record does not name is
left from a delivery that was cut off, or of a version that is no longer kept.
"""

import re
import secrets
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Final, Literal, Protocol

from pydantic import BaseModel, ConfigDict, ValidationError

from conf.errors import ConfigError, VersionError
from serving.delivery.reading import Delivery

MADE_BY: Final = "headrace"
_LABEL = re.compile(r"(\d{6,12})_[0-9a-f]{8}")


class Counts(BaseModel):
    """How much of one kind a version has."""

    model_config = ConfigDict(frozen=True)

    rows: int
    lists: int


class Version(BaseModel):
    """A delivered version."""

    model_config = ConfigDict(frozen=True)

    version: str
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


class State(BaseModel):
    """The record of a target."""

    model_config = ConfigDict(frozen=True)

    made_by: Literal["headrace"] = MADE_BY
    run: str
    """Name of the run that delivers here."""
    number: int
    """Number of the publication that was delivered last; one with a smaller number is refused."""
    delivered_at: str
    """Time in UTC."""
    current: Version
    held: tuple[Version, ...] = ()
    """Earlier versions that are still there, newest first."""

    def named(self) -> set[str]:
        """Return the labels of all versions."""
        return {one.version for one in (self.current, *self.held)}


Change = Callable[[State | None], State]


class Place(Protocol):
    """Where a target stores versions; errors of its client are those of `conf.errors`."""

    def state(self) -> State | None:
        """Return the record; None: nothing was delivered here yet.

        Raises:
            ConfigError: When what has its name is not ours.
        """

    def stage(self, label: str, delivery: Delivery) -> dict[str, Counts]:
        """Write a version that no reader sees; return what was written."""

    def counts(self, label: str, delivery: Delivery) -> dict[str, Counts]:
        """Return what is there of a staged version, as it is read back."""

    def holds(self, version: Version, delivery: Delivery, *, is_current: bool) -> bool:
        """Return whether a version is there; one that is not current is looked at row by row."""

    def switch(self, change: Change) -> State:
        """Replace the record in one step, with a lock or a condition; return the new one.

        Args:
            change: Takes the record as it is at that moment and returns the new one. If it returns
                the same, nothing is changed. Its errors refuse the switch.
        """

    def labels(self) -> Iterable[str]:
        """Return the labels of all versions that are there, wholly or in part."""

    def drop(self, label: str) -> None:
        """Remove a version that the record does not name."""

    def close(self) -> None:
        """Close connections."""


def new_label(number: int) -> str:
    """Return a label that no other delivery has."""
    return f"{number:06d}_{secrets.token_hex(4)}"


def is_label(text: str) -> bool:
    """Return whether a name is that of a version."""
    return _LABEL.fullmatch(text) is not None


def leftovers(labels: Iterable[str], state: State | None) -> list[str]:
    """Return the labels that may be removed: not named by the record, and not of a later number.

    One of a later number may be another delivery's, which is still writing.
    """
    if state is None:
        return []
    return [
        label
        for label in labels
        if label not in state.named() and int(label.partition("_")[0]) <= state.number
    ]


def parsed_state(record: Any, where: str) -> State | None:
    """Return a record as it was stored; None stays None.

    Args:
        record: A mapping, or its JSON as text.
        where: What messages call its place.

    Raises:
        ConfigError: When it is not ours.
    """
    if record is None:
        return None
    try:
        if isinstance(record, str | bytes):
            return State.model_validate_json(record)
        return State.model_validate(record)
    except ValidationError as error:
        raise ConfigError(
            f"{where} is there, but it is not Headrace's; choose another table, prefix or folder "
            "for the target, or remove it if nobody needs it"
        ) from error


def require_allowed(state: State | None, delivery: Delivery, where: str) -> None:
    """Refuse a delivery of another run, or one that comes too late.

    Raises:
        ConfigError: When another run delivers here.
        VersionError: When a later number was delivered.
    """
    if state is None:
        return
    if state.run != delivery.run:
        raise ConfigError(
            f"{where} has the lists of the run {state.run!r}, not of {delivery.run!r}; choose "
            "another table, prefix or folder: each run needs its own"
        )
    if state.number > delivery.number:
        raise VersionError(
            f"{where} has number {state.number} ({state.current.id}), which was delivered later "
            f"than number {delivery.number} ({delivery.id}), so this one is refused; deliver from "
            "the workspace that published last. If you deleted that workspace and this one "
            "replaces it, remove all versions in the target, and its record"
        )


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
            if one.content != delivery.content and one.version != version.version
        ]
    return State(
        run=delivery.run,
        number=delivery.number,
        delivered_at=datetime.now(UTC).isoformat(timespec="seconds"),
        current=version,
        held=tuple(earlier[:keep]),
    )
