"""The Ray worker of similar items: makes the lists of one part of the items after another.

Legend of shapes: N items of a part, V catalogue, D width, K list length.
"""

import logging

import numpy as np
import pyarrow as pa
import torch

from conf.contract import (
    ITEM_ID,
    NO_ITEM,
    NUM_RESERVED,
    POSITION,
    SCORE,
    SIMILAR_ID,
    SIMILAR_ITEMS,
)
from conf.errors import ConfigError
from conf.settings.score import Score
from serving.publishing.parts import part_name, write_part
from serving.ranking.topk import TopK, top_k
from serving.ranking.vectors import vectors_of
from serving.rules.allowed import HistoryRules
from serving.rules.book import RuleBook
from serving.rules.history import Seen, known_to_model
from serving.scoring.list_model import ListModel, is_personal
from serving.scoring.worker import PartScorer, ScoringJob
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


class SimilarScorer:
    """A loaded model with its dataset, ready to make the lists of items."""

    def __init__(self, job: ScoringJob) -> None:
        assert job.score.similar_items is not None
        self.spec, self.job = job.score.similar_items, job
        parts = PartScorer(job)
        self.loaded, self.maker = parts.loaded, parts.maker
        self.vectors = vectors_of(self.maker.scorer) if self.spec.by == "vectors" else None

    def score(self, part: int) -> int:
        """Write the lists of one part of the items and return the number of items."""
        items = items_of_part(part, len(self.loaded.item_ids))
        best = self.similar(items)
        table = self._table(items, best)
        path = self.job.folder / SIMILAR_ITEMS / part_name(part)
        write_part(path, table, request=self.job.request, num_users=len(items))
        return len(items)

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
        if self.vectors is not None:
            device = self.vectors.device
            own = torch.from_numpy(items[rows]).to(device)
            found = top_k(
                self.vectors[own],
                self.vectors,
                k=self.spec.count,
                seen=Seen(torch.arange(len(rows), device=device), own),
                block_items=self.job.score.block_items,
                left_out=torch.from_numpy(~self._pool()).to(device),
            )
            return rows, found
        histories = histories_of_items(items[rows], self.loaded.manifest)
        known = known_to_model(histories, self.maker.num_items, self.maker.unknown)
        rules = _ItemRules(histories, self.maker.book)
        places = np.arange(len(rows))
        assert self.maker.ranker is not None  # see `has_similar`
        ranked = self.maker.ranker.rank(known, places, k=self.spec.count, rules=rules)
        best = ranked.best
        if isinstance(self.maker.scorer, ItemToItem):
            # Beyond the pairs it counted, such a model names popular items: those are not similar.
            part = self.maker.scorer.contributions(known, ranked.rows, best.item_idx).sum(-1)
            counted = (part > 0) & (best.item_idx >= 0)
            best = TopK(
                best.scores.masked_fill(~counted, -torch.inf),
                best.item_idx.masked_fill(~counted, NO_ITEM),
            )
        return rows[ranked.rows], best

    def _pool(self) -> np.ndarray:
        """Return the items that lists may have: [V] bool."""
        pool: np.ndarray = self.loaded.model.pools.model
        book = self.maker.book
        if book is None:
            return pool
        return pool & np.isin(np.arange(len(pool)), book.kept)

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
