"""Give the places of lists to candidates, best first, under caps; for all users of a batch at once.

Each place takes the best candidate that is left and that breaks no cap there. Pinned items are
placed before all others and count for the caps of their neighbours.

Legend of shapes: B users of a batch, C candidates, K places, F caps.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from serving.rules.placing import CapRule


class Chooser(Protocol):
    """Chooses among the candidates that fit a place; without one, the first of them is taken."""

    def best(self, fits: np.ndarray) -> np.ndarray:
        """Return the column of the best candidate of each user: [B], any where none fits.

        Args:
            fits: [B, C] bool
        """

    def put(self, items: np.ndarray) -> None:
        """Take the items that have the place: [B], -1 for none."""


class Places(NamedTuple):
    """The places of the lists."""

    item: np.ndarray
    """[B, K] int64, -1 for an empty place."""
    column: np.ndarray
    """[B, K] int64, the candidate that has the place; -1 for a pinned item and an empty place."""
    is_stuck: np.ndarray
    """[B] bool, no candidate was left for a place."""


class Quota(NamedTuple):
    """Places of each list that some items have."""

    is_in: np.ndarray
    """[V] bool, the items."""
    places: np.ndarray
    """[B] int64"""


def fill(
    candidates: np.ndarray,
    pinned: np.ndarray,
    caps: Sequence[CapRule],
    quotas: Sequence[Quota] = (),
    *,
    is_strict: bool = True,
    chooser: Chooser | None = None,
    ends: np.ndarray | None = None,
) -> Places:
    """Return the places of each list, from the first on, up to one that no candidate fits.

    Args:
        candidates: [B, C] items, best first; -1 for none.
        pinned: [B, K] items that have a place; -1 for none. They break no cap together.
        caps: F caps.
        quotas: Places that are kept for some items: the last ones, if no earlier ones have them.
        is_strict: Whether a kept place that none of these items fits stays empty.
        chooser: Chooses among those that fit; it knows the pinned items. None: the first is taken.
        ends: [B] items that each list will have, so that the kept places are its last ones; None:
            a list has K.
    """
    users, places = pinned.shape
    ends = np.full(users, places) if ends is None else ends
    found = Places(pinned.copy(), np.full((users, places), -1), np.zeros(users, dtype=bool))
    if not candidates.shape[1]:
        candidates = np.full((users, 1), -1)
    left = candidates >= 0  # [B, C]
    for place in range(places):
        left &= candidates != pinned[:, place, None]
    codes = [cap.codes[candidates] for cap in caps]  # F of [B, C]
    is_pinned = bool((pinned >= 0).any())
    every = np.arange(users)
    for place in range(places):
        fits = left & ~found.is_stuck[:, None] & (pinned[:, place, None] < 0)
        for cap, code in zip(caps, codes, strict=True):
            fits &= ~breaks(cap, found.item, code, place, looks_ahead=is_pinned)
        num_left = ends - (found.item >= 0).sum(1)
        fits = _within_quotas(fits, candidates, found.item, quotas, num_left, is_strict=is_strict)
        column, has = fits.argmax(1) if chooser is None else chooser.best(fits), fits.any(1)
        rows = every[has]
        found.item[rows, place] = candidates[rows, column[has]]
        found.column[rows, place] = column[has]
        left[rows] &= candidates[rows] != found.item[rows, place, None]
        if chooser is not None:
            chooser.put(np.where(has, found.item[:, place], -1))
        found.is_stuck[~has & (pinned[:, place] < 0)] = True
    return found


def _within_quotas(
    fits: np.ndarray,
    candidates: np.ndarray,
    items: np.ndarray,
    quotas: Sequence[Quota],
    num_left: np.ndarray,
    *,
    is_strict: bool,
) -> np.ndarray:
    """Return which candidates fit if places have to be kept for some items: [B, C] bool.

    Args:
        fits: [B, C] bool, which fit otherwise.
        candidates: [B, C]
        items: [B, K] the lists so far, -1 for empty places.
        quotas: The quotas.
        num_left: [B] items that each list will still get.
        is_strict: See `fill`.
    """
    if not quotas:
        return fits
    missing = [lacking(quota, items) for quota in quotas]
    is_last: np.ndarray = np.add.reduce(missing) >= num_left  # [B]
    wanted = np.zeros(fits.shape, dtype=bool)
    for quota, lacks in zip(quotas, missing, strict=True):
        wanted |= (lacks > 0)[:, None] & (candidates >= 0) & quota.is_in[candidates]
    kept = np.logical_and(fits, wanted | np.logical_not(is_last)[:, None])
    if is_strict:
        return np.asarray(kept)
    found: np.ndarray = np.where(kept.any(1)[:, None], kept, fits)
    return found


def lacking(quota: Quota, items: np.ndarray) -> np.ndarray:
    """Return how many places of a quota each list still lacks: [B, K] to [B] int64."""
    found: np.ndarray = (quota.places - ((items >= 0) & quota.is_in[items]).sum(1)).clip(0)
    return found


def breaks(
    cap: CapRule, items: np.ndarray, codes: np.ndarray, place: int, *, looks_ahead: bool
) -> np.ndarray:
    """Return which values must not be at a place: [B, C] bool.

    Args:
        cap: The cap.
        items: [B, K] items of the lists so far, -1 for empty places.
        codes: [B, C] values of the items that might be there.
        place: The place, from 0.
        looks_ahead: Whether later places may have items.
    """
    taken = np.where(items >= 0, cap.codes[items], -1)  # [B, K]
    taken[:, place] = -1
    length = items.shape[1]
    width = length if cap.within is None else min(cap.within, length)
    first, last = max(place - width + 1, 0), min(place, length - width)
    starts = range(first, last + 1) if looks_ahead else (first,)
    broken = np.zeros(codes.shape, dtype=bool)
    for start in starts:
        stop = min(start + width, length) if looks_ahead else place
        same = np.zeros(codes.shape, dtype=np.int64)
        for other in range(start, stop):
            same += taken[:, other, None] == codes
        broken |= same >= cap.most
    return broken & (codes >= 0)


def pinned_places(
    wanted: Sequence[tuple[int, np.ndarray]], users: int, places: int, caps: Sequence[CapRule]
) -> np.ndarray:
    """Return the pinned items: [B, K] int64, -1 for none.

    A pin whose place is taken, whose item is pinned already, or that breaks a cap with the pins
    before it, is left out.

    Args:
        wanted: Place from 0 and [B] item or -1, in the order in which pins are placed.
        users: B
        places: K
        caps: F caps.
    """
    found = np.full((users, places), -1, dtype=np.int64)
    for place, item in wanted:
        fits = (item >= 0) & (found[:, place] < 0) & ~(found == item[:, None]).any(1)
        for cap in caps:
            code = np.where(item >= 0, cap.codes[item], -1)
            fits &= ~breaks(cap, found, code[:, None], place, looks_ahead=True)[:, 0]
        found[fits, place] = item[fits]
    return found


def without_gaps(items: np.ndarray, caps: Sequence[CapRule]) -> np.ndarray:
    """Return lists whose pinned items after a gap follow the others directly: [B, K].

    One that breaks a cap there is left out.

    Args:
        items: [B, K], -1 for empty places.
        caps: F caps.
    """
    found = items.copy()
    is_gap = (items[:, :-1] < 0) & (items[:, 1:] >= 0)
    for row in np.flatnonzero(is_gap.any(1)):
        length = int((items[row] < 0).argmax())
        late = [item for item in items[row, length:] if item >= 0]
        found[row, length:] = -1
        for item in late:
            one = found[row][None]
            broken = (breaks(cap, one, cap.codes[item].reshape(1, 1), length, looks_ahead=False)
                      for cap in caps)  # fmt: skip
            if not any(bool(is_broken) for is_broken in broken):
                found[row, length] = item
                length += 1
    return found
