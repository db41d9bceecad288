"""Least shares of places: met over all lists, in the same way for any parts."""

from fractions import Fraction
from math import ceil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from conf.errors import ConfigError
from serving.arranging.arrange import Arranging
from serving.publishing.parts import read_ledger
from serving.rules.placing import CapRule, ShareRule
from tests.serving.random_shop import Shop, random_shop
from tests.serving.tiny_shop import tiny_config

LENGTH = 5
SHARE = "score.rules.shares.food={where: \"category = 'food'\", at_least: "


def expected_list(shop: Shop, user: int, at_least: str, order: list[int]) -> list[int]:
    """Return the best items, of which the last ones are food if the list would lack it."""
    share = Fraction(at_least) * LENGTH
    quota = ceil((user + 1) * share) - ceil(user * share)
    found: list[int] = []
    for place in range(LENGTH):
        lacks = quota - sum(shop.items[n - 2]["category"] == "food" for n in found)
        left = [n for n in order if n not in found]
        food = [n for n in left if shop.items[n - 2]["category"] == "food"]
        found += (food if food and lacks >= LENGTH - place else left)[:1]
    return found


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("at_least", ["0.15", "0.5", "0.9"])
def test_lists_are_the_best_ones_with_that_share(tmp_path: Path, seed: int, at_least: str) -> None:
    shop = random_shop(
        tmp_path, seed, f"{SHARE}{at_least}}}", f"score.list_length={LENGTH}",
        users=40, items=150,
    )  # fmt: skip
    events = {n: sum(h.count(n) for h in shop.histories) for n in range(2, 152)}

    lists, counted = shop.lists()

    scores, food, places = shop.scores(), 0, 0
    for user, rows in enumerate(lists):
        may = [n for n in range(2, 152) if n not in shop.histories[user]]
        order = sorted(may, key=lambda n: -scores[user, n])
        if not shop.histories[user]:
            order = sorted((n for n in may if events[n]), key=lambda n: -events[n])
        expected = expected_list(shop, user, at_least, order)
        assert [int(row["item_id"][1:]) for row in rows] == expected
        food += sum(shop.items[n - 2]["category"] == "food" for n in expected)
        places += len(expected)
    assert food >= Fraction(at_least) * places
    for name in ("rule_violations", "unexplained", "bad_scores"):
        assert counted.counts[name] == 0, name
    ledger = read_ledger(tmp_path, len(shop.manifest.row_groups("histories")))
    of_share = ledger["score.rules.shares.food"]
    assert (of_share["places_of_share"], of_share["places"]) == (food, places)


def test_the_gate_finds_lists_that_lack_their_share(tmp_path: Path) -> None:
    options = [f"score.list_length={LENGTH}"]
    free = random_shop(tmp_path / "free", 3, "score.rules.where.a=1 = 1", *options, items=150)
    lists, _ = free.lists()
    of_food = [
        sum(free.items[int(row["item_id"][1:]) - 2]["category"] == "food" for row in rows)
        for rows in lists
    ]
    shop = random_shop(tmp_path / "ruled", 3, f"{SHARE}0.4}}", *options, items=150)
    for path in (tmp_path / "free").glob("part-*.parquet"):
        path.rename(tmp_path / "ruled" / path.name)

    assert shop.counted().counts["rule_violations"] == sum(found < 2 for found in of_food) > 0


def test_shares_that_cannot_be_are_refused(tmp_path: Path) -> None:
    more = "score.rules.shares.more={where: stock > 0, at_least: 0.5}"
    with pytest.raises(ConfigError, match=r"the sum of at_least is 1\.1"):
        tiny_config(tmp_path, f"{SHARE}0.6}}", more)
    shop = random_shop(
        tmp_path / "shop", 1, "score.rules.shares.own={where: user.budget > 3, at_least: 0.1}"
    )
    with pytest.raises(ConfigError, match=r"shares\.own\.where uses fields of users"):
        shop.scorer()


@pytest.mark.parametrize("refill", ["true", "false"])
def test_a_list_that_caps_end_early_has_its_share(tmp_path: Path, refill: str) -> None:
    shop = random_shop(
        tmp_path, 4, f"{SHARE}0.3}}", "score.list_length=7", f"score.rules.refill={refill}",
        "score.rules.where.a='region is not null'", "score.rules.caps.region=2",
        users=40, items=150,
    )  # fmt: skip

    lists, counted = shop.lists()

    for user, rows in enumerate(lists):
        listed = [shop.items[int(row["item_id"][1:]) - 2] for row in rows]
        if not shop.histories[user]:
            continue  # popular items; there may be too few of a kind
        assert sorted(one["region"] for one in listed) == ["north", "north", "south", "south"]
        quota = ceil((user + 1) * Fraction("2.1")) - ceil(user * Fraction("2.1"))
        assert sum(one["category"] == "food" for one in listed) >= quota
    assert counted.counts["rule_violations"] == counted.counts["unexplained"] == 0


def test_a_list_that_its_share_makes_longer_is_the_longer_one() -> None:
    kind = np.array([-1, -1, 0, 1, 1, 1])  # items 2 to 5; neighbours differ in their kind
    share = ShareRule("s", Fraction("0.4"), np.array([False] * 4 + [True] * 2))
    book = SimpleNamespace(caps=[CapRule("c", 1, 2, kind)], shares=[share])
    rules: Any = SimpleNamespace(book=book, user_idx=np.array([2]))
    none: Any = None
    arranging = Arranging(none, None, none, rules, list_length=5)
    ranked, nobody = np.array([[2, 3, 4, 5]]), np.full((1, 5), -1)

    found = arranging._filled(np.array([0]), nobody, ranked, np.zeros((1, 4)), is_strict=False)

    assert found.item.tolist() == [[4, 2, 5, -1, -1]]  # not 2 and 3, of which none has a share
    assert found.is_stuck.tolist() == [True]
