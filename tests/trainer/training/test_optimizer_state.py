import pytest
import torch
from torch import nn
from torch.optim import Optimizer

from trainer.training.optimizers import grown, load_named_state, make_optimizer, named_state

KINDS = [("adamw", "same"), ("adam", "same"), ("sgd", "same"), ("adagrad", "same"),
         ("adamw", "rowwise_adagrad")]  # fmt: skip


class Small(nn.Module):
    def __init__(self, rows: int = 5) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.item_embedding = nn.Embedding(rows, 3)
        self.norm = nn.LayerNorm(3)
        self.dense = nn.Linear(3, 1)


def made(model: nn.Module, kind: str, embeddings: str) -> Optimizer:
    return make_optimizer(
        model, kind=kind, learning_rate=0.01, weight_decay=0.1, decay_all=False,
        betas=(0.9, 0.98), momentum=0.9, embeddings=embeddings, embedding_learning_rate=None,
    )  # fmt: skip


def steps(model: Small, optimizer: Optimizer, numbers: range) -> None:
    for number in numbers:
        rows = torch.tensor([number % 5, (number + 1) % 5])
        loss = (model.dense(model.norm(model.item_embedding(rows))) - number).square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@pytest.mark.parametrize(("kind", "embeddings"), KINDS)
def test_steps_go_on_as_if_they_had_never_stopped(kind: str, embeddings: str) -> None:
    whole = Small()
    steps(whole, optimizer := made(whole, kind, embeddings), range(6))
    first = Small()
    steps(first, optimizer := made(first, kind, embeddings), range(3))
    state = named_state(first, optimizer)

    second = Small()
    second.load_state_dict(first.state_dict())
    again = made(second, kind, embeddings)
    load_named_state(second, again, state)
    steps(second, again, range(3, 6))

    for name, weight in whole.state_dict().items():
        torch.testing.assert_close(second.state_dict()[name], weight, rtol=0, atol=0)
    assert {path.rpartition("/")[0] for path in state} == {n for n, _ in first.named_parameters()}
    assert [group["lr"] for group in again.param_groups] == [
        group["lr"] for group in optimizer.param_groups
    ]


def test_new_rows_have_no_state_and_numbers_stay() -> None:
    table = torch.ones(5, 3)

    assert grown(table, 5, 7).tolist() == [[1.0] * 3] * 5 + [[0.0] * 3] * 2
    assert grown(torch.ones(5), 5, 6).tolist() == [1.0] * 5 + [0.0]
    assert grown(torch.tensor(4.0), 5, 6).tolist() == 4.0
