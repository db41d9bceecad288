"""The vectors of users: those of the part at hand are made once, for all its lists.

A user's vector does not depend on the other users of its batch, see `trainer.models.alike`. So it
does not matter which lists ask for it first.

Legend of shapes: N users of a part, M of them whose lists are made, U users chosen from it, B users
asked for, D width.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from trainer.data.batches import rows_of_like_length
from trainer.data.columns import Ragged, newest_events
from trainer.models.scorer import ModelScorer


class UserVectors:
    """Encodes users with a network, and remembers those of the part at hand."""

    def __init__(self, scorer: ModelScorer) -> None:
        self.scorer = scorer
        self.part: _Part | None = None
        self.chosen: Ragged | None = None
        self.rows = np.zeros(0, dtype=np.int64)
        """[U] rows of the part of the users whose lists are made."""
        self.asked: tuple[Ragged, bool] | None = None
        """The histories of the last call, and whether they are those of the chosen users."""

    def of(self, histories: Ragged, rows: np.ndarray) -> Tensor:
        """Return the vectors of the chosen rows of histories: [B, D]."""
        if self.part is None or not self._is_chosen(histories):
            return encoded(self.scorer, histories, rows)
        return self.part.vectors(self.rows[rows])

    @contextmanager
    def of_part(
        self,
        histories: Ragged,
        served: np.ndarray,
        block_users: int,
        rows: np.ndarray | None = None,
    ) -> Iterator[None]:
        """Remember the users of a part during the block.

        Args:
            histories: [N] as the model knows them.
            served: [N] bool, users who are encoded apart from the others.
            block_users: Users encoded together.
            rows: [M] rows of the users who are encoded together first, and others only if somebody
                asks for them, such as the counts of rules; None: all users.
        """
        asked = np.ones(len(served), dtype=bool)
        if rows is not None:
            asked[:] = False
            asked[rows] = True
        batches = [
            batch
            for chosen in (asked & served, asked & ~served, ~asked)
            for batch in rows_of_like_length(histories, np.flatnonzero(chosen), block_users)
        ]
        self.part = _Part(self.scorer, histories, batches)
        self.choose(None)
        try:
            yield
        finally:
            self.part = self.chosen = self.asked = None

    def choose(self, rows: np.ndarray | None) -> None:
        """Say whose lists are made from now on: [U] rows of the part; None: all of them."""
        if self.part is None:
            return
        whole, self.asked = self.part.histories, None
        self.chosen, self.rows = whole, np.arange(len(whole.lengths))
        if rows is not None and len(rows) < len(whole.lengths):
            self.chosen, self.rows = chosen_rows(whole, rows), rows

    def _is_chosen(self, histories: Ragged) -> bool:
        """Return whether histories are those of the chosen users, whichever object they are."""
        if self.asked is None or self.asked[0] is not histories:
            assert self.chosen is not None  # there is a part
            self.asked = histories, _are_equal(histories, self.chosen)
        return self.asked[1]


class _Part:
    """The users of a part, of whom each batch is encoded when it is needed first."""

    def __init__(self, scorer: ModelScorer, histories: Ragged, batches: list[np.ndarray]) -> None:
        self.scorer, self.histories, self.batches = scorer, histories, batches
        self.batch = np.zeros(len(histories.lengths), dtype=np.int64)  # [N]
        for number, rows in enumerate(batches):
            self.batch[rows] = number
        self.made: set[int] = set()
        self.all: Tensor | None = None
        """[N, D], zero where nobody asked yet."""

    def vectors(self, rows: np.ndarray) -> Tensor:
        """Return the vectors of rows of the part: [B, D]."""
        for number in np.unique(self.batch[rows]).tolist():
            if number not in self.made:
                self._encode(number)
        if self.all is None:
            return encoded(self.scorer, self.histories, rows)  # nobody is asked for
        return self.all[torch.from_numpy(rows).to(self.all.device)]

    def _encode(self, number: int) -> None:
        found = encoded(self.scorer, self.histories, self.batches[number])
        if self.all is None:
            self.all = found.new_zeros((len(self.batch), found.shape[1]))
        self.all[torch.from_numpy(self.batches[number]).to(found.device)] = found
        self.made.add(number)


def encoded(scorer: ModelScorer, histories: Ragged, rows: np.ndarray) -> Tensor:
    """Return the vectors of the chosen rows of histories: [B, D]."""
    with torch.no_grad():
        found = scorer.vectors(histories, rows)
    return found


def chosen_rows(histories: Ragged, rows: np.ndarray) -> Ragged:
    """Return the histories of the chosen rows, in their order."""
    return newest_events(histories, rows, int(histories.lengths.max(initial=0)))


def _are_equal(one: Ragged, other: Ragged) -> bool:
    beside, others = one.beside or {}, other.beside or {}
    return (
        np.array_equal(one.offsets, other.offsets)
        and np.array_equal(one.values, other.values)
        and beside.keys() == others.keys()
        and all(np.array_equal(values, others[name]) for name, values in beside.items())
    )
