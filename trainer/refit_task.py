"""The training of a chosen network anew, with what was held out."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from conf.contract import HISTORY_ITEMS, catalogue_size
from trainer.columns import Columns, lists_of
from trainer.job import Job, Learner
from trainer.ranking_layout import field_columns
from trainer.refit import COLUMNS, cut_windows, histories_end
from trainer.retrieval_task import RetrievalTask
from trainer.stream import read_row_groups


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
        etl = job.manifest.config["etl"]
        cut = cut_windows(
            columns,
            window_length=etl["window_length"],
            weights=[etl["event_types"][name]["weight"] for name in job.manifest.event_types],
            most=self._ends(job),
        )
        return {name: cut[name] for name in super().columns(job)}

    def item_events(self, job: Job) -> Tensor:
        """Return how often each item occurs in the windows, twice where two of them share it."""
        events = np.zeros(catalogue_size(job.manifest), dtype=np.int64)
        for _, columns in read_row_groups(job.dataset, job.train_groups, self.columns(job)):
            items = lists_of(self.prepared(job, columns), HISTORY_ITEMS).values
            events += np.bincount(items, minlength=len(events))
        return torch.from_numpy(events)

    def validate(self, job: Job, learner: Learner) -> None:
        """Measure nothing: all of it was trained on."""

    def _ends(self, job: Job) -> np.ndarray:
        if job.dataset not in self._known:
            ends = histories_end(job.dataset, job.manifest, job.config.train.refit)
            self._known = {job.dataset: ends}
        return self._known[job.dataset]
