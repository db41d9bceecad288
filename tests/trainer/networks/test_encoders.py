from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.trainer.small_model import SMALL
from trainer.models.bundle import build_model
from trainer.networks.inputs import HistoryBatch, TrainBatch, gap_classes, hours_of_week
from trainer.networks.retrieval import RetrievalModel

CAUSAL: dict[str, dict[str, Any]] = {
    "attention": {},
    "gated": {"encoder": "attention", "gated": True},
    "rotary": {"encoder": "attention", "positions": "rotary"},
    "three blocks": {"encoder": "attention", "blocks": 3},
    "gru": {},
    "cnn": {"dilations": (1, 2)},
    "caser": {"window": 4},
    "mean": {},
}
ALL = [*CAUSAL, "bidirectional"]


def build(name: str = "attention", **changes: Any) -> RetrievalModel:
    torch.manual_seed(1)
    options = {"encoder": name, **CAUSAL.get(name, {}), **changes}
    return build_model({**SMALL, **options}, 30).eval()


def at_every_position(model: RetrievalModel, items: Tensor) -> Tensor:
    lengths = torch.full((len(items),), items.shape[1])
    encoded: Tensor = model.encoder(model.embed(HistoryBatch(items, lengths)))
    return encoded


@pytest.mark.parametrize("name", CAUSAL)
def test_no_position_sees_what_comes_after_it(name: str) -> None:
    model = build(name)
    items = torch.randint(2, 30, (4, 10))
    changed = items.clone()
    changed[:, 6:] = torch.randint(2, 30, (4, 4))

    before, after = at_every_position(model, items), at_every_position(model, changed)

    torch.testing.assert_close(before[:, :6], after[:, :6])
    assert not torch.allclose(before[:, 6:], after[:, 6:])


@pytest.mark.parametrize("name", ALL)
def test_padding_changes_nothing(name: str) -> None:
    model = build(name)
    items = torch.randint(2, 30, (1, 5))
    padded = torch.cat([items, torch.zeros(1, 4, dtype=torch.int64)], dim=1)
    length = torch.tensor([5])

    torch.testing.assert_close(
        model.encode(HistoryBatch(padded, length)), model.encode(HistoryBatch(items, length))
    )


@pytest.mark.parametrize("name", [name for name in ALL if name != "mean"])
def test_the_order_of_a_history_matters(name: str) -> None:
    model = build(name)
    items = torch.tensor([[2, 3, 4, 5]])
    length = torch.tensor([4])

    first = model.encode(HistoryBatch(items, length))
    second = model.encode(HistoryBatch(items[:, [1, 0, 2, 3]], length))
    assert not torch.allclose(first, second)


@pytest.mark.parametrize("name", CAUSAL)
def test_the_last_position_alone_is_what_it_is_among_all(name: str) -> None:
    model = build(name)
    items = torch.randint(2, 30, (5, 9))
    lengths = torch.tensor([9, 1, 4, 8, 2])

    alone = model.encode(HistoryBatch(items, lengths))

    among_all = at_every_position(model, items)[torch.arange(5), lengths - 1]
    torch.testing.assert_close(alone, among_all, rtol=1e-4, atol=1e-5)


def test_the_mean_is_the_mean() -> None:
    model = build("mean")
    vectors = model.item_vectors()

    encoded = model.encode(HistoryBatch(torch.tensor([[3, 5, 9]]), torch.tensor([3])))

    torch.testing.assert_close(encoded[0], (vectors[3] + vectors[5] + vectors[9]) / 3)


def test_a_dilated_block_reaches_as_far_as_its_two_convolutions() -> None:
    model = build("cnn", blocks=1, kernel_size=3, dilations=(1,))  # 2 + 4 events back
    items = torch.randint(2, 30, (1, 10))
    changed, nearer = items.clone(), items.clone()
    changed[0, 2], nearer[0, 3] = items[0, 2] % 28 + 2, items[0, 3] % 28 + 2

    last, out, inside = (at_every_position(model, x)[0, 9] for x in (items, changed, nearer))

    torch.testing.assert_close(last, out)
    assert not torch.allclose(last, inside)


def test_rotary_attention_depends_on_distances_alone() -> None:
    model = build("rotary", blocks=1)
    items = torch.randint(2, 30, (1, 4))
    first = model.embed(HistoryBatch(items, torch.tensor([4])))
    block, rotation = model.encoder.blocks[0], model.encoder.rotation  # type: ignore[union-attr, index]

    near = block(first, rotation[:, :4])  # type: ignore[index, operator]
    far = block(first, rotation[:, 5:9])  # type: ignore[index, operator]

    torch.testing.assert_close(near, far, rtol=1e-4, atol=1e-5)


def test_a_masked_event_is_filled_in_from_the_others_alone() -> None:
    model = build("bidirectional")
    items = torch.randint(2, 30, (1, 6))
    changed = items.clone()
    changed[0, 2] = items[0, 2] % 28 + 2
    masked = torch.tensor([[False, False, True, False, False, False]])
    length = torch.tensor([6])

    filled = [
        model.encoder.fill_in(model.embed(HistoryBatch(x, length)), masked, length)  # type: ignore[operator]
        for x in (items, changed)
    ]

    torch.testing.assert_close(*filled)


def test_masked_training_predicts_each_last_event_as_scoring_does() -> None:
    model = build("bidirectional", mask_share=1e-9)
    items = torch.tensor([[4, 5, 6], [7, 8, 0]])
    targets = torch.tensor([[5, 6, 9], [8, 3, 0]])
    batch = TrainBatch(items, targets, torch.tensor([[1.0, 1.0, 3.0], [1.0, 2.0, 0.0]]))

    made = model.targets(batch)

    assert made.item_idx.tolist() == [9, 3] and made.weights.tolist() == [3.0, 2.0]
    scoring = model.encode(HistoryBatch(items, torch.tensor([3, 2])))
    torch.testing.assert_close(made.hidden, scoring, rtol=1e-4, atol=1e-5)


def test_a_causal_model_predicts_every_event_but_the_first() -> None:
    model = build()
    batch = TrainBatch(
        torch.tensor([[4, 5, 6], [7, 0, 0]]), torch.tensor([[5, 6, 1], [8, 0, 0]]), torch.ones(2, 3)
    )

    assert model.targets(batch).item_idx.tolist() == [5, 6, 8]  # 1 is the unknown item


def test_types_and_time_gaps_enter_each_step() -> None:
    model = build(event_types=3, time_gaps=True)
    items, lengths = torch.tensor([[4, 5]]), torch.tensor([2])
    types, gaps = torch.tensor([[0, 2]]), torch.tensor([[0, 7]])

    plain = model.encode(HistoryBatch(items, lengths, types, gaps))

    for changed in ((torch.tensor([[1, 2]]), gaps), (types, torch.tensor([[0, 8]]))):
        assert not torch.allclose(plain, model.encode(HistoryBatch(items, lengths, *changed)))


def test_weekday_and_hour_enter_each_step() -> None:
    model = build(calendar=True)
    items, lengths = torch.tensor([[4, 5]]), torch.tensor([2])

    def encoded(*hours: int) -> torch.Tensor:
        return model.encode(HistoryBatch(items, lengths, hour_idx=torch.tensor([hours])))

    assert torch.allclose(encoded(3, 30), encoded(3, 30))
    assert not torch.allclose(encoded(3, 30), encoded(3, 31))  # another hour
    assert not torch.allclose(encoded(3, 30), encoded(3, 54))  # the same one a day later


def test_hours_of_the_week_begin_on_monday() -> None:
    moments = ["1970-01-01T00:59:59", "2026-11-23T00:00:00", "2026-11-29T23:59:59",
               "1969-12-29T05:30:00"]  # fmt: skip
    times = np.array(moments, dtype="datetime64[us]").astype(np.int64)

    assert hours_of_week(torch.from_numpy(times)).tolist() == [72, 0, 167, 5]


def test_gaps_are_classed_by_powers_of_two_of_seconds() -> None:
    seconds = [0.0, 0.0, 1.0, 3.0, 63.0, 64.0, 1e12]
    times = torch.tensor([seconds]).double().cumsum(1).mul(1e6).long()

    assert gap_classes(times).tolist() == [[0, 1, 2, 3, 7, 7, 33]]


def test_cosine_scores_lie_between_the_inverse_temperatures() -> None:
    model = build(similarity="cosine", temperature=0.1)

    users = model.encode(HistoryBatch(torch.tensor([[4, 5]]), torch.tensor([2])))

    norms = torch.linalg.vector_norm(model.item_vectors(), dim=1)
    torch.testing.assert_close(norms, torch.ones(30))
    assert float(torch.linalg.vector_norm(users.detach())) == pytest.approx(10.0)


@pytest.mark.parametrize(
    ("init", "deviation"),
    [
        ("xavier_uniform", (2 / (128 + 512)) ** 0.5),  # Glorot & Bengio 2010, eq. 16
        ("xavier_normal", (2 / (128 + 512)) ** 0.5),
        ("kaiming_normal", (2 / 128) ** 0.5),  # He et al. 2015, eq. 10
        ("normal", 0.03),
    ],
)
def test_initialisation_keeps_the_named_spread(init: str, deviation: float) -> None:
    model = build(init=init, init_std=0.03, width=128, embedding_std=0.05)
    weight = model.encoder.blocks[0].feedforward_in.weight  # type: ignore[union-attr, index]

    assert float(weight.detach().std()) == pytest.approx(deviation, rel=0.02)
    assert float(model.items.embedding.weight.detach().std()) == pytest.approx(0.05, rel=0.05)
    assert float(model.encoder.norm.weight.detach().min()) == 1.0  # type: ignore[union-attr]
    biases = [p for name, p in model.named_parameters() if name.endswith("bias")]
    assert all(float(bias.detach().abs().max()) == 0 for bias in biases)


@pytest.mark.parametrize("name", ALL)
def test_every_weight_is_initialised_and_has_a_gradient(name: str) -> None:
    model = build(name, mask_share=0.5).train()
    batch = TrainBatch(torch.randint(2, 30, (8, 6)), torch.randint(2, 30, (8, 6)), torch.ones(8, 6))

    (model.targets(batch).hidden @ model.item_vectors().T).square().sum().backward()

    for part, parameter in model.named_parameters():
        assert torch.isfinite(parameter).all() and parameter.detach().abs().max() < 10, part
        assert (parameter.grad is not None and parameter.grad.abs().max() > 0) or "bias" in part, (
            part
        )
