"""Make the lists of users with given histories: rank, arrange, fall back, explain.

Legend of shapes: N users of a part, B users of a batch, K list length, R reasons.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from conf.contract import NO_ITEM, NUM_RESERVED, USER_IDX
from conf.settings.score import Score
from serving.arranging.arrange import Arranging
from serving.publishing.parts import PartLists
from serving.ranking.popular import PopularRanker
from serving.ranking.rankers import Ranker, make_ranker
from serving.ranking.two_stage import TwoStageRanker
from serving.rules.allowed import HistoryRules, Rules
from serving.rules.book import RuleBook
from serving.rules.guaranteed import sure_candidates, with_candidates
from serving.rules.history import fallback_lists, known_to_model
from serving.rules.part import PartRules
from serving.rules.possible import (
    FALLBACK_REASONS,
    NOT_FINITE,
    count_possible,
    seen_pairs,
    why_short,
    why_unserved,
)
from serving.rules.reading.given import Given
from serving.scoring.arranged import DIVERSITY, compared, diversifying_of, exploring_of
from serving.scoring.ledger import ledger_of, sampled_batches
from serving.scoring.loaded import Loaded
from serving.scoring.ruled import explained_items, no_marks, put_lists
from serving.scoring.staged import Staged, Stages, load_staged, orders_of
from trainer.data.batches import rows_of_like_length
from trainer.data.columns import Ragged
from trainer.models.reasons import explain
from trainer.models.scorer import ModelScorer


class ListMaker:
    """Makes lists by one section of settings."""

    def __init__(
        self,
        loaded: Loaded,
        score: Score,
        stages: Stages | None,
        given: Given,
        others: Sequence["ListMaker"] = (),
        *,
        seed: int = 0,
    ) -> None:
        """Load what the lists need besides dataset and main model.

        Args:
            loaded: Dataset and main model.
            score: How lists are made.
            stages: Channels and models of other roles; None: the lists are those of the main model.
            given: What rules read besides the dataset.
            others: Makers of the same run, whose models and rules are shared where they are equal.
            seed: `run.seed`, which exploration draws by.
        """
        score = score.with_list_rules()
        self.loaded, self.score, self.stages, self.given = loaded, score, stages, given
        model = loaded.model
        self.popular, self.scorer = loaded.popular, loaded.scorer
        self.num_items, self.unknown, self.pools = model.num_items, model.unknown, model.pools
        self.own_ranker = self._ranker_of_model(others)
        self.ranker: Ranker | None = self.own_ranker
        self.popular_ranker = PopularRanker(
            self.popular,
            len(loaded.item_ids),
            block_users=score.block_users,
            block_items=score.block_items,
        )
        self.book = self._book(others)
        of_dataset = (loaded.dataset, loaded.manifest, given)
        self.diversifying = diversifying_of(score, model, self.scorer, *of_dataset)
        self.exploring = None
        if self.book is not None:
            self.exploring = exploring_of(
                score, self.scorer, self.num_items, self.book, loaded.dataset, seed
            )
        self.staged = self._staged(others)
        if self.staged is not None:
            self.pools = self.staged.pools

    def _ranker_of_model(self, others: Sequence["ListMaker"]) -> Ranker | None:
        """Return the ranker of the main model, that of the others if there are any."""
        if self.scorer is None or others:
            return others[0].own_ranker if others else None
        model = self.loaded.model
        return make_ranker(
            self.scorer, self.score, model_id=model.bundle.id, num_items=self.num_items
        )

    def _book(self, others: Sequence["ListMaker"]) -> RuleBook | None:
        """Return the rules, those of another maker if they are equal; None: there are none."""
        if self.score.rules is None:
            return None
        for other in others:
            if other.given is self.given and _of_book(other.score) == _of_book(self.score):
                return other.book
        return RuleBook(self.loaded.dataset, self.loaded.manifest, self.score, self.given)

    def _staged(self, others: Sequence["ListMaker"]) -> Staged | None:
        """Return channels and ranker, those of another maker if they are equal."""
        if self.stages is None:
            return None
        for other in others:
            if other.stages == self.stages and orders_of(other.score) == orders_of(self.score):
                return other.staged
        of_run = (self.loaded.workspace, self.loaded.manifest, self.loaded.model)
        return load_staged(*of_run, self.stages, self.score, self.loaded.device, self.own_ranker)

    @property
    def channels(self) -> list[str]:
        """Return the names of the channels of `score.candidates`, in the order of their bits."""
        if self.staged is None or not self.score.candidates:
            return []
        return [channel.name for channel in self.staged.two_stage.channels]

    def for_part(self, users: pa.Table, histories: Ragged) -> PartRules | None:
        """Take the users of a part, and return the rules for them; None: there are none.

        Args:
            users: N users with their numbers, and the fields that rules use.
            histories: [N]
        """
        if self.staged is not None:
            numbers = users[USER_IDX].to_numpy().astype(np.int64)
            self.ranker = self.staged.two_stage.for_part(histories, numbers)
        return None if self.book is None else PartRules(self.book, users, histories)

    def lists(self, histories: Ragged, part_rules: PartRules | None = None) -> PartLists:
        """Return the lists of users with these histories, in numbers of the dataset.

        Args:
            histories: Histories of N users.
            part_rules: The rules for these users; None: there is none but `score.drop_seen`.
        """
        users = len(histories.offsets) - 1
        k, num_reasons = self.score.list_length, self.score.reasons
        owner = np.repeat(np.arange(users), histories.lengths)
        lists = PartLists(
            item_idx=np.full((users, k), NO_ITEM, dtype=np.int64),
            scores=np.full((users, k), -np.inf, dtype=np.float32),
            why_fallback=why_unserved(owner, histories.values, users, self.pools),
            why_short=np.zeros(users, dtype=np.int8),
            reason_idx=np.full((users, k, num_reasons), NO_ITEM, dtype=np.int64),
            reason_weight=np.zeros((users, k, num_reasons), dtype=np.float32),
            channels=np.zeros((users, k), dtype=np.int64),
        )
        if part_rules is not None:
            lists = lists._replace(
                rules=no_marks(part_rules, users, k, explores=self.exploring is not None)
            )
        if self.exploring is not None:
            lists = lists._replace(propensity=np.ones((users, k), dtype=np.float32))
        known = histories  # channels know more items than the main model
        if self.staged is None:
            known = known_to_model(histories, self.num_items, self.unknown)
        for_model = np.flatnonzero(lists.why_fallback == 0)
        rules = part_rules or HistoryRules(known, drop_seen=self.score.drops_seen)
        at_once = self.score.block_users
        if part_rules is not None and isinstance(self.ranker, TwoStageRanker):
            at_once = min(at_once, self.ranker.users_at_once)  # it keeps their candidates
        for rows in rows_of_like_length(known, for_model, at_once):
            self._score_batch(known, rows, rules, lists)
        self._fall_back(histories, lists, part_rules)
        return lists._replace(why_short=self._why_short(histories, owner, lists, part_rules))

    def _score_batch(
        self, histories: Ragged, rows: np.ndarray, rules: Rules, lists: PartLists
    ) -> None:
        """Fill in the lists of the chosen rows; mark those that the model gives no scores."""
        score = self.score
        assert self.ranker is not None  # without a scorer there are stages
        if isinstance(rules, PartRules):
            arranging = self._arranging(histories, rules)
            made = replace(arranging, exploring=self.exploring).arrange(rows)
            put_lists(lists, made, rules, of_model=True)
            if isinstance(self.ranker, TwoStageRanker):
                named = self.ranker.channels_of(made.rows, made.item_idx, rules)
                lists.channels[made.rows] = np.where(made.is_refill, 0, named)
            scored, items = made.rows, explained_items(made, self.unknown, self.num_items)
            known, items = self._explained(histories, items)
        else:
            found = self.ranker.rank(histories, rows, k=score.list_length, rules=rules)
            scored, best = found.rows, found.best
            lists.item_idx[scored], lists.scores[scored] = best.item_idx.cpu(), best.scores.cpu()
            if found.channels is not None:
                lists.channels[scored] = found.channels
            known, items = self._explained(histories, best.item_idx)
        lists.why_fallback[np.setdiff1d(rows, scored)] = FALLBACK_REASONS.index(NOT_FINITE)
        if score.reasons and self.scorer is not None and len(scored):
            if isinstance(self.scorer, ModelScorer):
                items = items.to(self.scorer.device)
            reasons = explain(self.scorer, known, scored, items, num_reasons=score.reasons)
            lists.reason_idx[scored] = reasons.item_idx.cpu()
            lists.reason_weight[scored] = reasons.weight.cpu()

    def _arranging(self, histories: Ragged, rules: PartRules) -> Arranging:
        """Return what makes the model's lists, without exploration."""
        assert self.ranker is not None  # see above
        refill = self.popular_ranker if rules.book.can_refill else None
        k = self.score.list_length
        return Arranging(self.ranker, refill, histories, rules, k, self.diversifying)

    def _explained(self, histories: Ragged, items: Tensor) -> tuple[Ragged, Tensor]:
        """Return histories and listed items as far as the main model knows them."""
        if self.staged is None:
            return histories, items
        lacks = np.ones(len(self.pools.model), dtype=bool)
        lacks[: self.num_items] = False if self.unknown is None else self.unknown
        unknown = torch.from_numpy(lacks)[items.clamp(min=0)]
        known = known_to_model(histories, self.num_items, self.unknown)
        return known, items.masked_fill(unknown, NO_ITEM)

    def _fall_back(self, histories: Ragged, lists: PartLists, part_rules: PartRules | None) -> None:
        """Fill in the lists of the rows that get none of the model."""
        rows = np.flatnonzero(lists.why_fallback)
        if part_rules is not None:
            k = self.score.list_length
            made = Arranging(self.popular_ranker, None, histories, part_rules, k).arrange(rows)
            put_lists(lists, made, part_rules, of_model=False)
            return
        lists.item_idx[rows], lists.scores[rows] = fallback_lists(
            self.popular,
            histories,
            rows,
            k=self.score.list_length,
            drop_seen=self.score.drops_seen,
        )

    def ledger(
        self, users: pa.Table, histories: Ragged, rules: PartRules
    ) -> dict[str, dict[str, int]]:
        """Return what the rules did to the lists of a part; the arguments are those of the part."""
        assert self.ranker is not None  # without a scorer there are stages
        known = histories
        if self.staged is None:
            known = known_to_model(histories, self.num_items, self.unknown)
        found = ledger_of(
            rules,
            self.ranker,
            known,
            users[USER_IDX].to_numpy(),
            self.score,
            num_users=self.loaded.manifest.counts["users"],
            serves_everybody=self.pools.serves_everybody,
        )
        if self.diversifying is not None:
            arranging = self._arranging(known, rules)
            batches = sampled_batches(
                known, users[USER_IDX].to_numpy(), self.score, self.loaded.manifest.counts["users"]
            )
            found[DIVERSITY] = compared(arranging, replace(arranging, diversifying=None), batches)
        return found

    def _why_short(
        self,
        histories: Ragged,
        owner: np.ndarray,
        lists: PartLists,
        part_rules: PartRules | None,
    ) -> np.ndarray:
        catalogue, lengths = len(self.pools.model), (lists.item_idx >= 0).sum(1)
        is_fallback, most = lists.why_fallback > 0, None
        if part_rules is not None:
            sure = None
            if self.staged is not None:
                channels = self.staged.guaranteed
                sure = sure_candidates(channels, owner, histories.values, len(lengths))
            k = self.score.list_length
            most = part_rules.most(self.pools, lengths, is_fallback, k, sure)
        items = histories.values if self.score.drops_seen else histories.values[:0]
        seen = seen_pairs(owner[: len(items)], items, catalogue)
        possible = count_possible(seen, len(lists.item_idx), self.pools)
        if self.staged is not None:
            given = (seen, owner, histories.values)
            possible = with_candidates(possible, self.staged.guaranteed, *given)
        return why_short(
            lengths,
            is_fallback,
            possible,
            items=catalogue - NUM_RESERVED,
            list_length=self.score.list_length,
            has_candidates=self.staged is not None,
            most=most,
        )


def _of_book(score: Score) -> tuple[object, ...]:
    """Return all of the section that `RuleBook` reads: lists that agree in it share a book."""
    return score.rules, score.drops_seen, score.items_now
