"""Candidates, then ranking: channels name items, a ranker or their ranks order them.

Legend of shapes: N users of a part, B users of a batch, M pairs of a user and a candidate, K list
length.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch

from serving.ranking.channels import Channel, PartChannel
from serving.ranking.fusion import Candidates, best_of, union
from serving.ranking.rankers import RankedLists
from serving.ranking.topk import TopK
from serving.rules.allowed import Rules, Unadjusted, places_in
from trainer.data.columns import Ragged

PAIRS_AT_ONCE = 1 << 17
"""Pairs of users and candidates that are ordered together; fewer users are taken if need be."""


class PartValues(Protocol):
    """Gives the value of pairs of a user of a part and an item."""

    def values(self, rows: np.ndarray, item_idx: np.ndarray) -> np.ndarray:
        """Return the value of each pair, higher is better: [M], [M] -> [M] float64."""

    def knows(self, item_idx: np.ndarray) -> np.ndarray:
        """Return which items it was trained with: [M] -> [M] bool."""


class Values(Protocol):
    """A ranker of pairs."""

    def for_part(self, histories: Ragged, users: np.ndarray) -> PartValues:
        """Return it for the users of a part: [N] histories, and their numbers."""


class TwoStage:
    """Channels and what orders their candidates."""

    def __init__(self, channels: Sequence[Channel], ranker: Values | None) -> None:
        self.channels, self.ranker = channels, ranker

    def for_part(self, histories: Ragged, users: np.ndarray) -> "TwoStageRanker":
        """Return the ranker of a part's users: [N] histories, and their numbers."""
        channels = [channel.for_part(histories, users) for channel in self.channels]
        most = sum(channel.count for channel in self.channels)
        values = None if self.ranker is None else self.ranker.for_part(histories, users)
        return TwoStageRanker(channels, values, max(PAIRS_AT_ONCE // most, 1))


class Valued(NamedTuple):
    """The candidates of some users with their values."""

    rows: np.ndarray
    """[B] rows of the part; users whose values are not finite are left out."""
    candidates: Candidates
    values: np.ndarray
    """[M] float64, before rules change them."""
    ordered: np.ndarray
    """[M] float64, what the candidates are ordered by; -inf for those that are left out."""

    def of_users(self, chosen: np.ndarray) -> "Valued":
        """Return the same for the chosen users: [B] bool."""
        pairs = chosen[self.candidates.user]
        return Valued(
            self.rows[chosen],
            self.candidates.of_users(chosen),
            self.values[pairs],
            self.ordered[pairs],
        )

    def best(self, k: int) -> tuple[TopK, np.ndarray]:
        """Return the best items and their channels, see `best_of`."""
        left = self.ordered > -np.inf
        pairs = Candidates(*(column[left] for column in self.candidates))
        return best_of(pairs, self.ordered[left], users=len(self.rows), k=k)

    def places(self, rows: np.ndarray, item_idx: np.ndarray) -> np.ndarray:
        """Return the place of each pair among the candidates, -1 for others: [S], [S] -> [S]."""
        if not len(self.candidates.user) or not len(rows):
            return np.full(len(rows), -1)
        size = int(max(item_idx.max(), self.candidates.item_idx.max())) + 1
        there = self.candidates.user * size + self.candidates.item_idx  # ascending
        order = np.argsort(self.rows)
        user = order[np.searchsorted(self.rows, rows, sorter=order)]
        wanted = user * size + item_idx
        place = np.searchsorted(there, wanted).clip(max=len(there) - 1)
        return np.where((item_idx >= 0) & (there[place] == wanted), place, -1)


class TwoStageRanker:
    """See `serving.ranking.rankers.Ranker`, for the users of one part."""

    def __init__(
        self, channels: Sequence[PartChannel], ranker: PartValues | None, users_at_once: int
    ) -> None:
        self.channels, self.ranker, self.users_at_once = channels, ranker, users_at_once
        self.last: tuple[Rules, Valued] | None = None
        """Candidates that were valued last, with their rules: more of them may be asked for."""

    def rank(self, histories: Ragged, rows: np.ndarray, *, k: int, rules: Rules) -> RankedLists:
        """See `Ranker`; the histories are those that it was made for."""
        found = []
        for some in self._at_once(rows):
            valued = self._valued(some, rules)
            found.append((valued.rows, *valued.best(k)))
        scored, best, channels = zip(*found, strict=True)
        joined = TopK(*(torch.cat(tensors) for tensors in zip(*best, strict=True)))
        return RankedLists(np.concatenate(scored), joined, np.concatenate(channels))

    def channels_of(self, rows: np.ndarray, item_idx: np.ndarray, rules: Rules) -> np.ndarray:
        """Return the channels that named listed items: [B], [B, K] -> [B, K] int64 as bits."""
        found = np.zeros(item_idx.shape, dtype=np.int64)
        for start in range(0, len(rows), self.users_at_once):
            some = slice(start, start + self.users_at_once)
            valued, items = self._valued(rows[some], rules), item_idx[some]
            owner = np.repeat(rows[some], items.shape[1])
            place = valued.places(owner, items.ravel()).reshape(items.shape)
            bits = np.append(valued.candidates.channels, 0)  # of place -1
            found[some] = bits[place]
        return found

    def scores_of(self, rows: np.ndarray, item_idx: np.ndarray, rules: Rules) -> np.ndarray:
        """Return the value of pairs of ranked users, before rules change it: [S], [S] -> [S].

        Of an item that no channel named it is that of the ranker if that knows the item, else 0.
        """
        found = np.zeros(len(rows))
        for some in self._at_once(np.array([*dict.fromkeys(rows.tolist())], dtype=np.int64)):
            valued, own = self._valued(some, rules), np.isin(rows, some)
            place = valued.places(rows[own], item_idx[own])
            found[own] = np.where(place >= 0, np.append(valued.values, 0)[place], np.nan)
        lacks = np.flatnonzero(np.isnan(found))
        if self.ranker is not None:
            known = lacks[self.ranker.knows(item_idx[lacks])]
            found[known] = self.ranker.values(rows[known], item_idx[known])
        return np.where(np.isfinite(found), found, 0.0)

    def _at_once(self, rows: np.ndarray) -> list[np.ndarray]:
        step = self.users_at_once
        return [rows[start : start + step] for start in range(0, len(rows), step)]

    def _valued(self, rows: np.ndarray, rules: Rules) -> Valued:
        """Return the candidates of some users, those that were valued last if they are among them.

        Args:
            rows: [B] rows of the part; some of the last call's in their order cost nothing.
            rules: What they may get.
        """
        if self.last is not None and self.last[0] is rules:
            chosen = np.isin(self.last[1].rows, rows)
            if np.array_equal(self.last[1].rows[chosen], rows):
                return self.last[1].of_users(chosen)
        allowed = rules.allowed(rows)
        unadjusted = Unadjusted(rules, rows, allowed)
        named = [channel.names(rows, unadjusted) for channel in self.channels]
        candidates = union([one.item_idx for one in named])
        values = candidates.fused
        if self.ranker is not None:
            values = self.ranker.values(rows[candidates.user], candidates.item_idx)
        finite = np.all([one.is_finite for one in named], axis=0)  # [B]
        finite[candidates.user[~np.isfinite(values)]] = False
        ordered = values
        if allowed.adjusting is not None:
            place = places_in(rules.kept, candidates.item_idx)
            ordered = allowed.adjusting.of_pairs(candidates.user, place, values)
        found = Valued(rows, candidates, values, ordered).of_users(finite)
        self.last = rules, found
        return found
