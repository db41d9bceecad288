import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from conf.contract import NUM_RESERVED
from tests.trainer.small_model import SMALL
from trainer.models.bundle import build_model
from trainer.networks import losses
from trainer.networks.inputs import TrainBatch
from trainer.networks.losses import (
    bayesian_ranking,
    binary_cross_entropy,
    cross_entropy,
    draw_negatives,
    gbce_exponent,
    sampled_softmax,
)
from trainer.networks.objective import TrainingObjective, item_sampling
from trainer.networks.retrieval import Targets


@pytest.fixture
def case() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    torch.manual_seed(3)
    hidden = torch.randn(37, 8, dtype=torch.float64, requires_grad=True)
    items = torch.randn(53, 8, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(NUM_RESERVED, 53, (37,))
    return hidden, items, targets, torch.rand(37, dtype=torch.float64)


def plain_cross_entropy(hidden: Tensor, items: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    logits = (hidden @ items.T)[:, NUM_RESERVED:]
    return (F.cross_entropy(logits, targets - NUM_RESERVED, reduction="none") * weights).sum()


@pytest.mark.parametrize(
    ("elements", "most_positions", "shape"),
    [(1 << 22, 9, (79_137, 53)), (53 * 5, 9, (5, 53)), (9 * 7, 9, (9, 7)), (1, 1, (1, 1))],
)
def test_blocked_cross_entropy_equals_the_plain_one_with_its_gradients(
    case: tuple[Tensor, Tensor, Tensor, Tensor],
    elements: int,
    most_positions: int,
    shape: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(losses, "BLOCK_ELEMENTS", elements)
    monkeypatch.setattr(losses, "_FEWEST_POSITIONS", 5)
    monkeypatch.setattr(losses, "_MOST_POSITIONS", most_positions)
    assert losses._block_shape(53) == shape
    hidden, items, targets, weights = case
    expected = plain_cross_entropy(hidden, items, targets, weights)
    expected_grads = torch.autograd.grad(3 * expected, [hidden, items])

    loss = cross_entropy(hidden, items, targets, weights)
    grads = torch.autograd.grad(3 * loss, [hidden, items])

    torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=1e-5)
    for grad, wanted in zip(grads, expected_grads, strict=True):
        torch.testing.assert_close(grad, wanted, rtol=1e-4, atol=1e-5)


def test_cross_entropy_in_half_precision_adds_up_its_parts_in_single(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(losses, "BLOCK_ELEMENTS", 9)  # 1,500 parts of one item
    monkeypatch.setattr(losses, "_MOST_POSITIONS", 9)
    torch.manual_seed(3)
    hidden, items = torch.randn(9, 8), torch.randn(1500, 8)
    targets, weights = torch.randint(NUM_RESERVED, 1500, (9,)), torch.rand(9)
    half = hidden.bfloat16().requires_grad_()
    exact = half.detach().float().requires_grad_()
    rounded = items.bfloat16().float()

    cross_entropy(half, items, targets, weights).backward()
    plain_cross_entropy(exact, rounded, targets, weights).backward()

    assert half.grad is not None and exact.grad is not None and half.grad.dtype == torch.bfloat16
    error = (half.grad.float() - exact.grad).norm() / exact.grad.norm()
    assert error < 0.01


def objective(items: Tensor, *, probability: Tensor | None = None, **options: Any) -> Any:
    """An objective whose model takes the hidden vectors as they are."""
    model = build_model({**SMALL, "width": items.shape[1]}, len(items))
    with torch.no_grad():
        model.items.embedding.weight.copy_(items)
    chosen = {"num_negatives": 4, "negatives_for": "batch", "sampling": "uniform",
              "calibration": 0.75, "kind": "sampled_softmax", **options}  # fmt: skip
    return TrainingObjective(model, item_probability=probability, **chosen)


def scores_with(
    negatives: Tensor, targets: Targets, items: Tensor, monkeypatch: pytest.MonkeyPatch, **more: Any
) -> tuple[Tensor, Tensor]:
    monkeypatch.setattr(losses, "draw_negatives", lambda *_: negatives)
    made: tuple[Tensor, Tensor] = objective(items, **more)._scores(targets)
    return made


@pytest.mark.parametrize("each", [False, True])
def test_sampled_softmax_over_every_item_is_the_full_one(
    case: tuple[Tensor, Tensor, Tensor, Tensor], each: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden, items, targets, weights = (tensor.detach() for tensor in case)
    everything = torch.arange(NUM_RESERVED, 53)
    negatives = everything.expand(37, -1) if each else everything

    scores = scores_with(
        negatives, Targets(hidden.float(), targets, weights), items.float(), monkeypatch
    )

    torch.testing.assert_close(
        sampled_softmax(*scores, weights),
        plain_cross_entropy(hidden, items, targets, weights),
        check_dtype=False,
    )


def test_correction_makes_popular_negatives_unbiased(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(5)
    items, hidden = torch.randn(40, 6), torch.randn(1, 6)
    probability = item_sampling(torch.randint(1, 200, (40,)))
    negatives = draw_negatives((20_000,), 40, probability, torch.device("cpu"))
    targets = Targets(hidden, torch.tensor([7]), torch.ones(1))

    scores = scores_with(negatives, targets, items, monkeypatch, probability=probability)

    # The corrected partition sum over K draws estimates K times the full one without the target.
    others = [i for i in range(NUM_RESERVED, 40) if i != 7]
    logits = (hidden @ items.T)[0]
    positive = logits[7] - probability.log()[7]
    negative = torch.logsumexp(logits[others], 0) + math.log(20_000)
    expected = torch.logaddexp(positive, negative) - positive
    assert abs(float(sampled_softmax(*scores, torch.ones(1))) - float(expected)) < 0.05


def test_a_negative_that_is_the_target_counts_for_nothing() -> None:
    positive = torch.tensor([1.0, 2.0])
    with_it = torch.tensor([[-torch.inf, 0.5], [-torch.inf, 3.0]])
    without = with_it[:, 1:]

    for loss in (sampled_softmax, binary_cross_entropy, bayesian_ranking):
        torch.testing.assert_close(
            loss(positive, with_it, torch.ones(2)), loss(positive, without, torch.ones(2))
        )


def test_batch_negatives_are_the_other_targets() -> None:
    items = torch.randn(9, 4)
    targets = Targets(torch.randn(3, 4), torch.tensor([3, 5, 3]), torch.ones(3))

    _, negative = objective(items, sampling="in_batch", kind="bce")._scores(targets)

    expected = targets.hidden @ items[[3, 5, 3]].T
    expected[[0, 0, 1, 2, 2], [0, 2, 1, 0, 2]] = -torch.inf
    torch.testing.assert_close(negative, expected)


def test_losses_of_pairs_have_the_values_worked_out_by_hand() -> None:
    positive, negative = torch.tensor([0.0]), torch.tensor([[0.0, math.log(3)]])
    weight = torch.tensor([2.0])

    # -ln 1/2, and the mean of -ln 1/2 and -ln 1/4.
    bce = math.log(2) + (math.log(2) + math.log(4)) / 2
    assert float(binary_cross_entropy(positive, negative, weight)) == pytest.approx(2 * bce)
    bpr = (math.log(2) + math.log(4)) / 2
    assert float(bayesian_ranking(positive, negative, weight)) == pytest.approx(2 * bpr)
    gbce = 0.25 * math.log(2) + (math.log(2) + math.log(4)) / 2
    found = float(binary_cross_entropy(positive, negative, weight, beta=0.25))
    assert found == pytest.approx(2 * gbce)


def test_gbce_in_a_batch_draws_the_other_targets_of_the_batch(
    case: tuple[Tensor, Tensor, Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """37 targets among 51 items: 36 negatives each, whatever `num_negatives` says."""
    hidden, items, targets, weights = (tensor.detach() for tensor in case)
    weights = weights.float()
    given, found = Targets(hidden.float(), targets, weights), []
    for number in (1, 999):
        made = objective(items.float(), kind="gbce", sampling="in_batch", num_negatives=number)
        monkeypatch.setattr(made.model, "targets", lambda _: given)
        found.append(made(TrainBatch(targets[None], targets[None], weights[None])))
        positive, negative = made._scores(given)
    wanted = binary_cross_entropy(positive, negative, weights, beta=1 - 0.75 * (1 - 36 / 51))
    torch.testing.assert_close(found, [wanted, wanted])


def test_the_exponent_of_gbce_goes_from_one_to_the_share_that_is_drawn() -> None:
    assert gbce_exponent(0.01, 0.0) == pytest.approx(1.0)
    assert gbce_exponent(0.01, 1.0) == pytest.approx(0.01)
    assert gbce_exponent(0.01, 0.75) == pytest.approx(0.2575)
    assert gbce_exponent(3.0, 0.75) == 1, "all items are drawn, some of them three times"


def test_reserved_numbers_are_never_drawn() -> None:
    device = torch.device("cpu")
    uniform = draw_negatives((500, 20), 12, None, device)
    popular = draw_negatives((500, 20), 12, item_sampling(torch.ones(12)), device)

    for drawn in (uniform, popular):
        assert drawn.min() == NUM_RESERVED and drawn.max() == 11
