"""The Ray worker: loads the model once, then scores one part after another.

Legend of shapes: N users of a part, B users of a batch, K list length, R reasons.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from conf.contract import (
    HISTORY_ITEMS,
    HISTORY_TIMES,
    HISTORY_TYPES,
    NO_ITEM,
    NUM_RESERVED,
    TEXTS,
    USER_ID,
    USER_IDX,
    Manifest,
)
from conf.errors import VersionError
from conf.settings.score import Score
from conf.workspace.folders import set_umask
from conf.workspace.versions import read_manifest
from serving.arranging.arrange import Arranging
from serving.publishing.parts import (
    PartLists,
    lists_table,
    part_name,
    read_item_ids,
    read_row_group,
    write_part,
)
from serving.ranking.popular import PopularRanker
from serving.ranking.rankers import Ranker, make_ranker
from serving.reasons.sentences import Places, Sentences
from serving.reasons.templates import Templates
from serving.rules.allowed import HistoryRules, Rules
from serving.rules.book import RuleBook
from serving.rules.guaranteed import with_candidates
from serving.rules.history import fallback_lists, known_to_model, popular_items
from serving.rules.part import PartRules
from serving.rules.possible import (
    FALLBACK_REASONS,
    NOT_FINITE,
    count_possible,
    seen_pairs,
    why_short,
    why_unserved,
)
from serving.rules.reading.given import NOTHING_GIVEN, Given
from serving.scoring.ledger import ledger_of
from serving.scoring.list_model import load_model
from serving.scoring.ruled import explained_items, no_marks, put_lists
from serving.scoring.staged import Stages, load_staged
from trainer.data.batches import histories_of, rows_of_like_length
from trainer.data.columns import Ragged, numbers_of
from trainer.data.event_features import context_columns
from trainer.data.stream import read_row_groups
from trainer.models.reasons import explain
from trainer.models.scorer import ModelScorer


@dataclass(frozen=True)
class ScoringJob:
    """Dataset, model and settings of a scoring run, and the folder for its lists."""

    workspace: Path
    dataset_id: str
    model_id: str
    request: str
    folder: Path
    score: Score
    umask: str | None = None
    """`run.umask`"""
    stages: Stages | None = None
    """Channels and models of other roles; None: the lists are those of the main model alone."""
    templates: Mapping[str, Templates] = field(default_factory=dict)
    """Sentences by language, see `serving.reasons`."""
    given: Given = NOTHING_GIVEN
    """What rules read besides the dataset."""


class PartScorer:
    """A loaded model with its dataset, ready to score parts."""

    def __init__(self, job: ScoringJob) -> None:
        torch.set_num_threads(job.score.cpus_per_worker)
        set_umask(job.umask)  # a worker of a cluster has another one
        self.job = job
        self.dataset = job.workspace / "datasets" / job.dataset_id
        self.manifest = read_manifest(job.workspace, "datasets", job.dataset_id, Manifest)
        self.item_ids = read_item_ids(self.dataset, self.manifest)
        device = torch.device("cuda" if job.score.gpus_per_worker else "cpu")
        model = load_model(job.workspace, job.model_id, self.manifest)
        self.sentences = None
        if job.templates:
            group, algorithm = job.score.texts.field, model.bundle.algorithm
            self.sentences = Sentences(job.templates, group, self.dataset, self.manifest, algorithm)
        self.popular = popular_items(model.train_weights)
        self.num_items, self.unknown, self.pools = model.num_items, model.unknown, model.pools
        self.scorer = None if model.scorer is None else model.scorer.to(device)
        self.ranker: Ranker | None = None
        if self.scorer is not None:
            self.ranker = make_ranker(
                self.scorer, job.score, model_id=job.model_id, num_items=self.num_items
            )
        self.popular_ranker = PopularRanker(
            self.popular,
            len(self.item_ids),
            block_users=job.score.block_users,
            block_items=job.score.block_items,
        )
        self.book = None
        if job.score.rules is not None:
            self.book = RuleBook(self.dataset, self.manifest, job.score, job.given)
        self.main_pools = self.pools
        self.staged = None
        if job.stages is not None:
            given = (job.workspace, self.manifest, model, job.stages, job.score, device)
            self.staged = load_staged(*given)
            self.pools = self.staged.pools

    def score(self, part: int) -> int:
        """Write the lists of one row group's users and return the number of users."""
        users, histories = self._read(part)
        user_ids = users[USER_ID].cast(pa.string()).combine_chunks()
        if self.staged is not None:
            numbers = users[USER_IDX].to_numpy().astype(np.int64)
            self.ranker = self.staged.two_stage.for_part(histories, numbers)
        rules = None if self.book is None else PartRules(self.book, users, histories)
        lists = self.lists(histories, rules)
        channels = list(self.job.score.candidates or {})
        table = lists_table(user_ids, self.item_ids, lists, channels)
        if self.sentences is not None:
            column = self.sentences.column(_places(lists), histories)
            table = table.append_column(TEXTS, column)
        ledger = None if rules is None else self._ledger(users, histories, rules)
        path = self.job.folder / part_name(part)
        write_part(path, table, request=self.job.request, num_users=len(user_ids), ledger=ledger)
        return len(user_ids)

    def lists(self, histories: Ragged, part_rules: PartRules | None = None) -> PartLists:
        """Return the lists of users with these histories, in numbers of the dataset.

        Args:
            histories: Histories of N users.
            part_rules: The rules for these users; None: there is none but `score.drop_seen`.
        """
        users = len(histories.offsets) - 1
        k, num_reasons = self.job.score.list_length, self.job.score.reasons
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
            lists = lists._replace(rules=no_marks(part_rules, users, k))
        known = histories  # channels know more items than the main model
        if self.staged is None:
            known = known_to_model(histories, self.num_items, self.unknown)
        for_model = np.flatnonzero(lists.why_fallback == 0)
        rules = part_rules or HistoryRules(known, drop_seen=self.job.score.drops_seen)
        for rows in rows_of_like_length(known, for_model, self.job.score.block_users):
            self._score_batch(known, rows, rules, lists)
        self._fall_back(histories, lists, part_rules)
        return lists._replace(why_short=self._why_short(histories, owner, lists, part_rules))

    def _score_batch(
        self, histories: Ragged, rows: np.ndarray, rules: Rules, lists: PartLists
    ) -> None:
        """Fill in the lists of the chosen rows; mark those that the model gives no scores."""
        score = self.job.score
        assert self.ranker is not None  # without a scorer there are stages
        if isinstance(rules, PartRules):
            refill = self.popular_ranker if rules.book.can_refill else None
            made = Arranging(self.ranker, refill, histories, rules, score.list_length).arrange(rows)
            put_lists(lists, made, rules, of_model=True)
            scored, known = made.rows, histories
            items = explained_items(made, self.unknown, self.num_items)
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
            k = self.job.score.list_length
            made = Arranging(self.popular_ranker, None, histories, part_rules, k).arrange(rows)
            put_lists(lists, made, part_rules, of_model=False)
            return
        lists.item_idx[rows], lists.scores[rows] = fallback_lists(
            self.popular,
            histories,
            rows,
            k=self.job.score.list_length,
            drop_seen=self.job.score.drops_seen,
        )

    def _ledger(
        self, users: pa.Table, histories: Ragged, rules: PartRules
    ) -> dict[str, dict[str, int]]:
        assert self.ranker is not None  # rules act on the lists of a model over the catalogue
        known = known_to_model(histories, self.num_items, self.unknown)
        return ledger_of(
            rules,
            self.ranker,
            known,
            users[USER_IDX].to_numpy(),
            self.job.score,
            num_users=self.manifest.counts["users"],
        )

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
            most = part_rules.most(self.pools, lengths, is_fallback, self.job.score.list_length)
        items = histories.values if self.job.score.drops_seen else histories.values[:0]
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
            list_length=self.job.score.list_length,
            has_candidates=self.staged is not None,
            most=most,
        )

    def _read(self, part: int) -> tuple[pa.Table, Ragged]:
        """Return a part's users, with the fields that rules use, and their histories."""
        group = self.manifest.row_groups("histories")[part]
        more = context_columns(self.manifest, "histories")
        columns = [USER_IDX, HISTORY_ITEMS, HISTORY_TYPES, HISTORY_TIMES, *more]
        _, found = next(read_row_groups(self.dataset, [group], columns, threads=1))
        histories = histories_of(found)
        fields = [] if self.book is None else self.book.user_fields
        users = read_row_group(
            self.dataset, self.manifest.row_groups("users")[part], [USER_IDX, USER_ID, *fields]
        )
        if not np.array_equal(users[USER_IDX].to_numpy(), numbers_of(found, USER_IDX)):
            raise VersionError(
                f"users/ and histories/ of dataset {self.manifest.id} differ in row "
                f"group {part}; build the dataset again"
            )
        return users, histories


def _places(lists: PartLists) -> Places:
    """Return what sentences are about, in the order of the written rows."""
    user, place = np.nonzero(lists.item_idx >= 0)
    has_reasons = lists.reason_idx.shape[2] > 0
    reason = lists.reason_idx[user, place, 0] if has_reasons else np.full(len(user), NO_ITEM)
    return Places(user, lists.item_idx[user, place], reason, lists.why_fallback[user] > 0)
