import math
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trainer.training.optimizers import (
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
