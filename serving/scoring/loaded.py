"""What all lists of a run share: the dataset and the main model.

Legend of shapes: N users of a part, V catalogue.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from conf.contract import (
    HISTORY_ITEMS,
    HISTORY_TIMES,
    HISTORY_TYPES,
    USER_ID,
    USER_IDX,
    Manifest,
)
from conf.errors import VersionError
from serving.publishing.parts import read_row_group
from serving.ranking.rankers import NetworkRanker, Ranker
from serving.rules.history import Popular, known_to_model, popular_items
from serving.rules.possible import why_unserved
from serving.scoring.list_model import ListModel
from trainer.data.batches import histories_of
from trainer.data.columns import Ragged, numbers_of
from trainer.data.event_features import context_columns
from trainer.data.stream import read_row_groups
from trainer.models.scorer import Scorer


@dataclass(frozen=True)
class Loaded:
    """A dataset and the main model, as all lists of a run share them."""

    workspace: Path
    manifest: Manifest
    item_ids: pa.Array
    """[V], null at the reserved numbers."""
    model: ListModel
    device: torch.device

    @property
    def dataset(self) -> Path:
        """Return the folder of the dataset."""
        return self.workspace / "datasets" / self.manifest.id

    @cached_property
    def scorer(self) -> Scorer | None:
        """Return the main model on its device; None if it scores pairs."""
        return None if self.model.scorer is None else self.model.scorer.to(self.device)

    @cached_property
    def popular(self) -> Popular:
        """Return the popular items."""
        return popular_items(self.model.train_weights)

    @property
    def columns(self) -> list[str]:
        """Return the columns of histories that lists may follow from."""
        more = context_columns(self.manifest, "histories")
        return [USER_IDX, HISTORY_ITEMS, HISTORY_TYPES, HISTORY_TIMES, *more]

    def read(self, part: int, fields: Sequence[str]) -> tuple[pa.Table, Ragged]:
        """Return the users of a row group, with some of their fields, and their histories.

        Raises:
            VersionError: When users and histories are not of the same users.
        """
        manifest = self.manifest
        group = manifest.row_groups("histories")[part]
        _, found = next(read_row_groups(self.dataset, [group], self.columns, threads=1))
        users = read_row_group(
            self.dataset, manifest.row_groups("users")[part], [USER_IDX, USER_ID, *fields]
        )
        if not np.array_equal(users[USER_IDX].to_numpy(), numbers_of(found, USER_IDX)):
            raise VersionError(
                f"users/ and histories/ of dataset {manifest.id} differ in row "
                f"group {part}; build the dataset again"
            )
        return users, histories_of(found)

    @contextmanager
    def at_hand(
        self,
        histories: Ragged,
        ranker: Ranker | None,
        block_users: int,
        rows: np.ndarray | None = None,
    ) -> Iterator[None]:
        """Remember the users of a part during the block, see `UserVectors`.

        Args:
            histories: [N] histories of the part.
            ranker: That of the main model.
            block_users: Users scored together.
            rows: [M] rows of the users whose lists are made; None: all of them.
        """
        if not isinstance(ranker, NetworkRanker):
            yield
            return
        users = len(histories.lengths)
        owner = np.repeat(np.arange(users), histories.lengths)
        served = why_unserved(owner, histories.values, users, self.model.pools) == 0
        known = known_to_model(histories, self.model.num_items, self.model.unknown)
        with ranker.vectors.of_part(known, served, block_users, rows):
            yield

    def choose(self, ranker: Ranker | None, rows: np.ndarray | None) -> None:
        """Say which users of the part lists are made for, see `UserVectors`."""
        if isinstance(ranker, NetworkRanker):
            ranker.vectors.choose(rows)
