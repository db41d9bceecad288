"""Maximal marginal relevance, against answers by hand and a greedy choice in plain Python."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from conf.errors import ConfigError
from conf.settings.lists.diversity import Diversity
from serving.arranging.diversity import (
    CosineSimilarity,
    Diversifying,
    FieldSimilarity,
    TagSimilarity,
    pairwise_similarity,
    relevance,
    similarity_of,
    tag_numbers,
)
from serving.arranging.greedy import fill
from serving.scoring.arranged import diversity_figures
from tests.serving.random_shop import Shop, random_shop
from tests.serving.tiny_shop import tiny_config
from trainer.models.popularity import Popularity

LENGTH, COUNT = 5, 12


def test_each_place_takes_the_highest_marginal_relevance() -> None:
    # Scores 10, 9, 8, 4, 0 have the relevance 1, .9, .8, .4, 0. Items 2, 3, 4 are toys.
    codes = np.array([-1, -1, 0, 0, 0, 1, 2])
    candidates = np.array([[2, 3, 4, 5, 6]])
    scores = np.array([[10.0, 9, 8, 4, 0]], dtype=np.float32)
    pinned = np.full((1, 4), -1)

    def chosen(weight: float) -> list[int]:
        chooser = Diversifying(weight, 5, FieldSimilarity(codes)).chooser(
            candidates, scores, pinned
        )
        return fill(candidates, pinned, [], chooser=chooser).item[0].tolist()

    assert chosen(0.0) == [2, 3, 4, 5]
    # After item 2: .6 * .9 - .4 = .14 for 3, .08 for 4, .6 * .4 = .24 for 5, 0 for 6.
    # After item 5: .14 for 3 is the highest.
    assert chosen(0.4) == [2, 5, 3, 4]
    # After item 2: -.05 for 3, -.1 for 4, .2 for 5, 0 for 6. Then 6 (0), then 3.
    assert chosen(0.5) == [2, 5, 6, 3]


def test_a_pinned_item_is_in_the_list_from_the_start() -> None:
    codes, candidates = np.array([-1, -1, 0, 0, 1]), np.array([[2, 3, 4]])
    pinned = np.array([[-1, 3]])
    chooser = Diversifying(0.9, 3, FieldSimilarity(codes)).chooser(
        candidates, np.array([[3.0, 2, 1]]), pinned
    )
    assert fill(candidates, pinned, [], chooser=chooser).item.tolist() == [[4, 3]]


def test_relevance_is_the_place_between_lowest_and_highest_score() -> None:
    scores = np.array([[3.0, 1, -1], [2, 2, 2], [5, 1, -np.inf], [-np.inf] * 3], dtype=np.float32)
    expected = [[1, 0.5, 0], [1, 1, 1], [1, 0, 0], [0, 0, 0]]
    assert relevance(scores).tolist() == expected
    assert relevance(np.zeros((2, 0))).shape == (2, 0)


def test_similarity_of_tags_is_the_share_of_common_ones() -> None:
    tags = tag_numbers(["a|b|c", "b | c|d", None, "['a', 'b']", "|"], "|")
    found = pairwise_similarity(TagSimilarity(tags), np.array([[2, 3, 4, 5, 6, -1]]))[0]
    expected = np.zeros((6, 6))
    expected[:2, :2] = [[1, 2 / 4], [2 / 4, 1]]
    expected[3, 3], expected[0, 3], expected[3, 0] = 1, 2 / 3, 2 / 3
    expected[1, 3] = expected[3, 1] = 1 / 4
    assert np.allclose(found, expected)


def test_similarity_of_vectors_is_their_cosine_and_0_for_unknown_items() -> None:
    vectors = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    unknown = np.arange(6) == 4
    items = np.array([[2, 3, 4], [5, 7, -1]])  # 7 is newer than the model
    found = pairwise_similarity(CosineSimilarity(torch.from_numpy(vectors), unknown), items)
    lengths = np.linalg.norm(vectors, axis=1)
    cosine = vectors[2] @ vectors[3] / lengths[2] / lengths[3]
    assert np.allclose(found[0], [[1, cosine, 0], [cosine, 1, 0], [0, 0, 0]], atol=1e-6)
    assert np.allclose(found[1], [[1, 0, 0], [0, 0, 0], [0, 0, 0]], atol=1e-6)


def settings(by: str, weight: float, *more: str) -> list[str]:
    spec = f"score.diversity={{weight: {weight}, among: {COUNT}, by: {by}}}"
    return [f"score.list_length={LENGTH}", spec, *more]


PLACES = [
    "score.rules.caps.region=2",
    "score.rules.pins.a={item: i3, position: 2, where: \"user.region = 'south'\"}",
    "score.rules.where.a='stock > 0'",
    "score.rules.refill=false",
]


def similarities(shop: Shop, by: str) -> np.ndarray:
    size = len(shop.items) + 2
    if by == "vectors":
        vectors = shop.scorer().maker.scorer.item_vectors.numpy().astype(np.float64)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-12)
        return vectors @ vectors.T
    values = [None, None, *(item[by] for item in shop.items)]
    return np.array([[float(values[a] is not None and values[a] == values[b])
                      for b in range(size)] for a in range(size)])  # fmt: skip


def greedy(
    shop: Shop, user: int, weight: float, scores: np.ndarray, alike: np.ndarray, *, ruled: bool
) -> list[int]:
    """Choose place by place from the best items; others only where none of them fits."""
    items = shop.items
    may = [n for n in range(2, len(items) + 2) if n not in shop.histories[user]
           and not (ruled and not (items[n - 2]["stock"] or 0) > 0)]  # fmt: skip
    may.sort(key=lambda n: -scores[user, n])
    low, high = (scores[user, may[:COUNT][place]] for place in (-1, 0))
    found: list[int | None] = [None] * LENGTH
    if ruled and shop.users[user]["region"] == "south" and 3 in may:
        found[1] = 3

    def fits(item: int) -> bool:
        region = items[item - 2]["region"]
        same = sum(items[other - 2]["region"] == region for other in found if other)
        return item not in found and (not ruled or region is None or same < 2)

    def value(item: int) -> float:
        nearest = max((alike[item, other] for other in found if other), default=0.0)
        return (1 - weight) * (scores[user, item] - low) / (high - low) - weight * nearest

    for place in range(LENGTH):
        if found[place] is None:
            best = [n for n in may[:COUNT] if fits(n)]
            later = [n for n in may[COUNT:] if fits(n)]
            found[place] = max(best, key=value) if best else next(iter(later), None)
    return [item for item in found if item]


@pytest.mark.parametrize("by", ["vectors", "category"])
@pytest.mark.parametrize(("weight", "ruled"), [(0.3, False), (0.7, True), (1.0, True)])
def test_lists_are_those_of_a_greedy_choice(
    tmp_path: Path, by: str, weight: float, ruled: bool
) -> None:
    shop = random_shop(tmp_path, 7, *settings(by, weight, *(PLACES if ruled else ())), users=33)
    scores, alike = shop.scores(), similarities(shop, by)

    lists, counted = shop.lists()

    for user, rows in enumerate(lists):
        if shop.histories[user]:
            expected = greedy(shop, user, weight, scores, alike, ruled=ruled)
            assert [int(row["item_id"][1:]) for row in rows] == expected, user
    for name in ("rule_violations", "unexplained", "bad_scores", "misplaced_rows"):
        assert counted.counts[name] == 0, name
    assert counted.counts["model_lists"] > 20


@pytest.mark.parametrize("more", [(), PLACES])
def test_the_weight_0_changes_no_row(tmp_path: Path, more: list[str]) -> None:
    plain = random_shop(tmp_path / "plain", 3, f"score.list_length={LENGTH}", *more, users=25)
    weighed = random_shop(tmp_path / "weighed", 3, *settings("vectors", 0, *more), users=25)

    def rows(shop: Shop) -> list[dict[str, Any]]:
        worker, workspace = shop.scorer(), Path(shop.config.run.output)
        for part in range(len(shop.manifest.row_groups("histories"))):
            worker.score(part)
        tables = [pa.parquet.read_table(path) for path in sorted(workspace.glob("part-*.parquet"))]
        return [{k: v for k, v in row.items() if more or k != "rules"}
                for row in pa.concat_tables(tables).to_pylist()]  # fmt: skip

    assert rows(plain) == rows(weighed)


def test_the_ledger_has_dissimilarity_and_relevance_of_both_lists(tmp_path: Path) -> None:
    shop = random_shop(tmp_path, 7, *settings("category", 0.6), users=33)
    alike, scores = similarities(shop, "category"), shop.scores()
    worker, sums = shop.scorer(), {}
    for part in range(len(shop.manifest.row_groups("histories"))):
        users, histories = worker.read(part)
        rules = worker.maker.for_part(users, histories)
        worker.maker.lists(histories, rules)
        for name, count in worker.maker.ledger(users, histories, rules)["score.diversity"].items():
            sums[name] = sums.get(name, 0) + count

    figures = diversity_figures(sums)

    known = [user for user, history in enumerate(shop.histories) if history]
    expected: dict[float, list[float]] = {}
    for weight in (0.6, 0.0):
        apart, kept = [], 0.0
        for user in known:
            items = greedy(shop, user, weight, scores, alike, ruled=False)
            pairs = [1 - alike[a, b] for a in items for b in items if a < b]
            apart.append(sum(pairs) / len(pairs))
            own = np.sort(np.delete(scores[user, 2:], np.array(shop.histories[user]) - 2))[::-1]
            low, high = own[COUNT - 1], own[0]
            kept += sum(max((scores[user, n] - low) / (high - low), 0) for n in items)
        expected[weight] = [float(np.mean(apart)), kept]
    assert figures["sampled_lists"] == len(known)
    assert figures["dissimilarity"] == pytest.approx(expected[0.6][0], abs=1e-5)
    assert figures["dissimilarity_without"] == pytest.approx(expected[0.0][0], abs=1e-5)
    assert figures["relevance_kept"] == pytest.approx(expected[0.6][1] / expected[0.0][1], abs=1e-5)
    assert figures["dissimilarity"] > figures["dissimilarity_without"]


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("score.diversity={among: 3}", "diversity.among=3 is below list_length=4; raise it"),
        ("score.diversity={weight: 1.5}", "less than or equal to 1"),
        ("train.algorithm=markov", "train.algorithm=markov has no vectors of items"),
        ("score.candidates={a: {from: popularity, count: 5}}", "diversity and candidates are both"),
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path: Path, override: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        tiny_config(tmp_path, "score.diversity={}", override)


def test_a_field_that_items_lack_and_a_model_without_vectors_are_refused(tmp_path: Path) -> None:
    shop = random_shop(tmp_path, 1, "score.diversity={by: colour}")
    with pytest.raises(ConfigError, match=r"items have no field colour; there are .*'vectors'"):
        shop.scorer()
    popular = Popularity(np.ones(42))
    with pytest.raises(ConfigError, match=r"model m \(popularity\) has no vectors of items"):
        similarity_of(Diversity(), popular, "m (popularity)", pa.table({}), shop.manifest)
