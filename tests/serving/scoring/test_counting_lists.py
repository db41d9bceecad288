"""Lists and reasons of the models that count, as they are published."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from conf.contract import NO_ITEM, Manifest
from conf.runs.stages import run_score
from conf.settings.config import Config
from conf.workspace.pointers import publish
from serving.ranking.rankers import ScoresRanker
from serving.rules.allowed import HistoryRules
from serving.scoring.list_model import is_personal
from serving.scoring.worker import PartScorer, ScoringJob
from tests.serving.tiny_shop import DAY, read_lists, tiny_config, write_dataset
from tests.trainer.small_parts import matrix, ragged, train_block
from trainer.models.als import fit_als
from trainer.models.bundle import (
    Trained,
    build_model,
    load_scorer,
    model_section,
    save_bundle,
    with_prefix,
)
from trainer.models.counting import CountingModel
from trainer.models.ease import fit_ease
from trainer.models.hybrid import Hybrid
from trainer.models.item_knn import fit_item_knn
from trainer.models.markov import fit_markov
from trainer.models.popularity import Popularity
from trainer.models.scorer import Scorer

HISTORIES = [[2, 3, 4], [5, 6, 7, 8, 9, 10, 11, 12], [], [3, 3], [2], [12, 2, 9, 9], [1], [4, 11]]
ITEMS, LENGTH = 11, 4
EVENTS = np.bincount([item for row in HISTORIES for item in row], minlength=ITEMS + 2)
EVENTS[:2] = 0
DECAY = {"history_decay": 0.5}
ALS = {"regularisation": 0.1, "alpha": 5.0, **DECAY}
NAMES = ("popularity", "markov", "item_knn", "ease", "als")


def fitted(name: str) -> tuple[dict[str, Any], CountingModel]:
    had = matrix([row for row in HISTORIES if row], ITEMS + 2)
    if name == "popularity":
        return {}, Popularity(EVENTS)
    if name == "markov":
        return {"history_decay": 0.0}, fit_markov([train_block(HISTORIES)], EVENTS)
    if name == "item_knn":
        model = fit_item_knn(
            had, EVENTS, neighbours=9, similarity="cosine", shrinkage=0.5, history_decay=0.5
        )
        return DECAY, model
    if name == "ease":
        return DECAY, fit_ease(
            had, EVENTS, regularisation=1.0, weights_per_item=99, max_items=99, history_decay=0.5
        )
    return ALS, fit_als(had, factors=3, iterations=5, seed=1, threads=1, **ALS)


def trained(name: str, config: Config, manifest: Manifest) -> Trained:
    if name != "hybrid":
        section, model = fitted(name)
        return Trained(section, model.weights(), {})
    torch.manual_seed(1)
    neural = model_section(config, manifest)
    weights = with_prefix("neural", build_model(neural, ITEMS + 2).state_dict())
    sections = {"neural": neural}
    for member in ("markov", "als"):
        sections[member], model = fitted(member)
        weights |= with_prefix(member, model.weights())
    blend = {"neural": 0.5, "markov": 0.125, "als": 0.375}
    return Trained({"members": sections, "blend": blend}, weights, {})


def shop(workspace: Path, name: str, *overrides: str) -> tuple[Config, Manifest, str]:
    config = tiny_config(workspace, f"train.algorithm={name}", "score.reasons=2", *overrides)
    manifest = write_dataset(workspace, HISTORIES, items=ITEMS)
    model_id = save_bundle(config, manifest, "c" * 64, trained(name, config, manifest))
    publish(workspace, "models", model_id, DAY)
    return config, manifest, model_id


def part_scorer(config: Config, manifest: Manifest, model_id: str) -> PartScorer:
    workspace = Path(config.run.output)
    return PartScorer(ScoringJob(workspace, manifest.id, model_id, "r", workspace, config.score))


def ranked_by_hand(scorer: Scorer, user: int) -> tuple[list[int], np.ndarray]:
    with torch.no_grad():
        scores = scorer.scores(ragged([HISTORIES[user]]), np.arange(1))[0].double().numpy()
    allowed = [item for item in range(2, ITEMS + 2) if item not in HISTORIES[user]]
    return sorted(allowed, key=lambda item: (-scores[item], item))[:LENGTH], scores


@pytest.mark.parametrize("name", [*NAMES, "hybrid"])
@pytest.mark.parametrize("block_items", [2, 100])
def test_lists_equal_a_full_sort_of_the_scores(name: str, block_items: int, tmp_path: Path) -> None:
    made = shop(tmp_path, name, f"score.block_items={block_items}")
    _, scorer = load_scorer(tmp_path, made[2])

    lists = part_scorer(*made).maker.lists(ragged(HISTORIES))

    assert lists.why_fallback.tolist() == [0, 0, 1, 0, 0, 0, 2, 0]
    for user in range(len(HISTORIES)):
        found = [item for item in lists.item_idx[user].tolist() if item != NO_ITEM]
        if lists.why_fallback[user]:
            assert found == [2, 3, 9, 4]
            continue
        ranked, scores = ranked_by_hand(scorer, user)
        if name == "als":  # equal factors: sums that are equal but for rounding
            np.testing.assert_allclose(scores[found], scores[ranked], rtol=1e-5)
        else:
            assert found == ranked
        np.testing.assert_allclose(lists.scores[user, : len(ranked)], scores[ranked], rtol=1e-4)


@pytest.mark.parametrize("name", [*NAMES, "hybrid"])
def test_reasons_are_the_shares_of_what_raised_the_score(name: str, tmp_path: Path) -> None:
    made = shop(tmp_path, name)
    _, scorer = load_scorer(tmp_path, made[2])

    lists = part_scorer(*made).maker.lists(ragged(HISTORIES))

    for user in (0, 1, 3, 5, 7):
        best = torch.from_numpy(lists.item_idx[user])[None]
        parts = scorer.contributions(ragged([HISTORIES[user]]), np.arange(1), best)[0]
        for place, item in enumerate(lists.item_idx[user].tolist()):
            by_item: dict[int, float] = {}
            for event, part in zip(HISTORIES[user], parts[place].tolist(), strict=True):
                by_item[event] = by_item.get(event, 0) + part
            raised = {event: part for event, part in by_item.items() if part > 0 and item > 0}
            first = sorted(raised, key=lambda event: -raised[event])[:2]
            named = [event for event in lists.reason_idx[user, place].tolist() if event != NO_ITEM]
            if item != NO_ITEM:
                assert named == first
                shares = [raised[event] / sum(raised.values()) for event in first]
                got = lists.reason_weight[user, place, : len(first)]
                np.testing.assert_allclose(got, shares, rtol=1e-3)
    assert (lists.reason_idx >= 2).any() == (name != "popularity")


def test_a_list_has_no_reasons_if_the_model_knows_none_of_the_events_it_looks_at(
    tmp_path: Path,
) -> None:
    lists = part_scorer(*shop(tmp_path, "markov")).maker.lists(
        ragged([[2, 1]])
    )  # the last one counts

    assert lists.why_fallback.tolist() == [0]
    assert (lists.item_idx[0] > 2).all()
    assert (lists.reason_idx < 0).all()


def test_no_more_scores_are_held_than_blocks_have_room_for(tmp_path: Path) -> None:
    config = tiny_config(tmp_path, "score.block_users=100", "score.block_items=30")
    asked: list[int] = []

    class Watched(Popularity):
        def scores(self, histories: Any, rows: np.ndarray) -> torch.Tensor:
            asked.append(len(rows))
            return super().scores(histories, rows)

    ranker = ScoresRanker(Watched(np.arange(1000.0)), config.score, 1000)
    histories = ragged([[5]] * 11)
    rules = HistoryRules(histories, drop_seen=True)
    ranked = ranker.rank(histories, np.arange(11), k=4, rules=rules)

    assert asked == [3, 3, 3, 2]  # 100 times 30 scores are those of 3 users
    assert ranked.best.item_idx.tolist() == [[999, 998, 997, 996]] * 11


class Troubled(Popularity):
    """Gives no finite scores to users whose last item is 5."""

    def scores(self, histories: Any, rows: np.ndarray) -> torch.Tensor:
        scores = super().scores(histories, rows)
        scores[histories.values[histories.offsets[rows + 1] - 1] == 5, 3] = torch.nan
        return scores


def test_users_without_finite_scores_get_the_fallback_list(tmp_path: Path) -> None:
    scorer = part_scorer(*shop(tmp_path, "popularity"))
    scorer.maker.ranker = ScoresRanker(Troubled(EVENTS.astype(float)), scorer.job.score, ITEMS + 2)

    lists = scorer.maker.lists(ragged([[2, 5], [2, 3], [5]]))

    assert lists.why_fallback.tolist() == [3, 0, 3]
    assert lists.item_idx.tolist() == [[3, 9, 4, 11], [9, 4, 11, 12], [2, 3, 9, 4]]
    assert np.isfinite(lists.scores).all()


def test_only_models_that_look_at_the_user_are_to_differ_between_users() -> None:
    popular, markov = fitted("popularity")[1], fitted("markov")[1]

    assert not is_personal(popular) and is_personal(markov)
    assert is_personal(Hybrid({"a": popular, "b": markov}, {"a": 0.5, "b": 0.5}))
    assert not is_personal(Hybrid({"a": popular, "b": markov}, {"a": 1.0, "b": 0.0}))


@pytest.mark.usefixtures("scored_here")
def test_the_real_path_publishes_them(tmp_path: Path) -> None:
    config, _, model_id = shop(tmp_path, "hybrid")

    result = run_score(config)

    assert result["published"] == "published" and all(result["gates"].values())
    assert (result["counts"]["model_lists"], result["counts"]["fallback_lists"]) == (6, 2)
    rows = [row for row in read_lists(Path(result["folder"])) if row["user_id"] == "u5"]
    ranked, _ = ranked_by_hand(load_scorer(tmp_path, model_id)[1], 5)
    assert [row["item_id"] for row in rows] == [f"i{item}" for item in ranked]
    assert {reason["item_id"] for row in rows for reason in row["reasons"] or ()} <= {
        "i12", "i2", "i9",
    }  # fmt: skip
