"""Score the parts of a run on Ray's workers, and show how far it is."""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import ray
from ray.exceptions import RayActorError, RayTaskError
from ray.util import ActorPool
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from conf.errors import ConfigError, HeadraceError
from conf.settings.score import Score
from serving.scoring.worker import Scored, ScoringJob

log = logging.getLogger(__name__)
MAX_WORKER_DEATHS = 3
"""How many deaths of one worker, and retries of one part, a run survives."""
LOG_EVERY_SECONDS = 30


class Shown(Protocol):
    """What shows how far a run is."""

    def add(self, count: int) -> None:
        """Count users or items whose lists have been written."""


class Worker(Protocol):
    """Scores one part after another."""

    def __init__(self, job: ScoringJob) -> None: ...

    def score(self, part: int) -> Scored:
        """Write a part."""


def score_parts(worker: type[Worker], job: ScoringJob, parts: list[int], progress: Shown) -> int:
    """Score the parts on workers; each takes the next part when it has finished one.

    Returns the number of lists that are those of an earlier version.

    Ray restarts a worker that died and repeats its part, up to `MAX_WORKER_DEATHS` times.
    """
    actor = ray.remote(worker).options(
        num_cpus=job.score.cpus_per_worker,
        num_gpus=job.score.gpus_per_worker,
        max_restarts=MAX_WORKER_DEATHS,
        max_task_retries=MAX_WORKER_DEATHS,
    )
    actors: list[Any] = [actor.remote(job) for _ in range(_num_workers(job.score, len(parts)))]
    pool, num_kept = ActorPool(actors), 0
    try:
        for found in pool.map_unordered(lambda actor, part: actor.score.remote(part), parts):
            progress.add(found.rows)
            num_kept += found.kept
    except RayTaskError as error:
        if isinstance(error.cause, HeadraceError):
            raise error.cause from error
        raise
    except RayActorError as error:
        raise HeadraceError(
            f"a scoring worker died {MAX_WORKER_DEATHS + 1} times; the usual cause is too little "
            "memory: lower score.block_users, score.block_items or score.workers. Finished parts "
            f"are kept for the next run. Ray says: {error}"
        ) from error
    finally:
        for one in actors:
            ray.kill(one)  # the next workers need the room
    return num_kept


def _num_workers(score: Score, num_parts: int) -> int:
    """Return how many workers have a part and resources: more would wait forever."""
    asked_for = {"CPU": score.cpus_per_worker, "GPU": score.gpus_per_worker}
    has = ray.cluster_resources()  # type: ignore[no-untyped-call]
    room = min(int(has.get(name, 0) // count) for name, count in asked_for.items() if count)
    if room == 0:
        raise ConfigError(
            f"score.cpus_per_worker={score.cpus_per_worker} and score.gpus_per_worker="
            f"{score.gpus_per_worker} ask for more than Ray has (CPU {has.get('CPU', 0):.0f}, GPU "
            f"{has.get('GPU', 0):.0f}); lower them or raise ray.num_cpus"
        )
    if room < score.workers:
        log.warning(
            "score: score.workers=%d, but Ray has resources for only %d, which are used",
            score.workers,
            room,
        )
    return min(score.workers, room, num_parts)


class _Log:
    """Progress in the log: a line every `LOG_EVERY_SECONDS`, and one at the end."""

    def __init__(self, total: int, what: str) -> None:
        self.total, self.what, self.done = total, what, 0
        self.started = self.shown = time.monotonic()

    def add(self, count: int) -> None:
        self.done += count
        now = time.monotonic()
        if self.done == self.total or now - self.shown >= LOG_EVERY_SECONDS:
            self.shown = now
            log.info(
                "score: %d of %d %s, %.0f %s/s",
                self.done,
                self.total,
                self.what,
                self.done / max(now - self.started, 1e-9),
                self.what,
            )


class _Bar(_Log):
    """Progress in a terminal: a bar in addition to the log lines."""

    def __init__(self, total: int, what: str, bar: Progress) -> None:
        super().__init__(total, what)
        self.bar = bar
        self.task = bar.add_task("", total=total, rate=0.0)

    def add(self, count: int) -> None:
        rate = (self.done + count) / max(time.monotonic() - self.started, 1e-9)
        self.bar.update(self.task, advance=count, rate=rate)
        super().add(count)


@contextmanager
def shown_progress(total: int, what: str) -> Iterator[Shown]:
    """Show how many of `total` users or items are done: in a terminal by a bar, else in the log."""
    if not sys.stderr.isatty():
        yield _Log(total, what)
        return
    with Progress(
        TextColumn("scoring"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f} " + what),
        TextColumn("{task.fields[rate]:,.0f} " + what + "/s"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        yield _Bar(total, what, bar)
