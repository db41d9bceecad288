"""Runs that are interrupted while they keep lists, or after they found that they cannot."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from conf.runs.stages import run_score
from serving import score
from serving.publishing.parts import part_name, write_part
from serving.scoring.pool import Shown, Worker
from serving.scoring.worker import ScoringJob
from tests.serving.carrying.changed_lists import (
    change_lists,
    files_of,
    full_run,
    other_scores,
)
from tests.serving.carrying.two_days import (
    NEW_GROUP,
    NEW_USERS,
    USERS,
    first_day,
    second_day,
)
from tests.serving.scoring_here import score_here

pytestmark = pytest.mark.usefixtures("scored_here")


class Stopped(BaseException):
    """A run is interrupted."""


class Runs:
    """The jobs and parts of the runs of a test, in which the test may step in."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.jobs: list[ScoringJob] = []
        self.parts: list[list[int]] = []
        self.most_parts: Callable[[ScoringJob], int] = lambda job: 99
        """How many parts are scored before the run is interrupted."""
        self.after: Callable[[], None] = lambda: None
        patch.setattr(score, "score_parts", self)

    def __call__(
        self, worker: type[Worker], job: ScoringJob, parts: list[int], progress: Shown
    ) -> int:
        self.jobs.append(job)
        self.parts.append(parts)
        num_kept = score_here(worker, job, parts[: self.most_parts(job)], progress)
        if len(parts) > self.most_parts(job):
            raise Stopped
        self.after()
        return num_kept


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Runs:
    return Runs(monkeypatch)


def test_once_lists_cannot_be_kept_neither_a_later_run_nor_a_late_worker_keeps_any(
    tmp_path: Path, runs: Runs
) -> None:
    shop = first_day(tmp_path / "shop")
    first = run_score(shop.config())
    change_lists(
        shop.workspace, first["id"], other_scores, parts=[0]
    )  # users of the new part 0 alone
    second_day(shop)
    full = full_run(shop)
    runs.jobs.clear()
    runs.most_parts = lambda job: 99 if job.base else 2
    with pytest.raises(Stopped):
        run_score(shop.config())
    with_base, without = runs.jobs
    assert with_base.base is not None and without.base is None

    def end_late() -> None:
        """End a part as a worker of the first attempt does."""
        path, others = with_base.folder / part_name(3), pq.read_table(full / part_name(3))[8:]
        users = USERS + NEW_USERS - 3 * NEW_GROUP
        with suppress(FileNotFoundError):
            write_part(path, others, request=with_base.request, num_users=users)

    end_late()
    runs.most_parts, runs.after = lambda job: 99, end_late
    made = run_score(shop.config())
    assert runs.jobs[-1].base is None and runs.parts[-1] == [2, 3]
    assert files_of(Path(made["folder"])) == files_of(full)


def test_an_interrupted_run_goes_on_with_the_lists_that_it_kept(tmp_path: Path, runs: Runs) -> None:
    shop = first_day(tmp_path / "shop")
    run_score(shop.config())
    second_day(shop)
    full = full_run(shop)
    lists = shop.workspace / "lists"
    left = lists / ".work-0123456789ab"  # of a run of another day
    left.mkdir()
    runs.most_parts = lambda job: 1
    with pytest.raises(Stopped):
        run_score(shop.config())
    assert not (lists / full.name).exists()
    runs.most_parts = lambda job: 99
    made = run_score(shop.config())
    assert runs.jobs[-1].base is not None and runs.parts[-1] == [1, 2, 3]
    assert files_of(Path(made["folder"])) == files_of(full)
    assert not [*lists.glob(".*")]
