"""Popularity among users like oneself, for users whom the dataset does not have.

A channel `from: popularity` with `by` knows the group of each user of the dataset. All new users
have the same number there, so they are taken one group after another.

Legend of shapes: N users, G channels with groups.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from conf.contract import UNKNOWN_IDX, USER_IDX, Manifest
from conf.settings.score import Score
from conf.workspace.parquet import read_columns
from serving.ranking.channels import OrderedChannel
from serving.scoring.staged import Staged


class _Grouped(NamedTuple):
    """A channel whose order depends on a field of the user."""

    place: int
    """Of the channel."""
    field: str
    group_of: Mapping[str, int]
    """Group of each value."""


class NewUsers:
    """The channels of the lists, set to one group of new users after another."""

    def __init__(
        self, staged: Staged | None, score: Score, dataset: Path, manifest: Manifest
    ) -> None:
        """Find the channels with groups; None: there are no channels."""
        self.staged, self.grouped = staged, list[_Grouped]()
        for place, channel in enumerate([] if staged is None else staged.two_stage.channels):
            settings = (score.candidates or {}).get(channel.name)
            if isinstance(channel, OrderedChannel) and settings and settings.by is not None:
                found = _group_of(dataset, manifest, settings.by, channel.groups)
                self.grouped.append(_Grouped(place, settings.by, found))

    def in_turn(self, users: pa.Table) -> Iterator[np.ndarray]:
        """Yield the rows of users whose groups the channels are set to: [N] in all.

        Args:
            users: N users with their numbers and fields.
        """
        number = users[USER_IDX].to_numpy()
        keys = np.zeros((users.num_rows, len(self.grouped)), dtype=np.int64)  # [N, G]
        for column, one in enumerate(self.grouped):
            texts = users[one.field].cast(pa.string()).to_pylist()
            keys[:, column] = [one.group_of.get(text, 0) for text in texts]
        keys[number != UNKNOWN_IDX] = 0  # the channels know their groups
        groups, group = np.unique(keys, axis=0, return_inverse=True)
        for place, values in enumerate(groups):
            self._set(values)
            yield np.flatnonzero(group.reshape(-1) == place)

    def _set(self, values: np.ndarray) -> None:
        for one, group in zip(self.grouped, values.tolist(), strict=True):
            assert self.staged is not None  # else no channel has groups
            channels = list(self.staged.two_stage.channels)
            channel = channels[one.place]
            assert isinstance(channel, OrderedChannel)
            groups = channel.groups.copy()
            groups[UNKNOWN_IDX] = group
            channels[one.place] = replace(channel, groups=groups)
            self.staged.two_stage.channels = channels


def _group_of(dataset: Path, manifest: Manifest, field: str, groups: np.ndarray) -> dict[str, int]:
    """Return the group of each value of a field that a user of the dataset has."""
    found = {}
    for file in manifest.files["users"]:
        table = read_columns(dataset / file.path, [USER_IDX, field])
        texts = table[field].cast(pa.string()).to_pylist()
        for text, number in zip(texts, table[USER_IDX].to_pylist(), strict=True):
            if text is not None and text.strip():
                found[text] = int(groups[number])
    return found
