"""The ranker of a network, exactly and with an index, against the dot products."""

import numpy as np
import pytest
import torch

from conf.contract import NO_ITEM, NUM_RESERVED
from conf.settings.model import Model
from conf.settings.score import Score
from serving.ranking.rankers import NetworkRanker
from serving.ranking.shelf import Shelf
from serving.rules.allowed import Allowed
from serving.rules.history import Seen, known_to_model, seen_items
from tests.trainer.small_parts import ragged
from trainer.data.columns import Ragged
from trainer.models.bundle import build_model
from trainer.models.scorer import ModelScorer

ITEMS, USERS, K = 60, 8, 5
CATALOGUE = NUM_RESERVED + ITEMS
NEWER = np.arange(CATALOGUE, CATALOGUE + 20)
"""Items of the dataset that the model does not know."""


def network(similarity: str = "dot") -> ModelScorer:
    torch.manual_seed(3)
    section = {**Model().model_dump(mode="json"), "width": 8, "encoder": "mean"}
    section |= {"similarity": similarity, "embedding_std": 1.0, "event_types": 0}
    section |= {"event_features": [], "content": {"fields": [], "dropout": 0.0, "id_dropout": 0.0}}
    return ModelScorer(build_model(section, CATALOGUE).eval())


def histories(seed: int = 4) -> Ragged:
    """Return histories of the dataset, half of whose items the model does not know."""
    rng = np.random.default_rng(seed)
    known = rng.integers(NUM_RESERVED, CATALOGUE, (USERS, 6))
    return ragged(np.hstack([known, rng.choice(NEWER, (USERS, 6))]).tolist())


class OfDataset:
    """Leaves out what users have seen in the dataset, and all items but some."""

    def __init__(self, histories: Ragged, kept: np.ndarray | None) -> None:
        self.histories, self.kept = histories, kept

    def allowed(self, rows: np.ndarray) -> Allowed:
        return Allowed(seen_items(self.histories, rows))


def ranker(scorer: ModelScorer, index: str | None) -> NetworkRanker:
    asked = {"exact": None, "index": {"lists": 6, "probes": 6}}[index or "exact"]
    return NetworkRanker(scorer, Score.model_validate({"index": asked}), "m")


def by_hand(scorer: ModelScorer, seen: Ragged, kept: np.ndarray, k: int) -> list[list[int]]:
    """Return the best items of each user from the scores of all."""
    scores = scorer.scores(known_to_model(seen, CATALOGUE), np.arange(USERS)).detach().numpy()
    found = []
    for user in range(USERS):
        own = set(seen.values[seen.offsets[user] : seen.offsets[user + 1]].tolist())
        may = [item for item in kept.tolist() if item < CATALOGUE and item not in own]
        best = sorted(may, key=lambda item: (-scores[user, item], item))[:k]
        found.append(best + [NO_ITEM] * (k - len(best)))
    return found


EVERY = np.arange(NUM_RESERVED, NEWER[-1] + 1)
KEPT = {
    "no rule": None,
    "all": EVERY,
    "all of the model": EVERY[:ITEMS],
    "half": EVERY[::2],
    "three": EVERY[[4, 9, 70]],
    "newer ones": NEWER,
}


@pytest.mark.parametrize("search", ["exact", "index"])
@pytest.mark.parametrize("similarity", ["dot", "cosine"])
@pytest.mark.parametrize("kept", KEPT)
def test_items_that_are_newer_than_the_model_change_nothing(
    search: str, similarity: str, kept: str
) -> None:
    scorer, seen = network(similarity), histories()
    rules = OfDataset(seen, KEPT[kept])
    known, rows = known_to_model(seen, CATALOGUE), np.arange(USERS)

    found = ranker(scorer, search).rank(known, rows, k=K, rules=rules)

    every = EVERY if KEPT[kept] is None else KEPT[kept]
    assert found.rows.tolist() == rows.tolist()
    assert found.best.item_idx.tolist() == by_hand(scorer, seen, every, K)


def test_a_shelf_drops_pairs_of_items_that_it_lacks() -> None:
    seen = Seen(torch.tensor([0, 0, 1, 1]), torch.tensor([3, 9, 5, 6]))
    for kept, expected in ((None, [(0, 3), (1, 5)]), (np.array([2, 5, 9]), [(1, 3)])):
        placed = Shelf(kept, 6, torch.device("cpu")).placed(seen)
        assert list(zip(placed.rows.tolist(), placed.item_idx.tolist(), strict=True)) == expected


def test_rules_that_leave_all_items_share_one_index_and_others_have_their_own() -> None:
    seen = histories()
    made = ranker(network(), "index")
    known, rows = known_to_model(seen, CATALOGUE), np.arange(USERS)
    for kept in (None, EVERY, EVERY.copy(), KEPT["all of the model"], KEPT["half"]):
        made.rank(known, rows, k=K, rules=OfDataset(seen, kept))
    is_whole = [one.find is made.whole for one in made.shelves.values()]
    assert is_whole == [True, True, True, True, False]


def test_a_model_on_its_device_is_not_made_again() -> None:
    scorer = network()
    assert scorer.to(torch.device("cpu")) is scorer
