"""Score without Ray, in tests whose subject is the lists and not the workers."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import pytest
import torch
from ray import cloudpickle

from serving import score
from serving.scoring.pool import Shown, Worker
from serving.scoring.worker import ScoringJob


@contextmanager
def scoring_here() -> Iterator[None]:
    """Score in this process for the block; in each folder other tests score on Ray's workers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(score, "score_parts", score_here)
        patch.setattr(score, "ray_session", lambda config: nullcontext())
        yield


def score_here(worker: type[Worker], job: ScoringJob, parts: list[int], progress: Shown) -> int:
    """Do what one worker of Ray does, with a copy of the job, as Ray sends one."""
    threads, num_kept = torch.get_num_threads(), 0
    try:
        one = worker(cloudpickle.loads(cloudpickle.dumps(job)))
        for part in parts:
            found = one.score(part)
            progress.add(found.rows)
            num_kept += found.kept
    finally:
        torch.set_num_threads(threads)
    return num_kept
