import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from conf.contract import NUM_RESERVED
from trainer import losses
from trainer.losses import cross_entropy, draw_negatives, sampled_softmax
from trainer.retrieval import item_sampling


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


@pytest.mark.parametrize("elements", [1, 53 * 5, 1 << 22])
def test_blocked_cross_entropy_equals_the_plain_one_with_its_gradients(
    case: tuple[Tensor, Tensor, Tensor, Tensor], elements: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(losses, "BLOCK_ELEMENTS", elements)
    hidden, items, targets, weights = case
    expected = plain_cross_entropy(hidden, items, targets, weights)
    expected_grads = torch.autograd.grad(3 * expected, [hidden, items])

    loss = cross_entropy(hidden, items, targets, weights)
    grads = torch.autograd.grad(3 * loss, [hidden, items])

    torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=1e-5)
    for grad, wanted in zip(grads, expected_grads, strict=True):
        torch.testing.assert_close(grad, wanted, rtol=1e-4, atol=1e-5)


def test_sampled_softmax_over_every_item_is_the_full_one(
    case: tuple[Tensor, Tensor, Tensor, Tensor],
) -> None:
    hidden, items, targets, weights = case
    everything = torch.arange(NUM_RESERVED, 53)

    for negatives in (everything, everything.expand(37, -1)):
        loss = sampled_softmax(
            hidden, items, targets, weights, negatives=negatives, log_probability=None
        )
        torch.testing.assert_close(
            loss, plain_cross_entropy(hidden, items, targets, weights), check_dtype=False
        )


def test_correction_makes_popular_negatives_unbiased() -> None:
    torch.manual_seed(5)
    items = torch.randn(40, 6)
    hidden = torch.randn(1, 6)
    probability = item_sampling(torch.randint(1, 200, (40,)))
    target = torch.tensor([7])
    negatives = draw_negatives((20_000,), 40, probability, torch.device("cpu"))
    log_p = probability.log()

    corrected = sampled_softmax(
        hidden, items, target, torch.ones(1), negatives=negatives, log_probability=log_p
    )

    # The corrected partition sum over K draws estimates K times the full one without the target.
    others = [i for i in range(NUM_RESERVED, 40) if i != 7]
    logits = (hidden @ items.T)[0]
    positive = logits[7] - log_p[7]
    negative = torch.logsumexp(logits[others], 0) + math.log(20_000)
    expected = torch.logaddexp(positive, negative) - positive
    assert abs(float(corrected) - float(expected)) < 0.05


def test_a_negative_that_is_the_target_counts_for_nothing() -> None:
    hidden, items = torch.randn(2, 4), torch.randn(9, 4)
    targets = torch.tensor([3, 5])

    with_it = sampled_softmax(
        hidden,
        items,
        targets,
        torch.ones(2),
        negatives=torch.tensor([[3, 6], [5, 6]]),
        log_probability=None,
    )
    without = sampled_softmax(
        hidden,
        items,
        targets,
        torch.ones(2),
        negatives=torch.tensor([[6], [6]]),
        log_probability=None,
    )

    torch.testing.assert_close(with_it, without)


def test_reserved_numbers_are_never_drawn() -> None:
    device = torch.device("cpu")
    uniform = draw_negatives((500, 20), 12, None, device)
    popular = draw_negatives((500, 20), 12, item_sampling(torch.zeros(12)), device)

    for drawn in (uniform, popular):
        assert drawn.min() == NUM_RESERVED and drawn.max() == 11
