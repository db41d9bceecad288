"""Bars in the training loop, and the figure of a metric that is better where it is lower."""

from dataclasses import replace
from pathlib import Path

import torch

from tests.trainer.impression_log import config_for, job_of, write_impressions
from trainer.choosing.trial import _best_so_far
from trainer.training.learner import Cursor
from trainer.training.loop import _finish_epoch, train_epoch

NEVER, EVER = -1e9, 0.0


def test_a_training_below_its_bar_ends_at_that_epoch(tmp_path: Path) -> None:
    """A log loss has its sign turned: 0 is a bar that nothing comes to."""
    torch.set_num_threads(1)
    config = config_for(tmp_path, {}, metric="log_loss", epochs=3)
    folder = tmp_path / "datasets/impressions"
    manifest = write_impressions(folder, config)
    ends = {}
    for name, bars in {"none": (), "low": (NEVER, None, NEVER), "second": (None, EVER),
                       "last": (None, None, EVER)}.items():  # fmt: skip
        job = replace(job_of(config, manifest, folder, tmp_path / name), bars=bars)
        learner, cursor = job.task.learner(job), Cursor()
        while not cursor.finished:
            train_epoch(job, learner, cursor)
            _finish_epoch(job, learner, cursor)
        ends[name] = (len(cursor.curve), cursor.pruned)
        curve = _best_so_far(config, vars(cursor))
        assert curve[-1] == cursor.best_figure < 0 and list(curve) == sorted(curve)

    assert ends == {"none": (3, False), "low": (3, False), "second": (2, True), "last": (3, False)}
