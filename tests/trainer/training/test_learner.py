"""The state of a training: moving means of weights, and what batch norms have seen."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing
from torch import nn

from tests.trainer.training.test_optimizers import OPTIONS, Tiny
from trainer.training.job import even_out_norms
from trainer.training.learner import Cursor, Learner
from trainer.training.optimizers import make_optimizer


def test_the_mean_of_the_weights_is_validated_and_kept_beside_them() -> None:
    model = Tiny()
    learner = Learner(model, model, make_optimizer(model, **OPTIONS), best={})
    learner.update_mean(0.75)
    start = model.dense.bias.detach().clone()
    with torch.no_grad():
        model.dense.bias += 4.0
    learner.update_mean(0.75)

    followed = start + 4.0 * 9 / 11  # the second step leaves 2 / 11 of the mean
    with learner.mean_weights():
        torch.testing.assert_close(model.dense.bias.detach(), followed)
        learner.keep_best()
    torch.testing.assert_close(model.dense.bias.detach(), start + 4.0)
    torch.testing.assert_close(learner.best["dense.bias"], followed)

    state, other = learner.state(Cursor()), Tiny()
    resumed = Learner(other, other, make_optimizer(other, **OPTIONS), best={})
    resumed.load(state)
    assert resumed.mean is not None
    torch.testing.assert_close(resumed.mean["dense.bias"], followed)
    assert resumed.mean_steps == 2

    older = {name: part for name, part in state.items() if name != "mean_steps"}
    resumed.load(older)
    assert resumed.mean is None and resumed.mean_steps == 0

    for _ in range(30):  # 27 / 36 are 0.75: from then on the decay is what was asked for
        learner.update_mean(0.75)
    before = learner.mean["dense.bias"].clone() if learner.mean is not None else start
    with torch.no_grad():
        model.dense.bias += 4.0
    learner.update_mean(0.75)
    assert learner.mean is not None
    torch.testing.assert_close(
        learner.mean["dense.bias"], before.lerp(model.dense.bias.detach(), 0.25)
    )


def test_the_mean_is_also_of_what_batch_norms_have_seen() -> None:
    """Of weights that stand still the mean is they, and so are its activations' mean and variance.

    With the norms of the last step alone, the mean would be measured with those of other weights.
    """
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    learner = Learner(model, model, torch.optim.SGD(model.parameters(), lr=0.1), best={})
    norm = model[1]
    assert isinstance(norm, nn.BatchNorm1d) and norm.running_mean is not None
    learner.update_mean(0.9)
    norm.running_mean += 11.0
    learner.update_mean(0.9)

    with learner.mean_weights():
        torch.testing.assert_close(norm.running_mean, torch.full((3,), 9.0))
    torch.testing.assert_close(norm.running_mean, torch.full((3,), 11.0))


def test_ranks_have_one_mean_of_what_their_norms_have_seen(tmp_path: Path) -> None:
    """So that a checkpoint, which the first one writes, holds what all of them go on with."""
    torch.multiprocessing.spawn(_even_out, (tmp_path,), nprocs=2)  # type: ignore[no-untyped-call]

    for rank in range(2):
        seen = torch.load(tmp_path / f"rank-{rank}.pt")
        # Ranks have seen 10 and 20, and their moving means follow by 9 of 11 parts, see above.
        torch.testing.assert_close(seen["own"], torch.full((3,), 15.0))
        torch.testing.assert_close(seen["mean"], torch.full((3,), 15.0 * 9 / 11))


def _even_out(rank: int, folder: Path) -> None:
    dist.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=2)
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    learner = Learner(model, model, torch.optim.SGD(model.parameters(), lr=0.1), best={})
    norm: Any = model[1]
    learner.update_mean(0.9)
    norm.running_mean += 10.0 * (rank + 1)
    learner.update_mean(0.9)
    job: Any = SimpleNamespace(world_size=2)
    even_out_norms(job, learner)
    assert learner.mean is not None
    seen = {"own": norm.running_mean, "mean": learner.mean["1.running_mean"]}
    torch.save(seen, folder / f"rank-{rank}.pt")
    dist.destroy_process_group()
