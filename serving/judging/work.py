"""Make the lists of a row group of held-out events, each in its own way, and find the targets.

Legend of shapes: N targets of a row group, K list length, C candidates of a channel, S some rows.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch

from conf.contract import (
    NO_ITEM,
    NUM_RESERVED,
    TARGET_ITEM,
    USER_IDX,
    Manifest,
    RowGroup,
)
from conf.errors import ConfigError
from conf.workspace.parquet import read_columns
from conf.workspace.versions import read_manifest
from serving.judging.moment import Part, manifest_at, with_counts_before
from serving.judging.steps import POPULARITY, Step
from serving.publishing.parts import read_item_ids
from serving.ranking.objective import Objective
from serving.ranking.two_stage import TwoStageRanker
from serving.rules.allowed import HistoryRules
from serving.rules.history import fallback_lists
from serving.rules.part import PartRules
from serving.rules.reading.given import Given
from serving.rules.reading.tables import with_num_events
from serving.scoring.list_model import load_model
from serving.scoring.loaded import Loaded
from serving.scoring.maker import ListMaker
from serving.scoring.staged import Staged
from trainer.data.batches import histories_of
from trainer.data.columns import Columns, Ragged, numbers_of
from trainer.data.stream import read_row_groups
from trainer.evaluation.held_out import columns_of
from trainer.evaluation.metrics import NEVER
from trainer.evaluation.ranks import Given as Places
from trainer.evaluation.ranks import Ranked

_SHOWN = "num_shown"  # column of users/, of the whole log


@dataclass(frozen=True)
class Judging:
    """What is measured, for the workers."""

    workspace: Path
    dataset_id: str
    model_id: str
    part: Part
    steps: Mapping[str, Step]
    given: Given
    """What rules read besides the dataset."""
    device: torch.device
    seed: int = 0
    """`run.seed`, which exploration draws by."""


class Judged(NamedTuple):
    """The targets of a row group."""

    ranked: Ranked
    """With the position of each target in each list in place of its rank."""
    named: dict[str, np.ndarray]
    """[N] bool by channel, whether the target is among its candidates."""
    excluded: dict[str, np.ndarray]
    """[N] bool by rule, whether it excludes the target."""
    without_value: tuple[str, ...]
    """Fields of the context that the ranker takes, and that have no sound value."""


def judge_groups(job: Judging, groups: Sequence[RowGroup]) -> list[Judged]:
    """Return the targets of each row group."""
    judge, folder = Judge(job), job.workspace / "datasets" / job.dataset_id
    manifest = judge.loaded.manifest
    blocks = read_row_groups(folder, groups, columns_of(manifest, job.part))
    return [judge.judge(columns) for _, columns in blocks]


class Judge:
    """Makers of lists, loaded."""

    def __init__(self, job: Judging) -> None:
        self.job = job
        whole = read_manifest(job.workspace, "datasets", job.dataset_id, Manifest)
        manifest = manifest_at(whole, job.part)
        folder = job.workspace / "datasets" / manifest.id
        model = load_model(job.workspace, job.model_id, manifest)
        item_ids = read_item_ids(folder, manifest)
        self.loaded = Loaded(job.workspace, manifest, item_ids, model, job.device)
        self.makers: dict[str, ListMaker] = {}
        for name, step in job.steps.items():
            others = [*self.makers.values()]
            made_of = (step.score, step.stages, job.given, others)
            self.makers[name] = ListMaker(self.loaded, *made_of, seed=job.seed)
        staged = [maker.staged for maker in self.makers.values() if maker.staged is not None]
        for one in {id(one): one for one in staged}.values():  # makers share them
            _count_before(one, folder, manifest, job.part)
        fields = {one for maker in self.makers.values() for one in _fields_of(maker)}
        if _SHOWN in fields:
            raise ConfigError(
                f"score.rules uses {_SHOWN} of users, which the dataset has for its end alone, so "
                "lists before the held-out events cannot have it; leave it out to measure the rest"
            )
        self.users = _read_users(folder, manifest, sorted(fields))

    def judge(self, columns: Columns) -> Judged:
        """Make the lists of a row group's targets, each with the history before it."""
        histories, targets = histories_of(columns), numbers_of(columns, TARGET_ITEM)
        users, targets = self._users(columns, histories), targets.astype(np.int64)
        ranks, given, seconds = {}, {}, {}
        named: dict[str, np.ndarray] = {}
        excluded: dict[str, np.ndarray] = {}
        score = next(iter(self.job.steps.values())).score
        popular, _ = fallback_lists(
            self.loaded.popular,
            histories,
            np.arange(len(targets)),
            k=score.list_length,
            drop_seen=score.drops_seen,
        )
        ranks[POPULARITY], given[POPULARITY], seconds[POPULARITY] = *_found(popular, targets), 0.0
        for name, maker in self.makers.items():
            started = time.perf_counter()
            rules = maker.for_part(users, histories)
            lists = maker.lists(histories, rules)
            seconds[name] = time.perf_counter() - started
            ranks[name], given[name] = _found(lists.item_idx, targets)
            if not named:
                named = _named(maker, self.job.steps[name], histories, targets)
            if rules is not None and not excluded:
                excluded = _excluded(rules, targets)
        numbers = numbers_of(columns, USER_IDX).astype(np.int64)
        ranked = Ranked(numbers, histories.lengths, targets, ranks, given, seconds)
        return Judged(ranked, named, excluded, self._without_value())

    def _without_value(self) -> tuple[str, ...]:
        rankers = [
            maker.staged.two_stage.ranker
            for maker in self.makers.values()
            if maker.staged is not None
        ]
        found = [one.pairs.context for one in rankers if isinstance(one, Objective)]
        return found[0].without_value if found else ()

    def _users(self, columns: Columns, histories: Ragged) -> pa.Table:
        """Return the user of each target, whose number of events is that before the target."""
        place = np.searchsorted(self.users[USER_IDX].to_numpy(), numbers_of(columns, USER_IDX))
        users = self.users.take(pa.array(place))
        return with_num_events(users, histories)


def _fields_of(maker: ListMaker) -> list[str]:
    return [] if maker.book is None else maker.book.user_fields


def _read_users(folder: Path, manifest: Manifest, fields: list[str]) -> pa.Table:
    """Return the users in the order of their numbers, with fields that rules use."""
    files = [folder / file.path for file in manifest.files["users"]]
    tables = [read_columns(path, [USER_IDX, *fields]) for path in files]
    return pa.concat_tables(tables).sort_by(USER_IDX).combine_chunks()


def _count_before(staged: Staged, folder: Path, manifest: Manifest, part: Part) -> None:
    """Give the ranker the counts before the held-out events."""
    objective = staged.two_stage.ranker
    if not isinstance(objective, Objective):
        return
    context = with_counts_before(objective.pairs.context, folder, manifest, part)
    pairs = objective.pairs._replace(context=context)
    staged.two_stage.ranker = objective._replace(pairs=pairs)


def _found(items: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, Places]:
    """Return the position of each target in its list, and the items of all lists: [N, K], [N]."""
    is_target = items == targets[:, None]
    ranks = np.where(is_target.any(1), is_target.argmax(1) + 1, NEVER)
    return ranks, Places(*np.unique(items[items != NO_ITEM], return_counts=True))


def _named(
    maker: ListMaker, step: Step, histories: Ragged, targets: np.ndarray
) -> dict[str, np.ndarray]:
    """Return which targets each channel names: [N] bool; {} if there are no channels."""
    if step.stages is None or not step.stages.channels:
        return {}
    assert isinstance(maker.ranker, TwoStageRanker)
    rules = HistoryRules(histories, drop_seen=step.score.drops_seen)
    found = {name: np.zeros(len(targets), dtype=bool) for name in maker.channels}
    for start in range(0, len(targets), step.score.block_users):
        rows = np.arange(start, min(start + step.score.block_users, len(targets)))
        for is_named, channel in zip(found.values(), maker.ranker.channels, strict=True):
            items = channel.names(rows, rules).item_idx  # [S, C]
            is_named[rows] = (items == targets[rows, None]).any(1)
    return found


def _excluded(rules: PartRules, targets: np.ndarray) -> dict[str, np.ndarray]:
    """Return which targets each rule excludes: [N] bool; an unknown item is excluded by none."""
    known = np.flatnonzero(targets >= NUM_RESERVED)
    found = {}
    for name, is_out in rules.removed(known, targets[known]).items():
        found[name] = np.zeros(len(targets), dtype=bool)
        found[name][known] = is_out
    return found
