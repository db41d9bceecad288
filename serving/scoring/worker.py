"""The Ray worker: loads the model once, then scores one part after another.

Legend of shapes: N users of a part, B users of a batch, K list length, R reasons.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from conf.contract import (
    NO_ITEM,
    TEXTS,
    USER_ID,
    Manifest,
)
from conf.settings.score import Score
from conf.workspace.folders import set_umask
from conf.workspace.versions import read_manifest
from serving.publishing.parts import (
    PartLists,
    is_complete,
    lists_table,
    part_name,
    read_item_ids,
    write_part,
)
from serving.ranking.user_vectors import chosen_rows
from serving.reasons.sentences import Places, Sentences
from serving.reasons.templates import Templates
from serving.rules.members import Members
from serving.rules.reading.given import NOTHING_GIVEN, Given
from serving.scoring.kinds import ListKind
from serving.scoring.list_model import load_model
from serving.scoring.loaded import Loaded
from serving.scoring.maker import ListMaker
from serving.scoring.staged import Stages
from trainer.data.columns import Ragged


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
    scenarios: tuple[ListKind, ...] = ()
    """The lists that are made besides the default ones."""
    similar: ListKind | None = None
    """How lists of items are made that have rules of their own; None: as the default ones."""
    audiences: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Numbers of the items of each audience."""
    seed: int = 0
    """`run.seed`, which exploration draws by."""

    def for_main_model(self) -> "ScoringJob":
        """Return the job for what the main model makes alone: similar items and audiences."""
        return replace(self, scenarios=(), stages=None, templates={})

    @property
    def kinds(self) -> list[ListKind]:
        """Return all kinds of lists, the default ones first."""
        own = ListKind(self.score, stages=self.stages, templates=self.templates, given=self.given)
        return [own, *self.scenarios]


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
        self.makings: list[_Making] = []
        for kind in job.kinds:
            self.makings.append(_Making(kind, self.loaded, self.makings, job.seed))
        self.maker: ListMaker = self.makings[0].maker

    def score(self, part: int) -> int:
        """Write the lists of one row group's users and return the number of users.

        Of several kinds of lists, those whose part is complete are not made again.
        """
        users, histories = self.read(part)
        given = {"request": self.job.request, "num_users": users.num_rows}
        block_users = self.job.score.block_users
        with self.loaded.at_hand(histories, self.maker.own_ranker, block_users):
            for making in self.makings:
                path = making.kind.folder_in(self.job.folder) / part_name(part)
                if len(self.makings) == 1 or not is_complete(path, **given):
                    self._write(making, path, users, histories)
        return int(users.num_rows)

    def _write(self, making: "_Making", path: Path, users: pa.Table, histories: Ragged) -> None:
        """Write the lists of one kind for the users of a part."""
        maker, num_users, chosen = making.maker, users.num_rows, None
        if making.members is not None:
            chosen = np.flatnonzero(making.members.of(users))
            users, histories = users.take(pa.array(chosen)), chosen_rows(histories, chosen)
        self.loaded.choose(maker.own_ranker, chosen)
        user_ids = users[USER_ID].cast(pa.string()).combine_chunks()
        rules = maker.for_part(users, histories)
        table = making.table(user_ids, histories, maker.lists(histories, rules))
        ledger = None if rules is None else maker.ledger(users, histories, rules)
        write_part(path, table, request=self.job.request, num_users=num_users, ledger=ledger)

    def table(self, user_ids: pa.Array, histories: Ragged, lists: PartLists) -> pa.Table:
        """Return default lists as rows, see `_Making.table`."""
        return self.makings[0].table(user_ids, histories, lists)

    def read(self, part: int) -> tuple[pa.Table, Ragged]:
        """Return a part's users, with the fields that rules use, and their histories."""
        fields = {field for making in self.makings for field in making.user_fields}
        return self.loaded.read(part, sorted(fields))


class _Making:
    """What makes lists of one kind."""

    def __init__(
        self, kind: ListKind, loaded: Loaded, others: Sequence["_Making"], seed: int
    ) -> None:
        """Load what they need; `others` are of the same run."""
        self.kind, manifest, dataset = kind, loaded.manifest, loaded.dataset
        makers = [other.maker for other in others]
        self.maker: ListMaker = ListMaker(
            loaded, kind.score, kind.stages, kind.given, makers, seed=seed
        )
        self.members = None
        if kind.users_where is not None:
            self.members = Members(dataset, manifest, str(kind.scenario), kind.users_where)
        alike = [other for other in others if other.kind.templates == kind.templates
                 and other.kind.score.texts == kind.score.texts]  # fmt: skip
        self.sentences: Sentences | None = alike[0].sentences if alike else None
        if kind.templates and self.sentences is None:
            group, algorithm = kind.score.texts.field, loaded.model.bundle.algorithm
            self.sentences = Sentences(kind.templates, group, dataset, manifest, algorithm)

    @property
    def user_fields(self) -> list[str]:
        """Return the fields of users that rules and the condition use."""
        of_rules = [] if self.maker.book is None else self.maker.book.user_fields
        return [*of_rules, *(() if self.members is None else self.members.fields)]

    def table(self, user_ids: pa.Array, histories: Ragged, lists: PartLists) -> pa.Table:
        """Return lists as rows, one per user and position, with their sentences.

        Args:
            user_ids: [N]
            histories: [N]
            lists: Of N users.
        """
        item_ids = self.maker.loaded.item_ids
        table = lists_table(user_ids, item_ids, lists, self.maker.channels, self.kind.scenario)
        if self.sentences is None:
            return table
        column = self.sentences.column(_places(lists), histories)
        return table.append_column(TEXTS, column)


def _places(lists: PartLists) -> Places:
    """Return what sentences are about, in the order of the written rows."""
    user, place = np.nonzero(lists.item_idx >= 0)
    has_reasons = lists.reason_idx.shape[2] > 0
    reason = lists.reason_idx[user, place, 0] if has_reasons else np.full(len(user), NO_ITEM)
    return Places(user, lists.item_idx[user, place], reason, lists.why_fallback[user] > 0)
