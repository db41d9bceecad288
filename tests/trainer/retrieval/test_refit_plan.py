"""A refit of a network takes steps of `train.batch_rows` windows, as the first training did."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.trainer.deliveries import configured, job_of
from tests.trainer.small_parts import write_dataset
from trainer.retrieval.task import RefitTask
from trainer.training.job import Refit
from trainer.training.learner import Cursor
from trainer.training.loop import _finish_epoch, _plan, train_epoch

ROWS = [[2 + (user + step) % 12 for step in range(120)] for user in range(8)]


@pytest.mark.parametrize(("kept", "windows"), [("all", 3), ("last", 1)])
def test_steps_are_planned_from_windows_not_from_users(
    tmp_path: Path, kept: str, windows: int
) -> None:
    manifest = write_dataset(tmp_path, ROWS, [3] * 8, [4] * 8, items=12)
    manifest.config["etl"]["windows"] = kept
    config = configured(tmp_path, "train.refit=everything", "train.batch_rows=4",
                        "train.optimizer.decay=cosine")  # fmt: skip
    job = replace(job_of(config, manifest, tmp_path / "work"), task=RefitTask(),
                  refit=Refit(epochs=1, rate_scales=(1.0,)))  # fmt: skip
    learner, cursor = job.task.learner(job), Cursor()

    # 122 events are 121 targets: three windows of up to 50.
    assert sum(part.steps for part in _plan(job, cursor)) == 8 * windows / 4
    train_epoch(job, learner, cursor)
    assert cursor.step == 8 * windows / 4
    _finish_epoch(job, learner, cursor)
    assert cursor.curve[0]["rows"] == 8 * windows
