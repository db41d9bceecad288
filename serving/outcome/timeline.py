"""Which version of the lists each user was to see at each instant.

Legend of shapes: E instants, U users, S stretches.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from conf.workspace.instants import microseconds
from conf.workspace.publications import Publication, in_canary

NO_VERSION = -1


class Stretch(NamedTuple):
    """A time in which nothing was published; it ends where the next one begins."""

    start: int
    """Microseconds since 1970 UTC."""
    base: str | None
    """Version of the users outside the canary, or of all; None: there was none before it."""
    canary: str | None
    """Version of the users in the canary; None: there is none."""
    share: float
    """Share of the users in the canary."""


def stretches_of(history: Sequence[Publication]) -> list[Stretch]:
    """Return the stretches between publications, the oldest first.

    Args:
        history: Of `conf.workspace.publications.publications`, the newest first.
    """
    found: list[Stretch] = []
    base: str | None = None
    for one in reversed(history):
        start = microseconds(one.at)
        if one.share >= 1:
            base, stretch = one.id, Stretch(start, one.id, None, 0.0)
        else:
            stretch = Stretch(start, base, one.id, one.share)
        while found and found[-1].start >= start:
            found.pop()  # it was replaced within its second, or the clock was wrong
        found.append(stretch)
    return found


class Timeline:
    """Who saw what, for the users of a log."""

    def __init__(self, stretches: Sequence[Stretch], user_ids: pa.Array, salt: str) -> None:
        """Find the users of each canary.

        Args:
            stretches: [S] the oldest first.
            user_ids: [U] as in the lists.
            salt: The run's name.
        """
        self.stretches = stretches
        self.starts = np.array([one.start for one in stretches], dtype=np.int64)
        named = [name for one in stretches for name in (one.base, one.canary) if name is not None]
        self.versions = list(dict.fromkeys(named))
        """Ids of the versions, by number."""
        shares = {one.share for one in stretches if one.canary is not None}
        self._members = {share: in_canary(user_ids, share, salt) for share in shares}

    def members(self, stretch: int) -> np.ndarray:
        """Return which users see the canary of a stretch: [U] bool."""
        return self._members[self.stretches[stretch].share]

    def stretch_at(self, times: np.ndarray) -> np.ndarray:
        """Return the stretch of each instant, -1 before the first: [E] -> [E] int64."""
        found: np.ndarray = np.searchsorted(self.starts, times, side="right") - 1
        return found

    def version_at(self, stretch: np.ndarray, users: np.ndarray) -> np.ndarray:
        """Return the number of the version that each user was to see: [E] int64.

        Args:
            stretch: [E] of `stretch_at`.
            users: [E] numbers of users.
        """
        found = np.full(len(stretch), NO_VERSION, dtype=np.int64)
        for number, one in enumerate(self.stretches):
            here = stretch == number
            if one.base is not None:
                found[here] = self.versions.index(one.base)
            if one.canary is not None:
                here[here] = self.members(number)[users[here]]
                found[here] = self.versions.index(one.canary)
        return found

    def current_in(self, start: int, end: int) -> set[int]:
        """Return the numbers of the versions that somebody was to see from `start` to `end`."""
        found = set[str]()
        for number, one in enumerate(self.stretches):
            ends = self.starts[number + 1] if number + 1 < len(self.starts) else end
            if one.start < end and ends > start:
                found |= {name for name in (one.base, one.canary) if name is not None}
        return {self.versions.index(name) for name in found}

    def canary_share(self, version: int, stretches: np.ndarray) -> float | None:
        """Return the largest share of users that saw a version as a canary.

        Args:
            version: Number of the version.
            stretches: Numbers of the stretches in which it was seen.

        Returns:
            None if in one of them, or in none, it was the version of all or of the other users.
        """
        name = self.versions[version]
        seen: list[Stretch] = [self.stretches[one] for one in stretches.tolist()]
        if not seen or any(one.canary != name for one in seen):
            return None
        return max(one.share for one in seen)

    def first_shown(self, version: int) -> int:
        """Return when a version was published first, in microseconds."""
        name = self.versions[version]
        return min(one.start for one in self.stretches if name in (one.base, one.canary))
