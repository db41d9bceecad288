"""The lists of a batch: rank more candidates than places, choose, refill what is short.

Users who come out short are ranked again with more candidates, until their lists are full or all
candidates are used: the result is that of a ranking of the whole catalogue.

Legend of shapes: B users of a batch, C candidates, K places, P pins.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from conf.contract import NO_ITEM
from serving.arranging.diversity import Diversifying
from serving.arranging.exploring import Exploring
from serving.arranging.greedy import (
    Chooser,
    Places,
    Quota,
    fill,
    lacking,
    pinned_places,
    without_gaps,
)
from serving.ranking.rankers import Ranker
from serving.ranking.two_stage import TwoStageRanker
from serving.rules.part import PartRules
from trainer.data.columns import Ragged

_TIMES, _MORE, _GROWTH = 2, 8, 4
"""Ranked at first are `_TIMES` times K items and `_MORE`, then `_GROWTH` times as many."""


class Arranged(NamedTuple):
    """The lists of a batch, without the users whom the ranker gives no scores."""

    rows: np.ndarray
    """[B]"""
    item_idx: np.ndarray
    """[B, K] int64, `NO_ITEM` after the last item."""
    scores: np.ndarray
    """[B, K] float32, -inf after the last item."""
    is_refill: np.ndarray
    """[B, K] bool, popular items in a list of the model."""
    is_pinned: np.ndarray
    """[B, K] bool, items at a place of their own."""
    is_explored: np.ndarray
    """[B, K] bool, items drawn at random."""
    propensity: np.ndarray
    """[B, K] float32, see `serving.arranging.exploring`; 1 without exploration."""


@dataclass(frozen=True)
class Arranging:
    """What all lists of a part are made with."""

    ranker: Ranker
    """Finds the best items."""
    refill: Ranker | None
    """Finds the items for places that no item of the model fits; None: such lists stay short."""
    histories: Ragged
    """Histories of the part, as the ranker knows them."""
    rules: PartRules
    list_length: int
    """K"""
    diversifying: Diversifying | None = None
    """Chooses items that differ; None: the score alone decides."""
    exploring: Exploring | None = None
    """Draws items at random for some places; None: there are none."""

    def arrange(self, rows: np.ndarray) -> Arranged:
        """Return the lists of the chosen rows of the part."""
        if not len(rows):
            nothing = np.zeros((0, self.list_length))
            no = nothing.astype(bool)
            few = nothing.astype(np.float32)
            return Arranged(rows, nothing.astype(np.int64), few, no, no, no, few)
        caps, k = self.rules.book.caps, self.list_length
        width = _TIMES * k + _MORE if self.rules.book.arranges else k
        if self.diversifying is not None:
            width = max(width, self.diversifying.count)
        rows, candidates, scores = self._ranked(self.ranker, rows, width)
        pinned = pinned_places(self.rules.pinned_items(rows), len(rows), k, caps)
        found = self._placed(rows, pinned, candidates, scores)
        items = without_gaps(found.item_idx, caps)
        moved = (items != found.item_idx).any(1)
        for row in np.flatnonzero(moved):
            found = _moved(found, row, items[row])
        self._score_pins(found)
        self._count(found, candidates)
        return found if self.exploring is None else self._explored(found)

    def _explored(self, found: Arranged) -> Arranged:
        """Return the lists with items drawn at random at some places."""
        assert self.exploring is not None  # else nothing is drawn
        may_change = (found.item_idx >= 0) & ~found.is_refill & ~found.is_pinned
        drawn = self.exploring.draw(self.rules, found.rows, found.item_idx, may_change)
        own = self.exploring.scores(self.histories, found.rows, drawn.item_idx, drawn.is_explored)
        scores = np.where(drawn.is_explored, own, found.scores)
        return found._replace(
            item_idx=drawn.item_idx,
            scores=scores,
            is_explored=drawn.is_explored,
            propensity=drawn.propensity,
        )

    def _ranked(
        self, ranker: Ranker, rows: np.ndarray, width: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the rows with scores, and their best items and scores: [B], [B, C], [B, C]."""
        scored, best, _ = ranker.rank(self.histories, rows, k=width, rules=self.rules)
        return scored, best.item_idx.cpu().numpy(), best.scores.float().cpu().numpy()

    def _placed(
        self, rows: np.ndarray, pinned: np.ndarray, candidates: np.ndarray, scores: np.ndarray
    ) -> Arranged:
        """Return the lists, with more candidates for those that need them.

        Args:
            rows: [B]
            pinned: [B, K]
            candidates: [B, C] items of the model, best first.
            scores: [B, C]
        """
        places = self._filled(rows, pinned, candidates, scores)
        found = _arranged(rows, places.item, places.column, scores, pinned)
        has_more = (candidates >= 0).all(1)
        again = np.flatnonzero(places.is_stuck & has_more)
        if len(again):
            width = _GROWTH * candidates.shape[1]
            _, more, more_scores = self._ranked(self.ranker, rows[again], width)
            _put(found, again, self._placed(rows[again], pinned[again], more, more_scores))
        short = np.flatnonzero(places.is_stuck & ~has_more)
        if len(short) and self.rules.book.shares:
            some = (rows[short], pinned[short], candidates[short], scores[short])
            places = self._filled(*some, is_strict=False)
            columns = (places.column, scores[short], pinned[short])
            _put(found, short, _arranged(rows[short], places.item, *columns))
            short = short[places.is_stuck]
        if len(short) and self.refill is not None:
            width = _TIMES * self.list_length + _MORE
            rest = (rows[short], pinned[short], candidates[short], scores[short])
            _put(found, short, self._refilled(*rest, width))
        return found

    def _filled(
        self,
        rows: np.ndarray,
        pinned: np.ndarray,
        candidates: np.ndarray,
        scores: np.ndarray,
        *,
        is_strict: bool = True,
    ) -> Places:
        """Return the places; there may be more candidates than scores, which follow the others."""
        caps, quotas = self.rules.book.caps, self._quotas(rows)
        chooser = self._chooser(candidates, scores, pinned)
        found = fill(candidates, pinned, caps, quotas, is_strict=is_strict, chooser=chooser)
        if is_strict or not quotas:
            return found
        lacks = np.logical_or.reduce([lacking(quota, found.item) > 0 for quota in quotas])
        short = np.flatnonzero(found.is_stuck & lacks)
        if not len(short):
            return found
        # In these lists the kept places came after the end, which is known now: fill them again.
        some = candidates[short], scores[short], pinned[short]
        ends = (found.item[short] >= 0).sum(1)
        quotas, chooser = self._quotas(rows[short]), self._chooser(*some)
        again = fill(some[0], some[2], caps, quotas, is_strict=False, chooser=chooser, ends=ends)
        is_better = (again.item >= 0).sum(1) >= ends
        for whole, part in zip(found, again, strict=True):
            whole[short[is_better]] = part[is_better]
        return found

    def _chooser(
        self, candidates: np.ndarray, scores: np.ndarray, pinned: np.ndarray
    ) -> Chooser | None:
        if self.diversifying is None:
            return None
        return self.diversifying.chooser(candidates, scores, pinned)

    def _quotas(self, rows: np.ndarray) -> list[Quota]:
        users = self.rules.user_idx[rows]
        return [
            Quota(share.is_in, share.quota(users, self.list_length))
            for share in self.rules.book.shares
        ]

    def _refilled(
        self,
        rows: np.ndarray,
        pinned: np.ndarray,
        candidates: np.ndarray,
        scores: np.ndarray,
        width: int,
    ) -> Arranged:
        """Return lists in which popular items take the places that no item of the model fits."""
        assert self.refill is not None  # its lists are short otherwise
        _, popular, shares = self._ranked(self.refill, rows, width)
        both = np.concatenate([candidates, popular], axis=1)
        places = self._filled(rows, pinned, both, scores, is_strict=False)
        all_scores = np.concatenate([scores, shares], axis=1)
        found = _arranged(rows, places.item, places.column, all_scores, pinned)
        found.is_refill[:] = places.column >= candidates.shape[1]
        again = np.flatnonzero(places.is_stuck & (popular >= 0).all(1))
        if len(again):
            some = (rows[again], pinned[again], candidates[again], scores[again])
            _put(found, again, self._refilled(*some, _GROWTH * width))
        return found

    def _score_pins(self, found: Arranged) -> None:
        """Fill in the scores of pinned items; 0 where the model does not know the item."""
        users = np.flatnonzero(found.is_pinned.any(1))
        if not len(users):
            return
        found.scores[found.is_pinned] = 0.0
        if isinstance(self.ranker, TwoStageRanker):
            user, place = np.nonzero(found.is_pinned)
            pairs = found.rows[user], found.item_idx[user, place]
            found.scores[user, place] = self.ranker.scores_of(*pairs, self.rules)
            return
        only = self.rules.only_pins()
        rows = found.rows[users]
        best = self.ranker.rank(self.histories, rows, k=len(only.kept), rules=only).best
        items, scores = best.item_idx.cpu().numpy(), best.scores.float().cpu().numpy()
        for column in range(items.shape[1]):
            is_it = found.is_pinned[users] & (found.item_idx[users] == items[:, column, None])
            is_it &= items[:, column, None] >= 0
            user, place = np.nonzero(is_it)
            found.scores[users[user], place] = scores[user, column]

    def _count(self, found: Arranged, candidates: np.ndarray) -> None:
        """Add what the rules did to these lists to the ledger."""
        counts, k = self.rules.counts, self.list_length
        counts["score.rules.refill"]["refilled_places"] += int(found.is_refill.sum())
        counts["score.rules.refill"]["lists_touched"] += int(found.is_refill.any(1).sum())
        for name, items in self.rules.pins_by_name(found.rows).items():
            placed = (found.is_pinned & (found.item_idx == items[:, None])).sum()
            counts[name]["pinned_places"] += int(placed)
            counts[name]["skipped_pins"] += int((items >= 0).sum() - placed)
        for share in self.rules.book.shares:
            has = ((found.item_idx >= 0) & share.is_in[found.item_idx]).sum(1)
            quota = share.quota(self.rules.user_idx[found.rows], k)
            counts[share.name]["places_of_share"] += int(has.sum())
            counts[share.name]["places"] += int((found.item_idx >= 0).sum())
            counts[share.name]["lists_below_quota"] += int((has < quota).sum())
        for cap in self.rules.book.caps:
            first = candidates[:, :k]
            gone = (first >= 0) & ~(first[:, :, None] == found.item_idx[:, None, :]).any(2)
            taken = np.where(found.item_idx >= 0, cap.codes[found.item_idx], -1)
            code = np.where(first >= 0, cap.codes[first], -1)
            is_full = (code[:, :, None] == taken[:, None, :]).sum(2) >= cap.most
            removed = gone & is_full & (code >= 0)
            counts[cap.name]["removed_places"] += int(removed.sum())
            counts[cap.name]["lists_touched"] += int(removed.any(1).sum())


def _arranged(
    rows: np.ndarray, item: np.ndarray, column: np.ndarray, scores: np.ndarray, pinned: np.ndarray
) -> Arranged:
    found = np.full(item.shape, -np.inf, dtype=np.float32)
    if scores.shape[1]:
        found = np.where(column >= 0, np.take_along_axis(scores, column.clip(0), 1), found)
    no = np.zeros(item.shape, dtype=bool)
    likely = np.ones(item.shape, dtype=np.float32)
    return Arranged(rows, item, found, no, pinned >= 0, no.copy(), likely)


def _put(whole: Arranged, rows: np.ndarray, part: Arranged) -> None:
    """Replace the lists of some users."""
    for target, source in zip(whole[1:], part[1:], strict=True):
        target[rows] = source


def _moved(found: Arranged, row: np.integer, items: np.ndarray) -> Arranged:
    """Close the gap before pinned items of one list."""
    length = int((found.item_idx[row] < 0).argmax())
    stays = np.flatnonzero(items[length:] >= 0) + length
    found.item_idx[row] = np.where(items >= 0, items, NO_ITEM)
    found.scores[row, length:], found.is_refill[row, length:] = -np.inf, False
    found.is_pinned[row, length:] = False
    found.is_pinned[row, stays] = True
    return found
