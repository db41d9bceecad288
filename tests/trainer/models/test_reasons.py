import numpy as np
import pytest
import torch
from torch import Tensor

from conf.contract import HISTORY_TIMES, HISTORY_TYPES, NO_ITEM, NUM_RESERVED
from tests.trainer.small_model import SMALL
from tests.trainer.small_parts import ragged
from trainer.data.columns import Ragged, newest_events, without_items
from trainer.evaluation.faithfulness import faithfulness
from trainer.models import attribution
from trainer.models import reasons as reasons_module
from trainer.models.attribution import parts_by_removal
from trainer.models.hybrid import Hybrid, standard
from trainer.models.popularity import Popularity
from trainer.models.reasons import explain
from trainer.models.scorer import ModelScorer
from trainer.networks.initialisation import initialise
from trainer.networks.retrieval import RetrievalModel

ENCODERS = ("attention", "bidirectional", "gru", "cnn", "caser", "mean")
HISTORIES = ragged([[2, 3, 4, 3], [5, 1], [7]])
ROWS = np.arange(3)
RECOMMENDED = torch.tensor([[6, 8], [9, 6], [10, NO_ITEM]])


def make_model(**changes: object) -> ModelScorer:
    torch.manual_seed(2)
    small = {**SMALL, "width": 4, "blocks": 1, "dropout": 0.5, "history_length": 6, **changes}
    shape = {
        name: value for name, value in small.items() if "init" not in name and "std" not in name
    }
    model = RetrievalModel(catalogue=12, **shape)
    initialise(model, init="xavier_normal", std=0.02, embedding_std=1.0)
    return ModelScorer(model.eval().requires_grad_(False))


def long_histories(seed: int = 3) -> Ragged:
    """Return histories of 1 to 60 events, with types and times beside the items."""
    draw = np.random.default_rng(seed)
    made = ragged([draw.integers(2, 12, size).tolist() for size in (1, 2, 40, 60, 33)])
    times = np.cumsum(draw.integers(1, 10**12, len(made.values)))
    types = draw.integers(0, 2, len(made.values))
    return made._replace(beside={HISTORY_TYPES: types, HISTORY_TIMES: times})


def by_item(histories: Ragged, row: int, parts: Tensor) -> dict[int, float]:
    """Return what the parts, [L], of the events of each item come to."""
    sums: dict[int, float] = {}
    items = histories.values[histories.offsets[row] : histories.offsets[row + 1]]
    for item, part in zip(items.tolist(), parts.tolist()[: len(items)], strict=True):
        sums[item] = sums.get(item, 0) + part
    return sums


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_part_is_what_the_score_loses_without_the_item(
    encoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attribution, "ROUNDING", 0.0)
    scorer = make_model(
        encoder=encoder, history_length=20, event_types=2, time_gaps=True, calendar=True
    )
    histories, rows = long_histories(), np.array([3, 1, 2])
    wanted = torch.tensor([[6, 8], [9, 6], [2, 3]])

    parts = scorer.contributions(histories, rows, wanted)

    with torch.no_grad():
        scores = scorer.scores(histories, rows).gather(1, wanted)  # [B, K]
        for place, row in enumerate(rows.tolist()):
            newest = newest_events(histories, np.array([row]), 20).values
            assert not parts[place, :, histories.lengths[row] :].any()
            for rank in range(2):
                for item, part in by_item(histories, row, parts[place, rank]).items():
                    one = without_items(histories, np.array([row]), np.array([item]))
                    left = scorer.scores(one, np.arange(1))[0, wanted[place, rank]]
                    expected = float(scores[place, rank] - left) if item in newest else 0.0
                    assert part == pytest.approx(expected, rel=1e-3, abs=2e-5)


def test_parts_of_a_mean_are_those_worked_out_by_hand() -> None:
    scorer = make_model(encoder="mean")
    items = scorer.model.item_vectors()

    parts = scorer.contributions(HISTORIES, ROWS, RECOMMENDED)

    products = items[torch.tensor([2, 3, 4, 3])] @ items[8]
    expected = [products.mean() - products[torch.tensor(rest)].mean()
                for rest in ([1, 2, 3], [0, 2], [0, 1, 3])]  # fmt: skip
    torch.testing.assert_close(parts[0, 1], torch.stack([*expected, torch.zeros(())]))


@pytest.mark.parametrize("times", [1, 2, 4])
def test_an_item_that_is_repeated_is_taken_out_whole(times: int) -> None:
    """Of three items one is near what is recommended, however often it stands there."""
    scorer = make_model(encoder="mean")
    with torch.no_grad():
        vectors = scorer.model.items.embedding.weight
        vectors[2:6] = torch.eye(4)
        vectors[6] = vectors[3] * 2
    histories = ragged([[2, *[3] * times, 4]])

    reasons = explain(scorer, histories, np.arange(1), torch.tensor([[6]]), num_reasons=3)

    assert reasons.item_idx[0, 0].tolist() == [3, NO_ITEM, NO_ITEM]
    assert reasons.weight[0, 0, 0] == 1


def test_of_many_items_the_likely_ones_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = make_model(encoder="gru", history_length=50)
    histories, rows, wanted = long_histories(), np.array([2, 3]), torch.tensor([[6], [8]])
    every = parts_by_removal(scorer, histories, rows, wanted)
    monkeypatch.setattr(attribution, "TRIED_ITEMS", 3)

    some = parts_by_removal(scorer, histories, rows, wanted)

    # A history has ten items at most, of 40 and 60 events.
    likely = scorer.model.gradient_times_input(scorer.batch(histories, rows), wanted)
    for place, row in enumerate(rows.tolist()):
        newest = newest_events(histories, np.array([row]), 50)
        sums = by_item(newest, 0, likely[place, 0])
        tried = sorted(sums, key=lambda item: -abs(sums[item]))[:3]
        all_parts = by_item(histories, row, every[place, 0])
        found = by_item(histories, row, some[place, 0])
        assert {item for item, part in found.items() if part} <= set(tried)
        assert [found[item] for item in tried] == pytest.approx(
            [all_parts[item] for item in tried], rel=1e-4
        )
        assert sum(part != 0 for part in all_parts.values()) > 3


@pytest.mark.parametrize("history", [[7], [7, 7, 7]])
def test_the_only_items_part_is_what_the_score_stands_above_the_mean(history: list[int]) -> None:
    scorer = make_model()
    histories = ragged([history])
    with torch.no_grad():
        scores = scorer.scores(histories, np.arange(1))[0]

    parts = scorer.contributions(histories, np.arange(1), torch.tensor([[10, 3]]))

    above = scores[[10, 3]] - scores[NUM_RESERVED:].mean()
    torch.testing.assert_close(parts[0, :, 0], above)
    assert not parts[0, :, 1:].any()


def test_a_history_of_nothing_has_no_parts() -> None:
    parts = make_model().contributions(ragged([[], [1]]), np.arange(2), torch.tensor([[6], [7]]))

    assert parts.shape == (2, 1, 1) and not parts.any()


def test_what_the_network_cannot_see_is_no_reason() -> None:
    """One block of filters of two steps sees four events: without an older one nothing falls."""
    scorer = make_model(encoder="cnn", kernel_size=2, blocks=1, dilations=[1, 2], history_length=9)
    histories = ragged([[2, 3, 4, 5, 6, 7, 8, 9]])

    parts = scorer.contributions(histories, np.arange(1), torch.tensor([[10]]))

    assert not parts[0, 0, :4].any()
    assert bool((parts[0, 0, 4:] != 0).all())


def test_a_blend_adds_up_what_its_members_lose() -> None:
    """A member that knows nothing of an item has no part in its score."""
    network, counted = make_model(), Popularity(np.arange(12.0))
    blend = Hybrid({"neural": network, "counted": counted}, {"neural": 0.75, "counted": 0.25})
    rows = np.arange(3)

    parts = blend.contributions(HISTORIES, rows, RECOMMENDED)

    with torch.no_grad():
        spread = standard(network.scores(HISTORIES, rows))[1]
    own = network.contributions(HISTORIES, rows, RECOMMENDED)
    torch.testing.assert_close(parts, 0.75 * own / spread[..., None])
    network.left_out = torch.zeros(12, dtype=torch.bool).index_fill(0, torch.tensor([10]), True)
    assert not network.contributions(HISTORIES, rows, RECOMMENDED)[2, 0].any()


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("similarity", ["dot", "cosine"])
def test_first_order_parts_equal_the_gradient_of_one_score_at_a_time(
    encoder: str, similarity: str
) -> None:
    scorer = make_model(encoder=encoder, blocks=2, similarity=similarity, temperature=0.5)
    model, batch = scorer.model, scorer.batch(HISTORIES, ROWS)
    carried = model.gradient_times_input(batch, RECOMMENDED.clamp(min=0))

    embedded = model.embed(batch).requires_grad_()
    users = model.encode_embedded(embedded, batch.lengths)
    for user, place in ((0, 1), (1, 0), (2, 0)):
        score = users[user] @ model.item_vectors()[RECOMMENDED[user, place]]
        (gradient,) = torch.autograd.grad(score, embedded, retain_graph=True)
        torch.testing.assert_close(carried[user, place], (gradient * embedded).sum(-1)[user])


def test_reasons_name_each_item_once_with_its_share_of_what_raised_the_score() -> None:
    scorer = make_model(encoder="mean")
    of_items = by_item(HISTORIES, 0, scorer.contributions(HISTORIES, ROWS, RECOMMENDED)[0, 0])

    reasons = explain(scorer, HISTORIES, ROWS, RECOMMENDED, num_reasons=3)

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
