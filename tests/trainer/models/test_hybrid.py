from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from conf.contract import HISTORY_ITEMS, NUM_RESERVED, TARGET_ITEM
from tests.trainer.small_model import SMALL
from tests.trainer.small_parts import ragged
from trainer.algorithms.blend_weights import Blend, choose_blend, count_blends
from trainer.data.columns import Columns, Ragged
from trainer.evaluation.figures import count_ranks
from trainer.evaluation.metrics import figure
from trainer.models.als import Factors
from trainer.models.bundle import build_model
from trainer.models.hybrid import Hybrid, standard, weighted_sum
from trainer.models.item_to_item import ItemToItem
from trainer.models.popularity import Popularity
from trainer.models.scorer import ModelScorer

V = 12
SECTION = {
    **SMALL, "width": 8, "blocks": 1, "dropout": 0.5, "history_length": 3, "embedding_std": 0.5,
}  # fmt: skip


@dataclass(frozen=True)
class Saying:
    """Ranks first what comes `step` places behind the last item, the rest as drawn."""

    step: int
    scale: float
    seed: int
    unknown = None

    def scores(self, histories: Ragged, rows: np.ndarray) -> Tensor:
        last = histories.values[histories.offsets[rows + 1] - 1]
        scores = np.random.default_rng((self.seed, len(rows))).random((len(rows), V))
        scores[np.arange(len(rows)), step_on(last, self.step)] = 1.5
        return torch.from_numpy(scores * self.scale)

    def contributions(self, histories: Ragged, rows: np.ndarray, recommended: Tensor) -> Tensor:
        raise AssertionError("not asked for")

    def to(self, device: torch.device) -> "Saying":
        return self


def step_on(items: np.ndarray, step: int) -> np.ndarray:
    moved: np.ndarray = NUM_RESERVED + (items - NUM_RESERVED + step) % (V - NUM_RESERVED)
    return moved


def held_out(step: int) -> Columns:
    """Return histories of one item each, whose targets come `step` places behind it."""
    items = np.arange(NUM_RESERVED, V)
    return {HISTORY_ITEMS: ragged([[item] for item in items]), TARGET_ITEM: step_on(items, step)}


def search(members: dict[str, Saying], valid: Columns) -> tuple[Blend, float]:
    def measure(blends: Sequence[Blend]) -> list[float]:
        counts = count_blends(
            members, valid, blends=blends, batch_rows=4, largest=10, drop_seen=True
        )
        return [figure(found, "ndcg@10") for found in counts]

    return choose_blend(measure, len(members), grid_parts=4, halvings=3)


def test_the_member_that_is_right_on_validation_gets_the_weight() -> None:
    """What is right on the test part alone gets none: that part is not looked at."""
    right_on_valid, right_on_test = Saying(1, 0.01, 1), Saying(2, 100.0, 2)
    members = {"noise": Saying(5, 3.0, 3), "test": right_on_test, "valid": right_on_valid}
    valid, test = held_out(1), held_out(2)

    blend, best = search(members, valid)

    assert best == 1.0
    weights = dict(zip(members, blend, strict=True))
    assert weights["valid"] > max(weights["noise"], weights["test"])
    hybrid = Hybrid(members, weights)
    counts = {
        name: count_ranks(hybrid, [part], batch_rows=4, largest=10, drop_seen=True)
        for name, part in (("valid", valid), ("test", test))
    }
    assert figure(counts["valid"], "hr@1") == 1.0 and figure(counts["test"], "hr@1") < 0.5


def test_the_blend_of_two_that_are_each_half_right_is_better_than_either() -> None:
    ones, twos = held_out(1), held_out(2)
    half = np.arange(V - NUM_RESERVED) % 2 == 0
    valid: Columns = {
        HISTORY_ITEMS: ones[HISTORY_ITEMS],
        TARGET_ITEM: np.where(half, ones[TARGET_ITEM], twos[TARGET_ITEM]),
    }

    blend, best = search({"ones": Saying(1, 1.0, 1), "twos": Saying(2, 5.0, 2)}, valid)

    alone = [
        figure(
            count_ranks(Saying(step, 1.0, step), [valid], batch_rows=4, largest=10, drop_seen=True),
            "ndcg@10",
        )
        for step in (1, 2)
    ]
    assert min(blend) > 0 and best > max(alone) + 0.05


def test_the_search_finds_a_peak_between_the_grids_points() -> None:
    peak = np.array([0.59, 0.19, 0.22])

    def measure(blends: Sequence[Blend]) -> list[float]:
        assert all(sum(blend) == 1 and min(blend) >= 0 for blend in blends)
        return [-float(np.abs(np.array(blend) - peak).sum()) for blend in blends]

    blend, best = choose_blend(measure, 3, grid_parts=4, halvings=4)

    assert np.abs(np.array(blend) - peak).max() < 1 / 16 and best == measure([blend])[0]


def test_of_equal_blends_the_first_is_taken() -> None:
    assert choose_blend(lambda b: [0.5] * len(b), 2, grid_parts=4, halvings=2) == ((1.0, 0.0), 0.5)


def test_members_are_brought_to_one_scale_for_each_user() -> None:
    scores = torch.tensor([[99.0, -99, 1, 2, 3], [0, 7, 4, 4, 4]]).double()

    scaled, spread = standard(scores)

    deviation = (2 / 3) ** 0.5
    torch.testing.assert_close(scaled[0, 2:], torch.tensor([-1, 0, 1]) / deviation)
    assert not scaled[1].any()
    assert spread[:, 0].tolist() == pytest.approx([deviation, 0])


def real_members() -> dict[str, ItemToItem | Factors | Popularity | ModelScorer]:
    rng = np.random.default_rng(6)
    pairs = rng.random((V, V)) * (rng.random((V, V)) < 0.5)
    pairs[:NUM_RESERVED] = 0
    rows, items = np.nonzero(pairs)
    starts = np.searchsorted(rows, np.arange(V + 1)).astype(np.int64)
    weights = pairs[rows, items].astype(np.float32)
    torch.manual_seed(3)
    return {
        "knn": ItemToItem(np.zeros(V), starts, items.astype(np.int32), weights, 0.7),
        "als": Factors(rng.normal(size=(V, 3)).astype(np.float32), 0.5, 4.0, 1.0),
        "popularity": Popularity(rng.random(V)),
        "neural": ModelScorer(build_model(SECTION, V).eval()),
    }


HISTORIES = ragged([[2, 3, 4, 5, 3], [7], [8, 9]])


def test_scores_are_the_weighted_sum_of_the_members() -> None:
    members = real_members()
    blend = {"knn": 0.5, "als": 0.25, "popularity": 0.25, "neural": 0.0}

    scores = Hybrid(members, blend).scores(HISTORIES, np.array([2, 0]))

    expected = np.zeros((2, V - NUM_RESERVED))
    for name, weight in blend.items():
        alone = members[name].scores(HISTORIES, np.array([2, 0])).detach().double().numpy()
        items = alone[:, NUM_RESERVED:]
        expected += weight * (items - items.mean(1, keepdims=True)) / items.std(1, keepdims=True)
    np.testing.assert_allclose(scores[:, NUM_RESERVED:], expected, rtol=1e-4, atol=1e-5)


def test_parts_are_the_weighted_sum_of_the_members_parts() -> None:
    members = real_members()
    wanted = torch.tensor([[6, 7], [8, 2], [3, 4]])
    blend = {"knn": 0.5, "als": 0.5, "popularity": 0.0, "neural": 0.0}
    rows = np.arange(3)

    parts = Hybrid(members, blend).contributions(HISTORIES, rows, wanted)

    expected = torch.zeros(3, 2, 5, dtype=torch.float64)
    for name in ("knn", "als"):
        spread = members[name].scores(HISTORIES, rows)[:, NUM_RESERVED:].double().std(1, False)
        alone = members[name].contributions(HISTORIES, rows, wanted)
        expected += 0.5 * alone / spread[:, None, None]
    torch.testing.assert_close(parts.double(), expected, rtol=1e-4, atol=1e-5)


def test_a_networks_parts_stand_at_the_newest_events() -> None:
    network = real_members()["neural"]

    parts = network.contributions(HISTORIES, np.array([0, 2]), torch.tensor([[6], [6]]))

    assert parts.shape == (2, 1, 5)
    assert not parts[0, 0, :2].any() and bool((parts[0, 0, 2:] != 0).all())
    assert bool((parts[1, 0, :2] != 0).all()) and not parts[1, 0, 2:].any()


def test_an_item_that_one_member_alone_knows_has_its_part_of_the_score() -> None:
    none = -torch.inf
    scores = [torch.tensor([[0.5, none, none]]), torch.tensor([[0.5, 2.0, none]])]

    assert weighted_sum(scores, [0.25, 0.75]).tolist() == [[0.5, 1.5, none]]


def test_a_member_that_knows_no_item_adds_nothing() -> None:
    scores = torch.full((2, V), -torch.inf, dtype=torch.float64)
    scores[:, :NUM_RESERVED] = 0

    found, spread = standard(scores)

    assert found[:, NUM_RESERVED:].isneginf().all() and (spread == 0).all()


def test_a_single_user_is_scaled_as_one_of_many() -> None:
    rng = np.random.default_rng(3)
    scores = torch.from_numpy(rng.normal(size=(3, 60_000)))
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        together, alone = standard(scores), standard(scores[:1])
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(one, many[:1]) for one, many in zip(alone, together, strict=True))
