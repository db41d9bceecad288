"""When which version was current: the history that a pointer keeps, and who sees a canary.

A canary is a version that a stable share of the users sees before the others do.
"""

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

PUBLISHED = "published"
"""Key of a pointer: what was published, newest first."""
CANARY = "canary"
"""Key of a pointer: the version that a share of the users sees; missing if there is none."""
MOST_KEPT = 1_000
_HASHED_BITS = 32


class Publication(NamedTuple):
    """A version that began to be seen by readers."""

    id: str
    number: int
    """Number of the writer."""
    at: datetime
    """When, in UTC, to the second."""
    share: float
    """Share of the users that saw it from then on: 1, or that of a canary."""


class Canary(NamedTuple):
    """A version that a share of the users sees, while all others see the current one."""

    id: str
    share: float
    """Of the users, above 0 and below 1; see `in_canary`."""
    number: int
    """Number of the writer."""
    at: str
    """Since when, in UTC, to the second."""
    logical_date: str


class ShownLists(NamedTuple):
    """Lists that users have seen."""

    id: str
    share: float = 1.0
    """Share of the users that have seen them: 1, or that of a canary."""
    salt: str = ""
    """Of the canary, see `in_canary`."""


def canary_of(pointer: dict[str, Any] | None) -> Canary | None:
    """Return the canary of a pointer that `is_canary` accepts; None: there is none."""
    found = (pointer or {}).get(CANARY)
    return None if found is None else Canary(**found)


def is_name(value: object) -> bool:
    """Return whether a value that was read is the name of a folder, not a path."""
    is_text = isinstance(value, str) and value.isprintable()
    return is_text and value not in ("", ".", "..") and Path(str(value)).name == value


def is_canary(value: object) -> bool:
    """Return whether a value of a pointer is a canary, or None."""
    if value is None:
        return True
    if not isinstance(value, dict) or {*value} != {*Canary._fields}:
        return False
    is_named = is_name(value["id"]) and is_name(value["logical_date"])
    is_share = isinstance(value["share"], float) and 0 < value["share"] < 1
    return is_named and is_share and type(value["number"]) is int and _is_instant(value["at"])


def with_canary(
    pointer: dict[str, Any], version: str, logical_date: str, number: int, share: float
) -> dict[str, Any]:
    """Return a pointer whose canary is a version from now on; the current version stays.

    A pointer of an earlier release has no history. It gets one in which the current version is
    published now, so that it is known what the users outside the canary see.
    """
    if not pointer.get(PUBLISHED):
        pointer = with_publication(pointer, pointer["id"], pointer["number"])
    changed = with_publication({**pointer, "number": number}, version, number, share)
    at = changed[PUBLISHED][0]["at"]
    return {**changed, CANARY: Canary(version, share, number, at, logical_date)._asdict()}


def without_canary(pointer: dict[str, Any]) -> dict[str, Any]:
    """Return a pointer whose current version all users see."""
    return {key: value for key, value in pointer.items() if key != CANARY}


def with_publication(
    pointer: dict[str, Any], version: str, number: int, share: float = 1.0
) -> dict[str, Any]:
    """Return a pointer whose history begins with a version that is published now."""
    at = datetime.now(UTC).isoformat(timespec="seconds")
    entry = {"id": version, "number": number, "at": at, "share": share}
    return {**pointer, PUBLISHED: [entry, *pointer.get(PUBLISHED, [])][:MOST_KEPT]}


def publications(pointer: dict[str, Any] | None) -> list[Publication]:
    """Return what a pointer's history says, newest first; none for pointers of earlier releases."""
    return [
        Publication(one["id"], one["number"], datetime.fromisoformat(one["at"]), one["share"])
        for one in (pointer or {}).get(PUBLISHED, [])
    ]


def is_history(value: object) -> bool:
    """Return whether a value that was read can be the history of a pointer."""
    return isinstance(value, list) and all(map(_is_entry, value))


def _is_entry(value: object) -> bool:
    if not isinstance(value, dict) or set(value) != set(Publication._fields):
        return False
    is_share = type(value["share"]) in (int, float) and 0 < value["share"] <= 1
    is_right = is_name(value["id"]) and type(value["number"]) is int
    return is_right and is_share and _is_instant(value["at"])


def _is_instant(value: object) -> bool:
    """Return whether a value that was read is an instant with its time zone."""
    try:
        at = datetime.fromisoformat(str(value))
        at.astimezone(UTC)  # it has to be in the calendar there too
    except (ValueError, OverflowError):
        return False
    return isinstance(value, str) and at.tzinfo is not None


def all_shown(pointer: dict[str, Any], salt: str) -> list[ShownLists]:
    """Return all lists that users have seen and that were not rolled back, newest first.

    Args:
        pointer: That of the lists.
        salt: The run's name.
    """
    found = [ShownLists(version) for version in (pointer["id"], *pointer["previous"])]
    history = publications(pointer)
    ids = [one.id for one in history]
    for one in dict.fromkeys(one.id for one in history if one.share < 1):
        if one in pointer["withdrawn"] or any(one == other.id for other in found):
            continue
        later = {*ids[: ids.index(one)]}
        share = max(entry.share for entry in history if entry.id == one)
        place = sum(other.id in later for other in found)
        found.insert(place, ShownLists(one, share, salt))
    return found


def in_canary(user_ids: pa.Array, share: float, salt: str) -> np.ndarray:
    """Return which users see a canary: [N] bool.

    A user is in it if the first 32 bits of SHA-256 of `salt/user_id` are below the share of all
    such numbers. So the same users are in the canaries of one salt, and those of a smaller share
    are among those of a larger one.

    Args:
        user_ids: [N] strings.
        share: Between 0 and 1.
        salt: The run's name.
    """
    limit = int(share * 2**_HASHED_BITS)
    prefix = f"{salt}/".encode()
    firsts = (
        int.from_bytes(hashlib.sha256(prefix + user.encode()).digest()[: _HASHED_BITS // 8], "big")
        for user in user_ids.to_pylist()
    )
    return np.fromiter((first < limit for first in firsts), dtype=bool, count=len(user_ids))
