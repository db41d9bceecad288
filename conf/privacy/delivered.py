"""Places outside of the workspace that got its lists, so that no erasure overlooks one in silence.

The file only serves warnings. An entry may be removed from it by hand once its place holds nothing.
"""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from conf.errors import VersionError
from conf.workspace.json_files import is_there, read_json, write_json

log = logging.getLogger(__name__)

NAME = "DELIVERED.json"  # next to the pointer of the lists


class Delivered(BaseModel):
    """What was delivered last to a place."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    target: str
    """Name of the target."""
    number: int
    """Number of the publication."""
    at: str
    """When, in UTC, to the second."""


class _Noted(BaseModel):
    """Contents of the file."""

    model_config = ConfigDict(extra="forbid")

    places: dict[str, Delivered] = {}
    """By `conf.settings.publishing.places.place_key`."""


def read_delivered(workspace: Path) -> dict[str, Delivered]:
    """Return what was delivered, by place; a damaged file is logged and counts as empty."""
    path = workspace / "lists" / NAME
    if not is_there(path):
        return {}
    try:
        return _Noted.model_validate(read_json(path)).places
    except (VersionError, ValidationError) as error:
        text = str(error).partition(";")[0].removeprefix(f"{path} is damaged: ")
        why = " ".join(text.split())[:200]
        log.warning(
            "%s is damaged (%s), so earlier places of targets are not known, and erasures cannot "
            "warn about them; restore it, or check by hand where lists were delivered before",
            path,
            why,
        )
        return {}


def note_delivered(workspace: Path, place: str, target: str, number: int) -> None:
    """Note a delivery; nothing is written if the same one is noted.

    Args:
        workspace: Folder of the workspace, whose lock is held.
        place: Key of the place.
        target: Name of the target.
        number: Number of the publication.
    """
    found = read_delivered(workspace)
    before = found.get(place)
    if before is not None and (before.target, before.number) == (target, number):
        return
    at = datetime.now(UTC).isoformat(timespec="seconds")
    found[place] = Delivered(target=target, number=number, at=at)
    content = _Noted(places=found).model_dump(mode="json")
    write_json(workspace / "lists" / NAME, content, sealed=False)


def places_left(workspace: Path, places: Mapping[str, str]) -> dict[str, str]:
    """Return the targets that got lists at a place where no target is now, by place.

    Args:
        workspace: Folder of the workspace.
        places: Names of the configured targets, by place.
    """
    noted = read_delivered(workspace)
    return {place: one.target for place, one in noted.items() if place not in places}
