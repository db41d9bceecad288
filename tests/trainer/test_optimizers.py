import math
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trainer.learner import Cursor, Learner
from trainer.optimizers import (
    RowwiseAdagrad,
    clip_gradients,
    make_optimizer,
    rate_scale,
    set_rates,
)

OPTIONS: dict[str, Any] = {
    "kind": "adamw",
    "learning_rate": 0.1,
    "weight_decay": 0.5,
    "decay_all": False,
    "betas": (0.9, 0.98),
    "momentum": 0.9,
    "embeddings": "same",
    "embedding_learning_rate": None,
}


class Tiny(nn.Module):
    def __init__(self, sparse: bool = False) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.table = nn.Embedding(5, 3, sparse=sparse)
        self.dense = nn.Linear(3, 1)
        self.norm = nn.LayerNorm(3)

    def loss(self, items: Tensor) -> Tensor:
        loss: Tensor = self.dense(self.norm(self.table(items))).square().sum()
        return loss


def test_rowwise_adagrad_takes_the_step_worked_out_by_hand() -> None:
    table = nn.Parameter(torch.zeros(2, 2))
    optimizer = RowwiseAdagrad([table], lr=1.0)
    for gradient in ([[3.0, 1.0], [0.0, 0.0]], [[1.0, 3.0], [0.0, 0.0]]):
        table.grad = torch.tensor(gradient)
        optimizer.step()

    # The means of squares are 5 and then 10.
    first, second = 1 / math.sqrt(5), 1 / math.sqrt(10)
    expected = torch.tensor([[-3 * first - second, -first - 3 * second], [0.0, 0.0]])
    torch.testing.assert_close(table.detach(), expected)


def test_sparse_gradients_take_the_steps_of_dense_ones() -> None:
    tables = []
    for sparse in (False, True):
        model = Tiny(sparse)
        optimizer = make_optimizer(model, **{**OPTIONS, "embeddings": "rowwise_adagrad"})
        for items in ([0, 2, 2], [2, 4, 0]):
            optimizer.zero_grad()
            model.loss(torch.tensor(items)).backward()
            assert model.table.weight.grad is not None
            assert model.table.weight.grad.is_sparse == sparse
            clip_gradients(model.parameters(), 0.1)
            optimizer.step()
        tables.append(model.state_dict())

    for name, tensor in tables[0].items():
        torch.testing.assert_close(tables[1][name], tensor)


@pytest.mark.parametrize("kind", ["adamw", "adam", "sgd", "adagrad"])
@pytest.mark.parametrize("embeddings", ["same", "rowwise_adagrad"])
def test_each_optimizer_lowers_the_loss_and_goes_on_from_its_state(
    kind: str, embeddings: str
) -> None:
    options = {**OPTIONS, "kind": kind, "embeddings": embeddings, "learning_rate": 0.01}
    model, items = Tiny(), torch.tensor([0, 1, 2, 3])
    optimizer = make_optimizer(model, **options)

    def step(model: Tiny, optimizer: torch.optim.Optimizer) -> float:
        optimizer.zero_grad()
        loss = model.loss(items)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    first = [step(model, optimizer) for _ in range(10)]
    copy = Tiny()
    copy.load_state_dict(model.state_dict())
    resumed = make_optimizer(copy, **options)
    resumed.load_state_dict(deepcopy(optimizer.state_dict()))

    assert step(model, optimizer) == step(copy, resumed) < first[0]
    assert step(model, optimizer) == step(copy, resumed)


def test_decay_is_for_dense_weights_unless_all_are_asked_for() -> None:
    model = Tiny()
    for decay_all in (False, True):
        optimizer = make_optimizer(model, **{**OPTIONS, "decay_all": decay_all})
        decayed = [
            parameter
            for group in optimizer.param_groups
            if group["weight_decay"]
            for parameter in group["params"]
        ]
        expected = [*model.parameters()] if decay_all else [model.dense.weight]
        assert {id(p) for p in decayed} == {id(p) for p in expected}


def test_gradients_are_clipped_to_a_norm_over_all_of_them() -> None:
    model = Tiny(sparse=True)
    model.loss(torch.tensor([1, 1, 3])).backward()

    clip_gradients(model.parameters(), 0.5)

    squares = 0.0
    for parameter in model.parameters():
        grad = parameter.grad
        assert grad is not None
        squares += float((grad.to_dense() if grad.is_sparse else grad).square().sum())
    assert math.sqrt(squares) == pytest.approx(0.5, rel=1e-4)


def test_rates_warm_up_and_decay_from_each_groups_own() -> None:
    scales = [rate_scale(step, total_steps=8, warmup_steps=2, decay="cosine") for step in (0, 2, 4)]
    assert scales == pytest.approx([0.5, 0.5 * (1 + math.cos(math.pi / 4)), 0.5])
    assert rate_scale(7, total_steps=8, warmup_steps=2, decay="none") == 1.0

    optimizer = make_optimizer(Tiny(), **{**OPTIONS, "embeddings": "rowwise_adagrad"})
    set_rates(optimizer, 0.5)
    assert {group["lr"] for group in optimizer.param_groups} == {0.05, 0.5}


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
