"""What a kind of model has to say to the training loop: its data, its loss, its figure."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from trainer.columns import Columns
from trainer.inputs import moved
from trainer.job import Job
from trainer.learner import Cursor, Learner
from trainer.plan import Round


class Batch(Protocol):
    """Tensors of one step, a NamedTuple whose fields are moved to the device one by one."""

    def __iter__(self) -> Iterator[Any]: ...

    @property
    def weight(self) -> Tensor:
        """Return the sum of the weights of all targets: a scalar."""

    @property
    def num_rows(self) -> int:
        """Return how many rows of the training part these are."""

    @property
    def num_cells(self) -> int:
        """Return the positions that are worked out, padding included."""

    @property
    def num_padding(self) -> int:
        """Return those of them that hold nothing."""


class Task(Protocol):
    """One kind of model."""

    part: str
    """Part of the dataset that it is trained on, each row once an epoch."""

    def columns(self, job: Job) -> Sequence[str]:
        """Return the columns of that part that are read."""

    def prepared(self, job: Job, columns: Columns) -> Columns:
        """Return what is trained on of the rows of a round."""

    def num_rows(self, columns: Columns) -> int:
        """Return how many rows these are once they are prepared."""

    def learner(self, job: Job) -> Learner:
        """Return model, loss and optimiser, initialised from the run's seed alone."""

    def batches(self, job: Job, cursor: Cursor, part: Round, columns: Columns) -> Iterator[Batch]:
        """Yield this rank's rows of a round as `part.steps` batches."""

    def empty_batch(self, job: Job) -> Batch:
        """Return a batch without rows, for a rank that has none left."""

    def validate(self, job: Job, learner: Learner) -> float | None:
        """Return the validation figure over all ranks, higher is better.

        None says that nothing is held out: the newest weights are the best.
        """


def to_device(batch: Batch, device: torch.device) -> Batch:
    """Return the batch with its tensors on the device."""
    there: Batch = type(batch)(*(moved(tensor, device) for tensor in batch))
    return there
