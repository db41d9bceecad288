"""Places outside of the workspace that got its lists, so that no erasure overlooks one in silence.

Erasures use the file to decide whether a place that is no target now may still hold users. A place
is in it before anything is written there. A lost file counts as empty.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from conf.workspace.json_files import is_there, read_record, write_json

NAME = "DELIVERED.json"  # next to the pointer of the lists


class Delivered(BaseModel):
    """What was delivered last to a place."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    target: str
    """Name of the target."""
    number: int | None
    """Number of the publication; None: a delivery began, and none has ended yet."""
    at: str
    """When, in UTC, to the second."""


class _Noted(BaseModel):
    """Contents of the file."""

    model_config = ConfigDict(extra="forbid")

    places: dict[str, Delivered] = {}
    """By `conf.settings.publishing.places.place_key`."""


def read_delivered(workspace: Path) -> dict[str, Delivered]:
    """Return what was delivered, by place.

    Raises:
        VersionError: When the file is damaged.
    """
    path = workspace / "lists" / NAME
    return read_record(path, _Noted).places if is_there(path) else {}


def note_delivered(
    workspace: Path, noted: Mapping[str, Delivered], place: str, target: str, number: int | None
) -> dict[str, Delivered]:
    """Note a delivery; return what is noted then. Nothing is written if it is noted already.

    Args:
        workspace: Folder of the workspace, whose lock is held.
        noted: What was noted before, by place.
        place: Key of the place.
        target: Name of the target.
        number: Number of the publication; None: the delivery begins, and what is noted of an
            earlier one stays.
    """
    before = noted.get(place)
    if before is not None and (
        number is None or (before.target, before.number) == (target, number)
    ):
        return {**noted}
    at = datetime.now(UTC).isoformat(timespec="seconds")
    return _written(workspace, {**noted, place: Delivered(target=target, number=number, at=at)})


def forget_delivered(workspace: Path, places: Iterable[str]) -> None:
    """Remove places that are gone for good."""
    noted, gone = read_delivered(workspace), set(places)
    if not gone.isdisjoint(noted):
        _written(workspace, {place: one for place, one in noted.items() if place not in gone})


def places_left(noted: Mapping[str, Delivered], places: Mapping[str, str]) -> dict[str, str]:
    """Return the targets that got lists at a place where no target is now, by place.

    Args:
        noted: What was delivered, by place.
        places: Names of the configured targets, by place.
    """
    return {place: one.target for place, one in noted.items() if place not in places}


def _written(workspace: Path, noted: dict[str, Delivered]) -> dict[str, Delivered]:
    content = _Noted(places=noted).model_dump(mode="json")
    write_json(workspace / "lists" / NAME, content, sealed=False)
    return noted
