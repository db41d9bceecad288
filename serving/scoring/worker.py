"""The Ray worker: loads the model once, then scores one part after another.

Legend of shapes: N users of a part, B users of a batch, K list length, R reasons.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from conf.contract import (
    HISTORY_ITEMS,
    HISTORY_TIMES,
    HISTORY_TYPES,
    NO_ITEM,
    TEXTS,
    USER_ID,
    USER_IDX,
    Manifest,
)
from conf.errors import VersionError
from conf.settings.score import Score
from conf.workspace.folders import set_umask
from conf.workspace.versions import read_manifest
from serving.publishing.parts import (
    PartLists,
    lists_table,
    part_name,
    read_item_ids,
    read_row_group,
    write_part,
)
from serving.reasons.sentences import Places, Sentences
from serving.reasons.templates import Templates
from serving.rules.reading.given import NOTHING_GIVEN, Given
from serving.scoring.list_model import load_model
from serving.scoring.maker import ListMaker, Loaded
from serving.scoring.staged import Stages
from trainer.data.batches import histories_of
from trainer.data.columns import Ragged, numbers_of
from trainer.data.event_features import context_columns
from trainer.data.stream import read_row_groups


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
    audiences: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Numbers of the items of each audience."""
    seed: int = 0
    """`run.seed`, which exploration draws by."""


class PartScorer:
    """A loaded model with its dataset, ready to score parts."""

    def __init__(self, job: ScoringJob) -> None:
        torch.set_num_threads(job.score.cpus_per_worker)
        set_umask(job.umask)  # a worker of a cluster has another one
        self.job = job
        manifest = read_manifest(job.workspace, "datasets", job.dataset_id, Manifest)
        dataset = job.workspace / "datasets" / manifest.id
        model = load_model(job.workspace, job.model_id, manifest)
        device = torch.device("cuda" if job.score.gpus_per_worker else "cpu")
        item_ids = read_item_ids(dataset, manifest)
        self.loaded = Loaded(job.workspace, manifest, item_ids, model, device)
        self.maker = ListMaker(self.loaded, job.score, job.stages, job.given, seed=job.seed)
        self.sentences = None
        if job.templates:
            group, algorithm = job.score.texts.field, model.bundle.algorithm
            self.sentences = Sentences(job.templates, group, dataset, manifest, algorithm)

    def score(self, part: int) -> int:
        """Write the lists of one row group's users and return the number of users."""
        users, histories = self.read(part)
        user_ids = users[USER_ID].cast(pa.string()).combine_chunks()
        rules = self.maker.for_part(users, histories)
        table = self.table(user_ids, histories, self.maker.lists(histories, rules))
        ledger = None if rules is None else self.maker.ledger(users, histories, rules)
        path = self.job.folder / part_name(part)
        write_part(path, table, request=self.job.request, num_users=len(user_ids), ledger=ledger)
        return len(user_ids)

    def table(self, user_ids: pa.Array, histories: Ragged, lists: PartLists) -> pa.Table:
        """Return lists as rows, one per user and position, with their sentences.

        Args:
            user_ids: [N]
            histories: [N]
            lists: Of N users.
        """
        channels = list(self.job.score.candidates or {})
        table = lists_table(user_ids, self.loaded.item_ids, lists, channels)
        if self.sentences is None:
            return table
        column = self.sentences.column(_places(lists), histories)
        return table.append_column(TEXTS, column)

    def read(self, part: int) -> tuple[pa.Table, Ragged]:
        """Return a part's users, with the fields that rules use, and their histories."""
        manifest, dataset = self.loaded.manifest, self.loaded.dataset
        group = manifest.row_groups("histories")[part]
        more = context_columns(manifest, "histories")
        columns = [USER_IDX, HISTORY_ITEMS, HISTORY_TYPES, HISTORY_TIMES, *more]
        _, found = next(read_row_groups(dataset, [group], columns, threads=1))
        histories = histories_of(found)
        fields = [] if self.maker.book is None else self.maker.book.user_fields
        users = read_row_group(
            dataset, manifest.row_groups("users")[part], [USER_IDX, USER_ID, *fields]
        )
        if not np.array_equal(users[USER_IDX].to_numpy(), numbers_of(found, USER_IDX)):
            raise VersionError(
                f"users/ and histories/ of dataset {manifest.id} differ in row "
                f"group {part}; build the dataset again"
            )
        return users, histories


def _places(lists: PartLists) -> Places:
    """Return what sentences are about, in the order of the written rows."""
    user, place = np.nonzero(lists.item_idx >= 0)
    has_reasons = lists.reason_idx.shape[2] > 0
    reason = lists.reason_idx[user, place, 0] if has_reasons else np.full(len(user), NO_ITEM)
    return Places(user, lists.item_idx[user, place], reason, lists.why_fallback[user] > 0)
