import numpy as np
import pytest
import torch
from torch import Tensor

from conf.contract import HISTORY_TIMES, HISTORY_TYPES, NO_ITEM
from tests.trainer.small_model import SMALL
from tests.trainer.small_parts import ragged
from trainer import attribution
from trainer import reasons as reasons_module
from trainer.attribution import gradient_times_input, parts_by_removal
from trainer.columns import Ragged, without
from trainer.faithfulness import faithfulness
from trainer.initialisation import initialise
from trainer.reasons import explain
from trainer.retrieval import RetrievalModel
from trainer.scorer import ModelScorer

ENCODERS = ("attention", "bidirectional", "gru", "cnn", "caser", "mean")
HISTORIES = ragged([[2, 3, 4, 3], [5, 1], [7]])
ROWS = np.arange(3)
RECOMMENDED = torch.tensor([[6, 8], [9, 6], [10, NO_ITEM]])


class MeanModel(RetrievalModel):
    """The user's vector is the mean of the history: parts can be worked out by hand."""

    def encode_embedded(self, embedded: Tensor, lengths: Tensor) -> Tensor:
        return embedded.sum(1) / lengths[:, None]


def make_model(kind: type[RetrievalModel] = RetrievalModel, **changes: object) -> ModelScorer:
    torch.manual_seed(2)
    small = {**SMALL, "width": 4, "blocks": 1, "dropout": 0.5, "history_length": 6, **changes}
    shape = {
        name: value for name, value in small.items() if "init" not in name and "std" not in name
    }
    model = kind(catalogue=12, **shape)
    initialise(model, init="xavier_normal", std=0.02, embedding_std=1.0)
    return ModelScorer(model.eval().requires_grad_(False))


def long_histories(seed: int = 3) -> Ragged:
    """Return histories of 1 to 60 events, with types and times beside the items."""
    draw = np.random.default_rng(seed)
    made = ragged([draw.integers(2, 12, size).tolist() for size in (1, 2, 40, 60, 33)])
    times = np.cumsum(draw.integers(1, 10**12, len(made.values)))
    types = draw.integers(0, 2, len(made.values))
    return made._replace(beside={HISTORY_TYPES: types, HISTORY_TIMES: times})


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_part_is_what_the_score_loses_without_the_event(encoder: str) -> None:
    scorer = make_model(encoder=encoder, history_length=20, event_types=2, time_gaps=True)
    histories, rows = long_histories(), np.array([3, 1, 2])
    wanted = torch.tensor([[6, 8], [9, 6], [2, 3]])

    parts = scorer.contributions(histories, rows, wanted)

    with torch.no_grad():
        scores = scorer.scores(histories, rows).gather(1, wanted)  # [B, K]
        for row, length in enumerate(histories.lengths[rows]):
            for place in range(length):
                one = without(histories, rows[[row]], np.array([place]))
                left = scorer.scores(one, np.arange(1)).gather(1, wanted[[row]])[0]
                expected = scores[row] - left if place >= length - 20 else torch.zeros(2)
                torch.testing.assert_close(parts[row, :, place], expected, rtol=1e-3, atol=2e-5)
            assert not parts[row, :, length:].any()


def test_parts_of_a_mean_are_those_worked_out_by_hand() -> None:
    scorer = make_model(MeanModel)
    items = scorer.model.item_vectors()

    parts = scorer.contributions(HISTORIES, ROWS, RECOMMENDED)

    products = items[torch.tensor([2, 3, 4, 3])] @ items[8]
    rest = products[torch.tensor([0, 1, 3])].mean()
    torch.testing.assert_close(parts[0, 1, 2], products.mean() - rest)


def test_of_a_long_history_the_likely_ones_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = make_model(encoder="gru", history_length=50)
    histories, rows, wanted = long_histories(), np.array([2, 3]), torch.tensor([[6], [8]])
    monkeypatch.setattr(attribution, "TRIED_EVENTS", 50)
    every = parts_by_removal(scorer, histories, rows, wanted)
    monkeypatch.setattr(attribution, "TRIED_EVENTS", 8)

    some = parts_by_removal(scorer, histories, rows, wanted)

    first = torch.tensor([0, 10])  # events that the network sees: 40 of 40, 50 of 60
    assert ((every != 0).sum(2)[:, 0] <= torch.tensor([40, 50])).all()
    likely = gradient_times_input(scorer.model, scorer.batch(histories, rows), wanted)[:, 0].abs()
    for row in range(2):
        tried = likely[row].topk(8).indices + first[row]
        torch.testing.assert_close(some[row, 0, tried], every[row, 0, tried])
        assert int((some[row, 0] != 0).sum()) <= 8


def test_of_a_single_event_everything_comes() -> None:
    parts = make_model().contributions(HISTORIES, ROWS, RECOMMENDED)

    assert parts[2].tolist() == [[1, 0, 0, 0], [1, 0, 0, 0]]


def test_what_the_network_cannot_see_is_no_reason() -> None:
    """A filter of two steps sees two events: without an older one nothing falls but rounding."""
    scorer = make_model(encoder="cnn", kernel_size=2, blocks=1, history_length=20)
    histories, rows = long_histories(), np.array([2])

    parts = scorer.contributions(histories, rows, torch.tensor([[6]]))

    seen = torch.nonzero(parts[0, 0])[:, 0]
    assert len(seen) > 0
    assert int(seen.min()) >= 40 - 5


def test_first_order_parts_equal_the_gradient_of_one_score_at_a_time() -> None:
    scorer = make_model()
    model, batch = scorer.model, scorer.batch(HISTORIES, ROWS)
    carried = gradient_times_input(model, batch, RECOMMENDED)

    embedded = model.embed(batch).requires_grad_()
    score = model.encode_embedded(embedded, batch.lengths)[0] @ model.item_vectors()[8]
    (gradient,) = torch.autograd.grad(score, embedded)

    torch.testing.assert_close(carried[0, 1], (gradient * embedded).sum(-1)[0])


def test_reasons_name_each_item_once_with_its_share_of_what_raised_the_score() -> None:
    scorer = make_model(MeanModel)
    parts = scorer.contributions(HISTORIES, ROWS, RECOMMENDED)[0, 0].tolist()

    reasons = explain(scorer, HISTORIES, ROWS, RECOMMENDED, num_reasons=3)

    of_items = {2: parts[0], 3: parts[1] + parts[3], 4: parts[2]}
    raised = sorted(((part, item) for item, part in of_items.items() if part > 0), reverse=True)
    total = sum(part for part, _ in raised)
    named = [item for item in reasons.item_idx[0, 0].tolist() if item != NO_ITEM]
    assert named == [item for _, item in raised] != []
    weights = reasons.weight[0, 0, : len(raised)].tolist()
    assert weights == pytest.approx([part / total for part, _ in raised], rel=1e-4)


def test_unknown_items_are_no_reason_and_a_short_history_has_fewer() -> None:
    reasons = explain(make_model(), HISTORIES, ROWS, RECOMMENDED, num_reasons=5)

    assert reasons.item_idx.shape == (3, 2, 5)
    assert set(reasons.item_idx[1].flatten().tolist()) <= {5, NO_ITEM}
    assert bool((reasons.weight[reasons.item_idx == NO_ITEM] == 0).all())


def test_cutting_the_batch_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = make_model()
    together = explain(scorer, HISTORIES, ROWS, RECOMMENDED, num_reasons=2)
    monkeypatch.setattr(reasons_module, "CELLS_AT_ONCE", 4)
    monkeypatch.setattr(attribution, "CELLS_AT_ONCE", 4)
    apart = explain(scorer, HISTORIES, ROWS, RECOMMENDED, num_reasons=2)

    assert together.item_idx.tolist() == apart.item_idx.tolist()
    torch.testing.assert_close(together.weight, apart.weight)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_reasons_of_every_network_are_true(encoder: str) -> None:
    found = faithfulness(
        make_model(encoder=encoder), long_histories(), np.arange(5), drop_seen=False
    )

    assert found.users > 1
    assert found.by_reason == 1.0
