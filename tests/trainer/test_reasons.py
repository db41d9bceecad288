import pytest
import torch
from torch import Tensor

from conf.contract import NO_ITEM
from tests.trainer.small_model import SMALL
from trainer import reasons as reasons_module
from trainer.attribution import gradient_times_input
from trainer.initialisation import initialise
from trainer.inputs import HistoryBatch
from trainer.reasons import explain
from trainer.retrieval import RetrievalModel


class MeanModel(RetrievalModel):
    """The user's vector is the mean of the history: contributions can be worked out by hand."""

    def encode_embedded(self, embedded: Tensor, lengths: Tensor) -> Tensor:
        return embedded.sum(1) / lengths[:, None]


def make_model(kind: type[RetrievalModel] = RetrievalModel) -> RetrievalModel:
    torch.manual_seed(2)
    small = {**SMALL, "width": 4, "blocks": 1, "dropout": 0.5, "history_length": 6}
    shape = {
        name: value for name, value in small.items() if "init" not in name and "std" not in name
    }
    model = kind(catalogue=12, **shape)
    initialise(model, init="xavier_normal", std=0.02, embedding_std=1.0)
    return model.eval().requires_grad_(False)


BATCH = HistoryBatch(
    torch.tensor([[2, 3, 4, 3], [5, 1, 0, 0], [7, 0, 0, 0]]), torch.tensor([4, 2, 1])
)
RECOMMENDED = torch.tensor([[6, 8], [9, 6], [10, NO_ITEM]])


def test_parts_of_a_linear_model_add_up_to_the_score() -> None:
    model = make_model(MeanModel)
    items = model.item_vectors()

    carried = gradient_times_input(model, BATCH, RECOMMENDED)

    score = model.encode(BATCH) @ items.T
    torch.testing.assert_close(carried.sum(-1)[:2], score[:2].gather(1, RECOMMENDED[:2]))
    torch.testing.assert_close(carried[0, 1, 2], items[4] @ items[8] / 4)


def test_parts_equal_the_gradient_of_one_score_at_a_time() -> None:
    model = make_model()
    carried = gradient_times_input(model, BATCH, RECOMMENDED)

    embedded = model.embed(BATCH).requires_grad_()
    score = model.encode_embedded(embedded, BATCH.lengths)[0] @ model.item_vectors()[8]
    (gradient,) = torch.autograd.grad(score, embedded)

    torch.testing.assert_close(carried[0, 1], (gradient * embedded).sum(-1)[0])


def test_reasons_name_each_item_once_with_its_share_of_what_raised_the_score() -> None:
    model = make_model(MeanModel)
    items = model.item_vectors()

    reasons = explain(model, BATCH, RECOMMENDED, num_reasons=3)

    times = {2: 1, 3: 2, 4: 1}
    parts = {item: float(items[item] @ items[6]) * count for item, count in times.items()}
    raised = sorted(((part, item) for item, part in parts.items() if part > 0), reverse=True)
    total = sum(part for part, _ in raised)
    named = [item for item in reasons.item_idx[0, 0].tolist() if item != NO_ITEM]
    assert named == [item for _, item in raised]
    weights = reasons.weight[0, 0, : len(raised)].tolist()
    assert weights == pytest.approx([part / total for part, _ in raised], rel=1e-4)


def test_unknown_items_are_no_reason_and_a_short_history_has_fewer() -> None:
    reasons = explain(make_model(), BATCH, RECOMMENDED, num_reasons=5)

    assert reasons.item_idx.shape == (3, 2, 5)
    assert set(reasons.item_idx[1].flatten().tolist()) <= {5, NO_ITEM}
    assert bool((reasons.weight[reasons.item_idx == NO_ITEM] == 0).all())


def test_cutting_the_batch_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model()
    together = explain(model, BATCH, RECOMMENDED, num_reasons=2)
    monkeypatch.setattr(reasons_module, "CELLS_AT_ONCE", 4)
    apart = explain(model, BATCH, RECOMMENDED, num_reasons=2)

    assert together.item_idx.tolist() == apart.item_idx.tolist()
    torch.testing.assert_close(together.weight, apart.weight)
