"""Lists of similar items under rules of their own, against a sort of all scores."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from conf.contract import SIMILAR_ITEMS
from conf.errors import ConfigError
from conf.runs.inputs.list_files import list_files
from conf.runs.inputs.request_keys import lists_request
from conf.runs.stages import run_score
from conf.settings.load import load_config
from conf.workspace.pointers import publish
from serving.similar.like_user import histories_of_items
from tests.serving.random_shop import Shop, counted_model, random_shop
from tests.serving.tiny_shop import DAY

LENGTH = 4
RULES = (
    "{where: {in_stock: 'stock > 0'}, deny: {sold: {path: sold.txt}}, caps: {category: 2}, "
    "boosts: {cheap: {where: 'price < 5', times: 1.5}}}"
)


def shop_with(folder: Path, rules: str, *overrides: str) -> Shop:
    folder.mkdir(exist_ok=True)
    (folder / "sold.txt").write_text("i7\ni8\n")
    shop = random_shop(
        folder, 4, f"score.similar_items={{count: {LENGTH}, rules: {rules}}}",
        f"input.root={folder}", *overrides,
    )  # fmt: skip
    publish(folder, "models", shop.model_id, DAY)
    return shop


def allowed_order(shop: Shop, scores: np.ndarray, item: int) -> list[int]:
    """Return the best items under `RULES` by going through all of them, best first."""
    fields = {number: shop.items[number - 2] for number in range(2, len(shop.items) + 2)}

    def value(number: int) -> float:
        score = float(scores[number])
        factor = 1.5 if fields[number]["price"] < 5 else 1.0
        return score * factor if score >= 0 else score / factor

    found: list[int] = []
    for number in sorted(fields, key=lambda n: -value(n)):
        category = fields[number]["category"]
        alike = [n for n in found if category is not None and fields[n]["category"] == category]
        may = (fields[number]["stock"] or 0) > 0 and number not in (7, 8, item)
        if may and len(alike) < 2 and len(found) < LENGTH:
            found.append(number)
    return found


@pytest.mark.usefixtures("scored_here")
@pytest.mark.parametrize("by", ["model", "vectors"])
def test_similar_items_obey_rules_of_their_own(tmp_path: Path, by: str) -> None:
    shop = shop_with(tmp_path / "shop", RULES, f"score.similar_items.by={by}")

    result = run_score(shop.config)

    lists: dict[str, list[dict[str, Any]]] = {}
    for row in pq.read_table(Path(result["folder"]) / SIMILAR_ITEMS).to_pylist():
        lists.setdefault(row["item_id"], []).append(row)
    scorer = shop.scorer().maker.scorer
    vectors = scorer.item_vectors.numpy()
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for number in range(2, len(shop.items) + 2):
        scores = units @ units[number]
        if by == "model":
            history = histories_of_items(np.array([number]), shop.manifest)
            scores = scorer.scores(history, np.array([0]))[0].detach().numpy()
        own = [row["similar_id"] for row in lists[f"i{number}"]]
        assert own == [f"i{n}" for n in allowed_order(shop, scores, number)]


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        ("{pins: {a: {item: i3, position: 1}}, leave_out: {b: {events: [buy]}}}",
         r"similar_items\.rules: leave_out, pins need users"),
        ("{allow: {a: {path: sold.txt, where: user.budget > 3}}}", r"allow\.a\.where need users"),
        ("{where: {a: 'region = user.region'}}",
         r"score\.similar_items\.rules\.where\.a uses fields of users \(region\)"),
        ("{boosts: {a: {where: 'price < user.budget', times: 2}}}", r"fields of users \(budget"),
        ("{where: {a: 'stok > 1'}}", r"score\.similar_items\.rules\.where\.a=.*uses stok"),
    ],
)  # fmt: skip
def test_rules_that_need_users_are_refused(tmp_path: Path, rules: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        run_score(shop_with(tmp_path, rules).config)


def test_rules_of_similar_items_are_in_the_key(tmp_path: Path) -> None:
    shop = shop_with(tmp_path, RULES)
    path = tmp_path / "run.yaml"

    def key(*overrides: str) -> str:
        config = load_config(path, [f"input.root={tmp_path}", *overrides])
        return lists_request(config, "d", "m", files=list_files(config))

    ruled = f"score.similar_items={{count: {LENGTH}, rules: {RULES}}}"
    first, plain = key(ruled), key(f"score.similar_items={{count: {LENGTH}}}")
    assert first != plain
    (tmp_path / "sold.txt").write_text("i7\n")
    assert key(ruled) not in (first, plain)
    assert shop.config.score.of_similar_items is not None


@pytest.mark.slow
@pytest.mark.usefixtures("scored_here")
def test_what_a_counting_model_did_not_count_keeps_no_items_apart(tmp_path: Path) -> None:
    """Popular items between two of a category are no similar items, so they leave no room."""
    folder = tmp_path / "shop"
    shop = random_shop(
        folder, 4, f"input.root={tmp_path}", "train.algorithm=item_knn",
        "score.similar_items={count: 6, rules: {caps: {category: {most: 1, within: 2}}}}",
    )  # fmt: skip
    publish(folder, "models", counted_model(shop, folder), DAY)

    result = run_score(shop.config)

    lists: dict[str, list[str]] = {}
    for row in pq.read_table(Path(result["folder"]) / SIMILAR_ITEMS).to_pylist():
        category = shop.items[int(row["similar_id"][1:]) - 2]["category"]
        lists.setdefault(row["item_id"], []).append(category)
    assert len(lists) > 10
    for own in lists.values():
        assert all(a is None or a != b for a, b in pairwise(own))
