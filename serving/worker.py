"""The Ray worker: loads the model once, then scores one part after another.

Legend of shapes: N users of a part, B users of a batch, K list length, R reasons.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from conf.contract import (
    HISTORY_ITEMS,
    HISTORY_TIMES,
    HISTORY_TYPES,
    NO_ITEM,
    USER_ID,
    USER_IDX,
    Manifest,
)
from conf.errors import VersionError
from conf.settings.config import Score
from conf.workspace.versions import read_manifest
from serving.publish import (
    PartLists,
    lists_table,
    part_name,
    read_item_ids,
    read_row_group,
    write_part,
)
from serving.rankers import make_ranker
from serving.rules import has_known_item, known_to_model, popular_items
from trainer.data.batches import histories_of, rows_of_like_length
from trainer.data.columns import Ragged, numbers_of
from trainer.data.event_features import context_columns
from trainer.data.item_features import extend_to
from trainer.data.stream import read_row_groups
from trainer.data.trained_on import read_train_events
from trainer.models.bundle import load_scorer
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


class PartScorer:
    """A loaded model with its dataset, ready to score parts."""

    def __init__(self, job: ScoringJob) -> None:
        torch.set_num_threads(job.score.cpus_per_worker)
        self.job = job
        self.dataset = job.workspace / "datasets" / job.dataset_id
        self.manifest = read_manifest(job.workspace, "datasets", job.dataset_id, Manifest)
        self.item_ids = read_item_ids(self.dataset, self.manifest)
        events = read_train_events(self.dataset, self.manifest)
        self.popular = popular_items(events, job.score.list_length)
        bundle, scorer = load_scorer(job.workspace, job.model_id)
        self.num_items = bundle.vocabularies["item"].size
        if isinstance(scorer, ModelScorer):
            extend_to(scorer.model, bundle.model["content"], self.dataset, self.manifest)
            self.num_items = scorer.model.catalogue
        device = torch.device("cuda" if job.score.gpus_per_worker else "cpu")
        scorer = scorer.to(device)
        self.unknown = scorer.unknown
        self.ranker = make_ranker(
            scorer, job.score, model_id=job.model_id, num_items=self.num_items
        )

    def score(self, part: int) -> int:
        """Write the lists of one row group's users and return the number of users."""
        user_ids, histories = self._read(part)
        table = lists_table(user_ids, self.item_ids, self.lists(histories))
        path = self.job.folder / part_name(part)
        write_part(path, table, request=self.job.request, num_users=len(user_ids))
        return len(user_ids)

    def lists(self, histories: Ragged) -> PartLists:
        """Return the lists of users with these histories."""
        users = len(histories.offsets) - 1
        k, num_reasons = self.job.score.list_length, self.job.score.reasons
        known = has_known_item(histories)
        lists = PartLists(
            item_idx=np.full((users, k), NO_ITEM, dtype=np.int64),
            scores=np.full((users, k), -np.inf, dtype=np.float32),
            is_fallback=~known,
            reason_idx=np.full((users, k, num_reasons), NO_ITEM, dtype=np.int64),
            reason_weight=np.zeros((users, k, num_reasons), dtype=np.float32),
        )
        lists.item_idx[~known], lists.scores[~known] = self.popular
        batches = rows_of_like_length(histories, np.flatnonzero(known), self.job.score.block_users)
        for rows in batches:
            self._score_batch(histories, rows, lists)
        return lists

    def _score_batch(self, histories: Ragged, rows: np.ndarray, lists: PartLists) -> None:
        """Fill in the lists of the chosen rows."""
        best, reasons = self.ranker.rank(histories, rows)
        lists.item_idx[rows] = best.item_idx.cpu()
        lists.scores[rows] = best.scores.cpu()
        if reasons is not None:
            lists.reason_idx[rows] = reasons.item_idx.cpu()
            lists.reason_weight[rows] = reasons.weight.cpu()

    def _read(self, part: int) -> tuple[pa.Array, Ragged]:
        """Return the raw ids and the histories of a part's users."""
        group = self.manifest.row_groups("histories")[part]
        more = context_columns(self.manifest, "histories")
        columns = [USER_IDX, HISTORY_ITEMS, HISTORY_TYPES, HISTORY_TIMES, *more]
        _, found = next(read_row_groups(self.dataset, [group], columns, threads=1))
        histories = known_to_model(histories_of(found), self.num_items, self.unknown)
        users = read_row_group(
            self.dataset, self.manifest.row_groups("users")[part], [USER_IDX, USER_ID]
        )
        if not np.array_equal(users[USER_IDX].to_numpy(), numbers_of(found, USER_IDX)):
            raise VersionError(
                f"users/ and histories/ of dataset {self.manifest.id} differ in row "
                f"group {part}; build the dataset again"
            )
        return users[USER_ID].cast(pa.string()).combine_chunks(), histories
