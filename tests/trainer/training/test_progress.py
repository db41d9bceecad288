"""What a log shows of a training while it runs."""

import json
import logging
import threading
from pathlib import Path

import pytest

from trainer.training import progress
from trainer.training.progress import (
    MOST_QUIET_SECONDS,
    PROGRESS_NAME,
    EpochLog,
    ProgressWriter,
    QuietLog,
    shown_progress,
    signs_of_life,
    write_epochs,
)

RECORD = {"loss": 2.5, "rows": 100, "seconds": 2.0, "ndcg@10": 0.125}
ENDED = [{**RECORD, "epoch": number} for number in range(3)]


@pytest.fixture(autouse=True)
def _info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


def quiet_log(work: Path) -> QuietLog:
    made = QuietLog(work, EpochLog(work, "ndcg@10"), epochs=3, rows_in_epoch=200)
    made.started_at = made.logged_at = 0.0
    return made


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the lines since the last call."""
    found = [record.getMessage() for record in caplog.records]
    caplog.clear()
    return found


def test_epochs_are_logged_when_they_end_and_silence_is_broken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = quiet_log(tmp_path)
    log.poll(MOST_QUIET_SECONDS - 1)
    assert lines(caplog) == []
    log.poll(MOST_QUIET_SECONDS)
    assert lines(caplog) == ["train: waiting for the workers to start (25 s)"]
    ProgressWriter(tmp_path / PROGRESS_NAME, first_rank=True).write(epoch=0, loss=3.5, rows=50)
    log.poll(40.0)
    assert lines(caplog) == []
    log.poll(51.0)
    assert lines(caplog) == ["train: epoch 0, 25% of its rows, loss 3.5000 (51 s)"]
    write_epochs(tmp_path, ENDED[:1])
    log.poll(52.0)
    assert lines(caplog) == ["train: epoch 0: loss 2.5000, ndcg@10 0.1250, 50 rows/s"]
    log.poll(53.0)
    assert lines(caplog) == []
    log.poll(80.0)
    assert lines(caplog) == ["train: starting epoch 1 (80 s)"]
    write_epochs(tmp_path, ENDED)
    log.poll(81.0)
    assert [line.split(":")[1] for line in lines(caplog)] == [" epoch 1", " epoch 2"]
    log.poll(110.0)
    assert lines(caplog) == ["train: the last epoch has ended (110 s)"]


def test_each_epoch_of_an_interrupted_run_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_epochs(tmp_path, ENDED[:1])
    quiet_log(tmp_path).poll(1.0)
    assert len(lines(caplog)) == 1
    write_epochs(tmp_path, ENDED[:2])  # and killed before the next look
    (tmp_path / PROGRESS_NAME).write_text('{"epoch": 1, "loss": 1, "rows": 2}')
    with shown_progress(tmp_path, epochs=3, rows_in_epoch=200, metric="ndcg@10") as epoch_log:
        assert not (tmp_path / PROGRESS_NAME).exists()
    epoch_log.write(ENDED)
    epoch_log.write(ENDED)
    assert [line.split(":")[1] for line in lines(caplog)] == [" epoch 1", " epoch 2"]


def test_the_first_rank_writes_at_once_and_then_now_and_then(tmp_path: Path) -> None:
    path = tmp_path / PROGRESS_NAME
    ProgressWriter(path, first_rank=False).write(epoch=0, loss=1.0, rows=1)
    assert not path.exists()
    writer = ProgressWriter(path, first_rank=True)
    for rows in range(1, 100):
        writer.write(epoch=0, loss=1.0, rows=rows)
    assert json.loads(path.read_text())["rows"] < 99
    writer.written_at -= progress.POLL_SECONDS
    writer.write(epoch=0, loss=1.0, rows=99)
    assert json.loads(path.read_text())["rows"] == 99


def test_a_step_that_logs_nothing_gets_signs_of_life(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = threading.Event()

    class Watching(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "train: still working" in record.getMessage():
                seen.set()

    monkeypatch.setattr(progress, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(progress, "MOST_QUIET_SECONDS", 0.05)
    watching = Watching()
    progress.log.addHandler(watching)
    with signs_of_life("train"):
        assert seen.wait(60)
    progress.log.removeHandler(watching)
    assert [type(h).__name__ for h in logging.getLogger().handlers].count("_LastLine") == 0


def test_an_epoch_without_a_figure_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    EpochLog(tmp_path, "auc").write([{**RECORD, "epoch": 0, "auc": None}])

    assert lines(caplog) == ["train: epoch 0: loss 2.5000, auc -, 50 rows/s"]
