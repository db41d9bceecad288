"""The training of a chosen network anew, with what was held out."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from trainer.columns import Columns
from trainer.job import Job
from trainer.learner import Learner
from trainer.ranking_layout import field_columns
from trainer.refit import COLUMNS, histories_end, item_events, windows_of
from trainer.retrieval_task import RetrievalTask


class RefitTask(RetrievalTask):
    """See `trainer.task.Task`: the same on whole histories, a given number of epochs."""

    part: str = "histories"

    def __init__(self) -> None:
        self._known: dict[Path, np.ndarray] = {}

    def columns(self, job: Job) -> Sequence[str]:
        """Return what windows are cut from."""
        return (*COLUMNS, *field_columns(self.fields(job), job.manifest, self.part))

    def prepared(self, job: Job, columns: Columns) -> Columns:
        """Return the windows of the histories, up to the test part unless all is trained on."""
        cut = windows_of(columns, job.manifest, self._ends(job))
        return {name: cut[name] for name in super().columns(job)}

    def item_events(self, job: Job) -> Tensor:
        """Return how many events of what is trained on each item has: [V] int64."""
        return torch.from_numpy(item_events(job.dataset, job.manifest, self._ends(job)))

    def validate(self, job: Job, learner: Learner) -> None:
        """Measure nothing: all of it was trained on."""

    def _ends(self, job: Job) -> np.ndarray:
        if job.dataset not in self._known:
            ends = histories_end(job.dataset, job.manifest, job.config.train.refit)
            self._known = {job.dataset: ends}
        return self._known[job.dataset]
