"""Score without Ray, in tests whose subject is the lists and not the workers."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import pytest
import torch
from ray import cloudpickle

from conf.errors import HeadraceError
from conf.workspace.folders import current_umask
from serving import score
from serving.scoring.pool import Shown, Worker
from serving.scoring.worker import ScoringJob


@contextmanager
def scoring_here() -> Iterator[None]:
    """Score in this process for the block; other tests of most folders score on Ray's workers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(score, "score_parts", score_here)
        patch.setattr(score, "ray_session", lambda config: nullcontext())
        yield


def score_here(worker: type[Worker], job: ScoringJob, parts: list[int], progress: Shown) -> int:
    """Do what one worker of Ray does; jobs, results and errors are copied as Ray sends them."""
    threads, umask, num_kept = torch.get_num_threads(), current_umask(), 0
    try:
        one = worker(cloudpickle.loads(cloudpickle.dumps(job)))
        for part in parts:
            found = cloudpickle.loads(cloudpickle.dumps(one.score(part)))
            progress.add(found.rows)
            num_kept += found.kept
    except HeadraceError as error:
        raise cloudpickle.loads(cloudpickle.dumps(error)) from error
    finally:
        torch.set_num_threads(threads)
        os.umask(umask)
    return num_kept
