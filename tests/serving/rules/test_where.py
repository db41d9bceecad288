"""Lists under conditions, against loops over the raw tables."""

from pathlib import Path

import pytest

from serving.publishing.parts import read_ledger
from tests.serving.random_shop import TODAY, Shop, Values, best_allowed, random_shop

CONDITIONS = {
    "in_stock": "stock > 0",
    "here": "item.region = user.region",
    "fresh": "available_until >= run_date",
    "payable": "price <= user.budget",
}


def holds(name: str, item: Values, user: Values) -> bool | None:
    if name == "in_stock":
        return None if item["stock"] is None else item["stock"] > 0
    if name == "here":
        missing = item["region"] is None or user["region"] is None
        return None if missing else item["region"] == user["region"]
    if name == "fresh":
        return item["available_until"] >= TODAY
    return item["price"] <= user["budget"]


def overrides(names: tuple[str, ...]) -> list[str]:
    return [f"score.rules.where.{name}='{CONDITIONS[name]}'" for name in names]


def may_get(shop: Shop, names: tuple[str, ...], user: int, item: int) -> bool:
    fields = shop.items[item - 2], shop.users[user]
    return item not in shop.histories[user] and all(holds(name, *fields) for name in names)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "names", [("in_stock",), ("here",), ("in_stock", "fresh", "payable"), tuple(CONDITIONS)]
)
def test_lists_are_the_best_items_that_meet_the_conditions(
    tmp_path: Path, seed: int, names: tuple[str, ...]
) -> None:
    shop = random_shop(tmp_path, seed, *overrides(names))

    lists, counted = shop.lists()

    expected = best_allowed(shop, lambda user, item: may_get(shop, names, user, item), 4)
    assert [[row["item_id"] for row in rows] for rows in lists] == [
        [f"i{item}" for item in items] for items in expected
    ]
    assert counted.counts["rule_violations"] == 0 and counted.counts["unexplained"] == 0
    short = [items for items in expected if len(items) < 4]
    assert len(short) == sum(counted.short_lists.values()) + counted.absent.num_rows
    for rows, items in zip(lists, expected, strict=True):
        assert {row["why_short"] for row in rows} <= {None if len(items) == 4 else "rules"}


def test_the_ledger_says_what_each_condition_excludes(tmp_path: Path) -> None:
    shop = random_shop(tmp_path, 7, *overrides(("in_stock", "here")))
    shop.lists()

    ledger = read_ledger(tmp_path, len(shop.manifest.row_groups("histories")))

    left = [item for item in shop.items if holds("in_stock", item, {})]
    here = [holds("here", item, user) for item in left for user in shop.users]
    assert ledger["score.rules.where.here"]["excluded_pairs"] == sum(not held for held in here)
    assert ledger["score.rules.where.here"]["null_pairs"] == here.count(None)
    free = best_allowed(shop, lambda user, item: item not in shop.histories[user], 4)
    with_model = [user for user, history in enumerate(shop.histories) if history]
    assert ledger["all"] == {"sampled_users": 30, "sampled_lists": len(with_model)}
    for name in ("in_stock", "here"):
        removed = [
            [not holds(name, shop.items[item - 2], shop.users[user]) for item in free[user]]
            for user in with_model
        ]
        of_rule = ledger[f"score.rules.where.{name}"]
        assert of_rule["removed_places"] == sum(map(sum, removed)) > 0
        assert of_rule["lists_touched"] == sum(map(any, removed))


@pytest.mark.parametrize("names", [("in_stock",), ("here", "payable")])
def test_the_gate_finds_each_place_that_breaks_a_condition(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    free = random_shop(tmp_path / "free", 3, *overrides(("fresh",)))
    lists, _ = free.lists()
    broken = sum(
        not all(holds(name, free.items[int(row["item_id"][1:]) - 2], free.users[user])
                for name in names)
        for user, rows in enumerate(lists) for row in rows
    )  # fmt: skip
    shop = random_shop(tmp_path / "ruled", 3, *overrides(names))
    for path in (tmp_path / "free").glob("part-*.parquet"):
        path.rename(tmp_path / "ruled" / path.name)

    counted = shop.counted()

    assert counted.counts["rule_violations"] == broken > 0
