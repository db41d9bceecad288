import pytest
import torch

from trainer.inputs import HistoryBatch
from trainer.retrieval import RetrievalModel


def build(**changes: object) -> RetrievalModel:
    torch.manual_seed(1)
    options: dict[str, object] = {
        "catalogue": 30,
        "width": 16,
        "blocks": 2,
        "heads": 2,
        "feedforward_factor": 4,
        "dropout": 0.0,
        "history_length": 12,
        "init": "xavier_normal",
        "embedding_std": 1.0,
    }
    return RetrievalModel(**{**options, **changes}).eval()  # type: ignore[arg-type]


def test_no_position_sees_what_comes_after_it() -> None:
    model = build()
    items = torch.randint(2, 30, (4, 10))
    changed = items.clone()
    changed[:, 6:] = torch.randint(2, 30, (4, 4))

    before, after = model.encode_positions(items), model.encode_positions(changed)

    torch.testing.assert_close(before[:, :6], after[:, :6])
    assert not torch.allclose(before[:, 6:], after[:, 6:])


def test_padding_changes_nothing() -> None:
    model = build()
    items = torch.randint(2, 30, (1, 5))
    padded = torch.cat([items, torch.zeros(1, 4, dtype=torch.int64)], dim=1)
    length = torch.tensor([5])

    torch.testing.assert_close(
        model.encode(HistoryBatch(padded, length)), model.encode(HistoryBatch(items, length))
    )


def test_the_order_of_a_history_matters() -> None:
    model = build()
    items = torch.tensor([[2, 3, 4, 5]])
    length = torch.tensor([4])

    first = model.encode(HistoryBatch(items, length))
    second = model.encode(HistoryBatch(items[:, [1, 0, 2, 3]], length))
    assert not torch.allclose(first, second)


@pytest.mark.parametrize("init", ["xavier_uniform", "xavier_normal"])
def test_xavier_keeps_the_named_spread(init: str) -> None:
    model = build(init=init, width=128, embedding_std=0.05)
    weight = model.encoder.blocks[0].feedforward_in.weight  # type: ignore[union-attr]

    expected = (2 / (128 + 512)) ** 0.5  # Glorot & Bengio 2010, eq. 16
    assert float(weight.detach().std()) == pytest.approx(expected, rel=0.02)
    assert float(model.item_embedding.weight.detach().std()) == pytest.approx(0.05, rel=0.05)
    assert float(model.encoder.norm.weight.detach().min()) == 1.0
    biases = [p for name, p in model.named_parameters() if name.endswith("bias")]
    assert all(float(bias.detach().abs().max()) == 0 for bias in biases)


@pytest.mark.parametrize("blocks", [1, 3])
def test_the_last_position_alone_is_what_it_is_among_all(blocks: int) -> None:
    model = build(blocks=blocks)
    items = torch.randint(2, 30, (5, 9))
    lengths = torch.tensor([9, 1, 4, 8, 2])
    embedded = model.embed(items)

    alone = model.encode_embedded(embedded, lengths)

    among_all = model.encoder(embedded)[torch.arange(5), lengths - 1]
    torch.testing.assert_close(alone, among_all, rtol=1e-4, atol=1e-5)
