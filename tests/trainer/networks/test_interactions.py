import itertools

import numpy as np
import pytest
import torch
from torch import nn

from trainer.networks.interactions import (
    BODIES,
    CrossDeep,
    DotProducts,
    Shape,
    TwoStreams,
    pairwise_sum,
)
from trainer.networks.ranking import ExpertGates, TargetAttention, mean_of_history

SHAPE = Shape(
    num_fields=4, dense_places=(2,), width=3, num_labels=2, hidden=(6, 4), second_hidden=(),
    dropout=0.0, batch_norm=False, cross_layers=2, heads=2, gate_width=5,
)  # fmt: skip


def drawn(module: nn.Module) -> nn.Module:
    torch.manual_seed(3)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    return module.eval()


def numbers(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def test_pairwise_sum_is_that_of_all_pairs() -> None:
    fields = numbers(5, 4, 3)
    pairs = itertools.combinations(range(4), 2)
    expected = sum((fields[:, i] * fields[:, j]).sum(1) for i, j in pairs)
    torch.testing.assert_close(pairwise_sum(fields), expected)


def test_a_cross_layer_multiplies_with_the_first_input() -> None:
    body = drawn(CrossDeep(SHAPE))
    fields = numbers(5, 4, 3)
    start = hidden = fields.reshape(5, 12).numpy()
    for layer in body.cross:
        weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
        hidden = start * (hidden @ weight.T + bias) + hidden
    crossed = body(fields).representation[:, :12].detach().numpy()
    np.testing.assert_allclose(crossed, hidden, rtol=1e-5, atol=1e-5)


def test_one_cross_layer_by_hand() -> None:
    body = CrossDeep(SHAPE._replace(num_fields=2, dense_places=(), width=1, cross_layers=1))
    with torch.no_grad():
        body.cross[0].weight.copy_(torch.tensor([[1.0, 2.0], [0.0, 1.0]]))
        body.cross[0].bias.copy_(torch.tensor([0.5, 0.0]))
    # x = (2, 3): W x + b = (8.5, 3); x * that + x = (19, 12).
    crossed = body(torch.tensor([[[2.0], [3.0]]])).representation[0, :2]
    assert crossed.tolist() == [19.0, 12.0]


def test_dot_products_are_of_all_pairs_with_numbers_as_one_field() -> None:
    body = drawn(DotProducts(SHAPE))
    fields = numbers(5, 4, 3)
    dense = body.bottom(fields[:, 2])
    three = [fields[:, 0], fields[:, 1], fields[:, 3], dense]
    pairs = [(a * b).sum(1, keepdim=True) for a, b in itertools.combinations(three, 2)]
    expected = body.top(torch.cat([dense, *pairs], dim=1))
    torch.testing.assert_close(body(fields).representation, expected)


def test_two_streams_multiply_their_parts_head_by_head() -> None:
    body = drawn(TwoStreams(SHAPE)).requires_grad_(False)
    fields = numbers(5, 4, 3)
    flat = fields.flatten(1)
    one = body.first(flat * 2 * torch.sigmoid(body.user_gate(fields[:, 0])))
    two = body.second(flat * 2 * torch.sigmoid(body.item_gate(fields[:, 1])))
    crossed = body(fields)
    torch.testing.assert_close(crossed.representation, torch.cat([one, two], dim=1))
    for row, label in itertools.product(range(5), range(2)):
        expected = sum(
            float(
                one[row, 2 * h : 2 * h + 2] @ body.products[label, h] @ two[row, 2 * h : 2 * h + 2]
            )
            for h in range(2)
        )
        assert float(crossed.direct[row, label]) == pytest.approx(expected, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize("batch_norm", [False, True])
def test_a_body_says_what_it_gives_and_takes_a_lone_row(kind: str, batch_norm: bool) -> None:
    body = BODIES[kind](SHAPE._replace(batch_norm=batch_norm)).train()
    for rows in (1, 5):
        crossed = body(numbers(rows, 4, 3))
        assert crossed.representation.shape == (rows, body.out_width)
        assert crossed.direct.shape == (rows, 2)
        assert bool(torch.isfinite(crossed.representation).all())


def test_the_shares_of_experts_sum_to_one_and_mix_them() -> None:
    gates = drawn(ExpertGates(num_labels=2, experts=3, inputs=12))
    fields = numbers(5, 4, 3)
    bodies = [drawn(BODIES["deepfm"](SHAPE)) for _ in range(3)]
    with torch.no_grad():
        bodies[1].deep.layers[0].weight += 1
    crossed = [body(fields) for body in bodies]
    shares = gates.shares(fields.flatten(1))
    torch.testing.assert_close(shares.sum(2), torch.ones(5, 2))
    assert float((shares[:, 0] - shares[:, 1]).abs().max().detach()) > 0.01
    mixed = gates(crossed, fields.flatten(1))
    expected = sum(shares[3, 1, e] * crossed[e].representation[3] for e in range(3))
    torch.testing.assert_close(mixed.representation[3, 1], expected)
    expected = sum(shares[3, 1, e] * crossed[e].direct[3, 1] for e in range(3))
    torch.testing.assert_close(mixed.direct[3, 1], expected)


def test_target_attention_takes_no_notice_of_padding() -> None:
    attention = drawn(TargetAttention(inputs=4, inner_width=6))
    events, candidate = numbers(2, 5, 4), numbers(2, 4) + 1
    is_there = torch.tensor([[True, True, True, False, False], [True] * 5])
    weights = attention.weights(events, candidate, is_there)
    assert weights[0, 3:].tolist() == [0, 0] and bool((weights[0, :3] != 0).all())
    other = events.clone()
    other[0, 3:] = 99.0
    both = [attention(one, candidate, is_there) for one in (events, other)]
    torch.testing.assert_close(both[0], both[1])
    short = attention(events[:1, :3], candidate[:1], is_there[:1, :3])
    torch.testing.assert_close(both[0][:1], short)


def test_target_attention_depends_on_the_candidate() -> None:
    attention = drawn(TargetAttention(inputs=4, inner_width=6))
    events, is_there = numbers(1, 3, 4), torch.ones(1, 3, dtype=torch.bool)
    one = attention.weights(events, numbers(1, 4), is_there)
    two = attention.weights(events, numbers(1, 4) + 2, is_there)
    assert float((one - two).abs().min().detach()) > 1e-3


def test_the_mean_of_a_history_is_of_what_is_there() -> None:
    events = torch.tensor([[[1.0], [3.0], [50.0]], [[7.0], [7.0], [7.0]]])
    is_there = torch.tensor([[True, True, False], [False, False, False]])
    assert mean_of_history(events, is_there).tolist() == [[2.0], [0.0]]
