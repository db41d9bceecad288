"""What a log shows of a training while it runs."""

import json
import logging
import time
from pathlib import Path

import pytest

from trainer.training import progress
from trainer.training.progress import PROGRESS_NAME, ProgressWriter, shown_progress, write_epochs

RECORD = {"loss": 2.5, "rows": 100, "seconds": 2.0, "ndcg@10": 0.125}


def wait_for(caplog: pytest.LogCaptureFixture, text: str) -> None:
    end = time.monotonic() + 20
    while text not in caplog.text:
        assert time.monotonic() < end, caplog.text
        time.sleep(0.01)


def test_epochs_are_logged_when_they_end_and_silence_is_broken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(progress, "MOST_QUIET_SECONDS", 0.05)
    caplog.set_level(logging.INFO)
    with shown_progress(tmp_path, epochs=3, rows_in_epoch=200, metric="ndcg@10"):
        wait_for(caplog, "train: waiting for the workers to start")
        writer = ProgressWriter(tmp_path / PROGRESS_NAME, first_rank=True)
        writer.written_at = 0
        writer.write(epoch=0, loss=3.5, rows=50)
        wait_for(caplog, "train: epoch 0, 25% of its rows, loss 3.5000")
        write_epochs(tmp_path, [{**RECORD, "epoch": 0}])
        wait_for(caplog, "train: epoch 0: loss 2.5000, ndcg@10 0.1250, 50 rows/s")
        wait_for(caplog, "train: starting epoch 1")
    assert caplog.text.count("epoch 0: loss") == 1


def test_epochs_that_end_with_the_run_are_logged_too_and_earlier_ones_are_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    write_epochs(tmp_path, [{**RECORD, "epoch": 0}])
    with shown_progress(tmp_path, epochs=3, rows_in_epoch=200, metric="ndcg@10"):
        write_epochs(tmp_path, [{**RECORD, "epoch": n} for n in range(3)])
    assert "epoch 0:" not in caplog.text
    assert caplog.text.count("epoch 1: loss") == caplog.text.count("epoch 2: loss") == 1


def test_only_the_first_rank_writes(tmp_path: Path) -> None:
    for first_rank in (False, True):
        writer = ProgressWriter(tmp_path / PROGRESS_NAME, first_rank=first_rank)
        writer.write(epoch=0, loss=1.0, rows=1)  # too soon after the start
        assert not (tmp_path / PROGRESS_NAME).exists()
        writer.written_at = 0
        writer.write(epoch=0, loss=1.0, rows=1)
        assert (tmp_path / PROGRESS_NAME).exists() == first_rank
    assert json.loads((tmp_path / PROGRESS_NAME).read_text())["rows"] == 1
