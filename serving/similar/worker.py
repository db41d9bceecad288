"""The Ray worker of similar items: makes the lists of one part of the items after another.

Legend of shapes: N items of a part, V catalogue, D width, K list length.
"""

import logging
from functools import partial

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from conf.contract import (
    ITEM_ID,
    NO_ITEM,
    NUM_RESERVED,
    POSITION,
    SCORE,
    SIMILAR_ID,
    SIMILAR_ITEMS,
    USER_ID,
    USER_IDX,
)
from conf.errors import ConfigError
from conf.settings.score import Score
from serving.arranging.arrange import Arranging
from serving.publishing.parts import part_name, write_part
from serving.ranking.barred import best_unbarred
from serving.ranking.rankers import RankedLists, Ranker
from serving.ranking.shelf import Shelf
from serving.ranking.topk import TopK, top_k
from serving.ranking.vectors import vectors_of
from serving.rules.allowed import HistoryRules, Rules
from serving.rules.book import RuleBook
from serving.rules.history import known_to_model
from serving.rules.part import PartRules
from serving.scoring.list_model import ListModel, is_personal
from serving.scoring.worker import PartScorer, Scored, ScoringJob
from serving.similar.like_user import histories_of_items
from trainer.data.columns import Ragged
from trainer.models.item_to_item import ItemToItem

log = logging.getLogger(__name__)
ITEMS_PER_PART = 100_000
SIMILAR_SCHEMA = pa.schema(
    [
        pa.field(ITEM_ID, pa.string(), nullable=False),
        pa.field(POSITION, pa.int32(), nullable=False),
        pa.field(SIMILAR_ID, pa.string(), nullable=False),
        pa.field(SCORE, pa.float32(), nullable=False),
    ]
)


def items_of_part(part: int, catalogue: int) -> np.ndarray:
    """Return the numbers of the items of a part: [N] int64."""
    first = NUM_RESERVED + part * ITEMS_PER_PART
    return np.arange(first, min(first + ITEMS_PER_PART, catalogue))


def rows_of_parts(catalogue: int) -> list[int]:
    """Return the number of items of each part."""
    parts = -(-(catalogue - NUM_RESERVED) // ITEMS_PER_PART)
    return [len(items_of_part(part, catalogue)) for part in range(parts)]


def has_similar(score: Score, model: ListModel, *, quiet: bool = False) -> bool:
    """Return whether lists of items are asked for and this model can make them.

    Args:
        score: The section of the configuration.
        model: The model.
        quiet: Whether to leave out the warning of a model that cannot.

    Raises:
        ConfigError: When vectors are asked for and the model has none.
    """
    if score.similar_items is None:
        return False
    bundle = model.bundle
    if score.similar_items.by == "vectors" and vectors_of(model.scorer) is None:
        raise ConfigError(
            f"score.similar_items.by is 'vectors', but model {bundle.id} ({bundle.algorithm}) has "
            "no vectors of items; set it to model, or train.algorithm to neural or als"
        )
    if model.scorer is not None and is_personal(model.scorer):
        return True
    if not quiet:
        log.warning(
            "score: model %s (%s) does not say what goes with an item, so there are no lists of "
            "similar items; train another algorithm for them",
            bundle.id,
            bundle.algorithm,
        )
    return False


class _ItemRules(HistoryRules):
    """Leaves out the item itself, and those that rules exclude for everybody."""

    def __init__(self, histories: Ragged, book: RuleBook | None) -> None:
        super().__init__(histories, drop_seen=True)
        self.kept = None if book is None else book.kept


class _VectorRanker:
    """Ranks items by the direction of their vectors; each history is of one item."""

    def __init__(self, vectors: Tensor, pool: np.ndarray, block_items: int) -> None:
        """Take the vectors: [V, D], and which items lists may have: [V] bool."""
        self.vectors, self.block_items = vectors, block_items
        self.left_out = torch.from_numpy(~pool[: len(vectors)]).to(vectors.device)

    def rank(self, histories: Ragged, rows: np.ndarray, *, k: int, rules: Rules) -> RankedLists:
        """See `serving.ranking.rankers.Ranker`."""
        device = self.vectors.device
        own = torch.from_numpy(histories.values[histories.offsets[rows]]).to(device)
        allowed, shelf = (
            rules.allowed(rows).to(device),
            Shelf(rules.kept, len(self.vectors), device),
        )
        find = partial(
            top_k,
            item_vectors=shelf.of_items(self.vectors),
            block_items=self.block_items,
            left_out=shelf.of_items(self.left_out),
        )
        seen = shelf.placed(allowed.seen)
        best = best_unbarred(
            find, self.vectors[own], seen, allowed.masks, k=k, adjusting=allowed.adjusting
        )
        return RankedLists(rows, shelf.numbered(best))


class _CountedRanker:
    """Ranks items that a model counted together with the one of the history.

    Beyond these pairs, such a model names popular items: those are not similar.
    """

    def __init__(self, ranker: Ranker, scorer: ItemToItem) -> None:
        self.ranker, self.scorer = ranker, scorer

    def rank(self, histories: Ragged, rows: np.ndarray, *, k: int, rules: Rules) -> RankedLists:
        """See `Ranker`."""
        found, best, _ = self.ranker.rank(histories, rows, k=k, rules=rules)
        part = self.scorer.contributions(histories, found, best.item_idx).sum(-1)
        is_other = (part <= 0) | (best.item_idx < 0)  # [B, K]
        order = is_other.int().argsort(dim=1, stable=True)  # those that are left out come last
        gone = is_other.gather(1, order)
        scores = best.scores.gather(1, order).masked_fill(gone, -torch.inf)
        return RankedLists(
            found, TopK(scores, best.item_idx.gather(1, order).masked_fill(gone, NO_ITEM))
        )


class SimilarScorer:
    """A loaded model with its dataset, ready to make the lists of items."""

    def __init__(self, job: ScoringJob) -> None:
        assert job.score.similar_items is not None
        self.spec, self.job = job.score.similar_items, job
        parts = PartScorer(job.for_main_model())
        self.loaded, self.maker = parts.loaded, parts.maker
        self.book, self.own_book = self.maker.book, None
        if job.similar is not None:
            given = (job.similar.score, job.similar.given)
            self.own_book = RuleBook(self.loaded.dataset, self.loaded.manifest, *given)
        vectors = vectors_of(self.maker.scorer) if self.spec.by == "vectors" else None
        ranker = self.maker.own_ranker
        assert ranker is not None  # see `has_similar`
        self.ranker: Ranker = ranker
        if vectors is not None:
            pool = self.loaded.model.pools.model
            self.ranker = _VectorRanker(vectors, pool, job.score.block_items)
        if isinstance(self.maker.scorer, ItemToItem):
            self.ranker = _CountedRanker(self.ranker, self.maker.scorer)

    def score(self, part: int) -> Scored:
        """Write the lists of one part of the items."""
        items = items_of_part(part, len(self.loaded.item_ids))
        best = self.similar(items)
        table = self._table(items, best)
        path = self.job.folder / SIMILAR_ITEMS / part_name(part)
        write_part(path, table, request=self.job.request, num_users=len(items))
        return Scored(len(items))

    def similar(self, items: np.ndarray) -> TopK:
        """Return the most similar items of each item, none for those that the model lacks.

        Args:
            items: [N]
        """
        known = self.loaded.model.pools.model[items]
        best = TopK(
            torch.full((len(items), self.spec.count), -torch.inf),
            torch.full((len(items), self.spec.count), NO_ITEM),
        )
        for rows in np.array_split(
            np.flatnonzero(known), max(-(-int(known.sum()) // self.job.score.block_users), 1)
        ):
            if len(rows):
                kept, found = self._rank(items, rows)
                best.scores[kept] = found.scores.float().cpu()
                best.item_idx[kept] = found.item_idx.cpu()
        return best

    def _rank(self, items: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, TopK]:
        """Return the rows that have finite scores, and the best items of each."""
        numbers, places = items[rows], np.arange(len(rows))
        histories = histories_of_items(numbers, self.loaded.manifest)
        known = known_to_model(histories, self.maker.num_items, self.maker.unknown)
        if self.own_book is None:
            rules = _ItemRules(histories, self.book)
            found, best, _ = self.ranker.rank(known, places, k=self.spec.count, rules=rules)
        else:
            found, best = self._arranged(self.own_book, numbers, histories, known)
        return rows[found], best

    def _arranged(
        self, book: RuleBook, items: np.ndarray, histories: Ragged, known: Ragged
    ) -> tuple[np.ndarray, TopK]:
        """Return the rows that have finite scores, and their items under rules of their own.

        Args:
            book: The rules.
            items: [N]
            histories: [N] a history of each item.
            known: The same as the model knows them.
        """
        ids = self.loaded.item_ids.take(pa.array(items))
        rules = PartRules(book, pa.table({USER_IDX: items, USER_ID: ids}), histories)
        arranging = Arranging(self.ranker, None, known, rules, self.spec.count)
        made = arranging.arrange(np.arange(len(items)))
        return made.rows, TopK(torch.from_numpy(made.scores), torch.from_numpy(made.item_idx))

    def _table(self, items: np.ndarray, best: TopK) -> pa.Table:
        """Return lists as rows of `SIMILAR_SCHEMA`, one row per item and position."""
        item_idx = best.item_idx.numpy()
        row, place = np.nonzero(item_idx >= 0)
        starts = np.searchsorted(row, row)  # places that have no item leave no gap
        columns = [
            self.loaded.item_ids.take(pa.array(items[row])),
            pa.array(np.arange(len(row)) - starts + 1, pa.int32()),
            self.loaded.item_ids.take(pa.array(item_idx[row, place])),
            pa.array(best.scores.numpy()[row, place], pa.float32()),
        ]
        return pa.Table.from_arrays(columns, schema=SIMILAR_SCHEMA)
