"""The Ray worker: loads the model once, then scores one part after another.

Legend of shapes: N users of a part, B users of a batch, K list length, R reasons.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch

from conf.contract import (
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
from serving.carrying.earlier import Base, Earlier, Kept
from serving.carrying.merged import NotKeptError, merged, rows_to_score, with_boosts
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


class Scored(NamedTuple):
    """What a worker did for a part."""

    rows: int
    """Users or items of the part."""
    kept: int = 0
    """Lists of an earlier version that are kept."""


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
    base: Base | None = None
    """The earlier version whose lists users may keep; None: the lists of all users are made."""

    def for_main_model(self) -> "ScoringJob":
        """Return the job for what the main model makes alone: similar items and audiences."""
        return replace(self, scenarios=(), stages=None, templates={}, base=None)

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

    @cached_property
    def earlier(self) -> Earlier:
        """Return the lists that users may keep, of the job's base.

        Raises:
            VersionError: When they or their dataset are damaged.
        """
        assert self.job.base is not None
        return Earlier(self.job.workspace, self.job.base, self.loaded.columns)

    def score(self, part: int) -> Scored:
        """Write the lists of one row group's users.

        Of several kinds of lists, those whose part is complete are not made again.

        Raises:
            NotKeptError: When earlier lists are damaged, or one differs from the list made now.
        """
        users, histories = self.read(part)
        given = {"request": self.job.request, "num_users": users.num_rows}
        works = [
            self._work(making, path, users, histories)
            for making in self.makings
            if not is_complete(path := making.path(self.job.folder, part), **given)
            or len(self.makings) == 1
        ]
        rows = None
        if self.job.base is not None and works:
            rows = np.unique(np.concatenate([one.in_part for one in works]))
        block_users = self.job.score.block_users
        with self.loaded.at_hand(histories, self.maker.own_ranker, block_users, rows):
            for work in works:
                self._write(work, users, histories)
        num_kept = sum(int(one.kept.is_kept.sum()) for one in works if one.kept is not None)
        return Scored(int(users.num_rows), num_kept)

    def _work(self, making: "_Making", path: Path, users: pa.Table, histories: Ragged) -> "_Work":
        """Return what is to be done for one kind of lists of a part."""
        chosen = np.arange(users.num_rows)
        if making.members is not None:
            chosen = np.flatnonzero(making.members.of(users))
        kept, scored = None, np.arange(len(chosen))
        if self.job.base is not None:
            own = _rows_of(users, histories, chosen)
            try:
                kept = making.kept(self.earlier, *own)
            except VersionError as error:
                raise NotKeptError(str(error)) from error
            if kept is not None:
                scored = rows_to_score(kept, own[0][USER_IDX].to_numpy(), self.job.request)
        return _Work(making, path, chosen, kept, scored)

    def _write(self, work: "_Work", of_part: pa.Table, histories_of_part: Ragged) -> None:
        """Write the lists of one kind for the users of a part."""
        making, kept, maker = work.making, work.kept, work.making.maker
        self.loaded.choose(maker.own_ranker, work.in_part)
        users, histories = _rows_of(of_part, histories_of_part, work.in_part)
        rules = maker.for_part(users, histories)
        ids = users[USER_ID].cast(pa.string()).combine_chunks()
        table = making.table(ids, histories, maker.lists(histories, rules))
        if kept is not None:
            users, histories = _rows_of(of_part, histories_of_part, work.chosen)
            ids = users[USER_ID].cast(pa.string()).combine_chunks()
            table = merged(kept, table, ids, work.scored)
            self.loaded.choose(maker.own_ranker, work.chosen)
            of_made, rules = rules, maker.for_part(users, histories)
            if of_made is not None:
                assert rules is not None  # a kind has rules for all users or for none
                rules.counts.update(with_boosts(of_made.counts, table))
        ledger = None if rules is None else maker.ledger(users, histories, rules)
        given = {"request": self.job.request, "num_users": of_part.num_rows}
        write_part(work.path, table, **given, ledger=ledger)

    def table(self, user_ids: pa.Array, histories: Ragged, lists: PartLists) -> pa.Table:
        """Return default lists as rows, see `_Making.table`."""
        return self.makings[0].table(user_ids, histories, lists)

    def read(self, part: int) -> tuple[pa.Table, Ragged]:
        """Return a part's users, with the fields that rules use, and their histories."""
        fields = {field for making in self.makings for field in making.user_fields}
        return self.loaded.read(part, sorted(fields))


def _rows_of(users: pa.Table, histories: Ragged, rows: np.ndarray) -> tuple[pa.Table, Ragged]:
    """Return the chosen users of a part and their histories."""
    if len(rows) == users.num_rows:
        return users, histories
    return users.take(pa.array(rows)), chosen_rows(histories, rows)


class _Work(NamedTuple):
    """Lists of one kind that are written for a part."""

    making: "_Making"
    path: Path
    chosen: np.ndarray
    """[N] rows of the part of the users who get lists of this kind."""
    kept: Kept | None
    """Lists of an earlier version; None: all are made."""
    scored: np.ndarray
    """[M] places in `chosen` of the users whose lists are made."""

    @property
    def in_part(self) -> np.ndarray:
        """Return the users whose lists are made: [M] rows of the part."""
        found: np.ndarray = self.chosen[self.scored]
        return found


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

    def path(self, version: Path, part: int) -> Path:
        """Return the file of a part in the folder of a version."""
        return self.kind.folder_in(version) / part_name(part)

    def kept(self, earlier: Earlier, users: pa.Table, histories: Ragged) -> Kept | None:
        """Return which users keep their lists of an earlier version; None: nobody does."""
        book = self.maker.book
        return earlier.kept(
            self.kind.score,
            self.kind.scenario,
            users,
            histories,
            fields=[] if book is None else book.user_fields,
            since=[] if book is None else [rule.since for rule in book.past],
        )

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
