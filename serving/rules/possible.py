"""Which items a list may contain, and why a list is a fallback, short, or missing.

Nothing here uses the code that ranks: the gates count with it what each user could have got.

Legend of shapes: N users of a part, V catalogue of the dataset, S seen (user, item) pairs,
E events of a part.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from conf.contract import NUM_RESERVED

NO_HISTORY = "no_history"
HISTORY_UNKNOWN = "history_unknown_to_model"
NOT_FINITE = "scores_not_finite"
FALLBACK_REASONS = (None, NO_HISTORY, HISTORY_UNKNOWN, NOT_FINITE)
"""By code; 0 for a list of the model."""

CATALOGUE_SMALL = "catalogue_small"
CATALOGUE_EXHAUSTED = "catalogue_exhausted"
FEW_KNOWN_ITEMS = "few_known_items"
UNEXPLAINED = "unexplained"
FEW_CANDIDATES = "few_candidates"
BY_RULES = "rules"
SHORT_REASONS = (
    None, CATALOGUE_SMALL, CATALOGUE_EXHAUSTED, FEW_KNOWN_ITEMS, UNEXPLAINED, FEW_CANDIDATES,
    BY_RULES,
)  # fmt: skip
"""By code; 0 for a full list."""

MEANINGS = {
    NO_HISTORY: "the user has no events, so the list has the most popular items",
    HISTORY_UNKNOWN: "the model knows no item of the history, so the list has the most popular "
    "items; it will after the next training",
    NOT_FINITE: "the model's scores for this user are not finite, so the list has the most "
    "popular items",
    CATALOGUE_SMALL: "the catalogue has fewer items than score.list_length",
    CATALOGUE_EXHAUSTED: "the user has seen nearly all items of the catalogue, or all of them",
    FEW_KNOWN_ITEMS: "too few of the items that the user has not seen have training events or "
    "are known to the model",
    FEW_CANDIDATES: "the channels of score.candidates named too few items for this user; raise "
    "their counts, or add a channel such as popularity",
    BY_RULES: "the rules of these lists leave too few items for this user",
    UNEXPLAINED: "there were more items for this user: this is a fault of the scorer",
}
"""Of each reason, for people."""


class Pools(NamedTuple):
    """Which items lists may contain, before the user's seen items are left out."""

    model: np.ndarray
    """[V] bool, items that the model can recommend."""
    fallback: np.ndarray
    """[V] bool, items with a training event."""
    serves_everybody: bool = False
    """Whether users without an event that is known get lists of the model too."""


class Possible(NamedTuple):
    """How many items each user's list could have."""

    unseen: np.ndarray
    """[N] int64, items of the whole catalogue that the user may get."""
    model: np.ndarray
    """[N] int64, of these the ones that the model can recommend."""
    fallback: np.ndarray
    """[N] int64, of these the ones with a training event."""


def recommendable(catalogue: int, num_items: int, unknown: np.ndarray | None) -> np.ndarray:
    """Return which items a model can recommend: [V] bool.

    Args:
        catalogue: V
        num_items: Size of the model's own catalogue; items with higher numbers are newer.
        unknown: [num_items] bool, see `trainer.models.scorer.Scorer`.
    """
    found = np.zeros(catalogue, dtype=bool)
    found[NUM_RESERVED:num_items] = True
    if unknown is not None:
        found[: len(unknown)] &= ~unknown
    return found


def events_of(histories: pa.ListArray) -> tuple[np.ndarray, np.ndarray]:
    """Return the row and the item of each event in lists of items: [E] int64 each."""
    rows = pc.list_parent_indices(histories).to_numpy().astype(np.int64)
    return rows, histories.flatten().to_numpy().astype(np.int64)


def seen_pairs(rows: np.ndarray, items: np.ndarray, catalogue: int) -> np.ndarray:
    """Return each user's seen items once, as row * catalogue + item: [S] int64.

    Args:
        rows: [E] row of the user of each event.
        items: [E]; reserved numbers are left out.
        catalogue: V
    """
    known = items >= NUM_RESERVED
    return np.unique(rows[known].astype(np.int64) * catalogue + items[known])


def count_possible(
    seen: np.ndarray, users: int, pools: Pools, whole: np.ndarray | None = None
) -> Possible:
    """Return how many items each user's list could have.

    Args:
        seen: [S] pairs of `seen_pairs` that lists must not contain.
        users: N
        pools: Items that lists may contain.
        whole: [V] bool, all of the catalogue that counts; None: all but the reserved numbers.
    """
    rows, items = np.divmod(seen, len(pools.model))

    def left(pool: np.ndarray) -> np.ndarray:
        return int(pool.sum()) - np.bincount(rows[pool[items]], minlength=users)

    if whole is None:
        whole = np.arange(len(pools.model)) >= NUM_RESERVED
    return Possible(left(whole), left(pools.model), left(pools.fallback))


def why_fallback(rows: np.ndarray, items: np.ndarray, users: int, known: np.ndarray) -> np.ndarray:
    """Return why each user cannot get a list of the model, as codes: [N] int8.

    Args:
        rows: [E] row of the user of each event.
        items: [E]
        users: N
        known: [V] bool, items that the model knows.
    """
    events = np.bincount(rows, minlength=users)
    known_events = np.bincount(rows[known[items]], minlength=users)
    codes = np.zeros(users, dtype=np.int8)
    codes[known_events == 0] = FALLBACK_REASONS.index(HISTORY_UNKNOWN)
    codes[events == 0] = FALLBACK_REASONS.index(NO_HISTORY)
    return codes


def why_unserved(rows: np.ndarray, items: np.ndarray, users: int, pools: Pools) -> np.ndarray:
    """Return the same for pools that may serve users without a known event too: [N] int8."""
    if pools.serves_everybody:
        return np.zeros(users, dtype=np.int8)
    return why_fallback(rows, items, users, pools.model)


def why_short(
    lengths: np.ndarray,
    is_fallback: np.ndarray,
    possible: Possible,
    *,
    items: int,
    list_length: int,
    has_candidates: bool = False,
    most: np.ndarray | None = None,
) -> np.ndarray:
    """Return why each user's list is short or missing, as codes: [N] int8.

    Args:
        lengths: [N] items of each list.
        is_fallback: [N] bool, whether the list is not the model's.
        possible: Items that the lists could have without rules.
        items: Size of the catalogue without reserved numbers.
        list_length: Items that each list should have.
        has_candidates: Whether the model's lists are made of candidates.
        most: [N] items that each list could have under the rules; None: there are no rules.
    """
    ours = np.where(is_fallback, possible.fallback, possible.model)
    has_few = ours < np.minimum(possible.unseen, list_length)
    reasons = (
        (lengths >= list_length, None),
        (lengths < (ours if most is None else most), UNEXPLAINED),
        (lengths < np.minimum(ours, list_length), BY_RULES),
        (has_few & has_candidates & ~is_fallback, FEW_CANDIDATES),
        (has_few, FEW_KNOWN_ITEMS),
        ((items < list_length) & (possible.unseen > 0), CATALOGUE_SMALL),
    )
    codes = [SHORT_REASONS.index(reason) for _, reason in reasons]
    rest = SHORT_REASONS.index(CATALOGUE_EXHAUSTED)
    found: np.ndarray = np.select([case for case, _ in reasons], codes, rest).astype(np.int8)
    return found
