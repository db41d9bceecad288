"""Items that are left out by type and age of the event, against loops over the raw events."""

from pathlib import Path

import pytest

from conf.errors import ConfigError
from conf.settings.load import load_config
from serving.publishing.parts import read_ledger
from tests.serving.random_shop import NOW, Shop, best_allowed, random_shop
from tests.serving.tiny_shop import SECOND, tiny_config

DAYS = 9
BOUGHT = "score.rules.leave_out.bought={events: [buy]}"
VIEWED = f"score.rules.leave_out.viewed={{events: [view], days: {DAYS}}}"


def is_left_out(shop: Shop, user: int, item: int, *, bought: bool, viewed: bool) -> bool:
    for place, (number, time) in enumerate(
        zip(shop.histories[user], shop.times[user], strict=True)
    ):
        is_buy = place % 2 == 1
        if number == item and bought and is_buy:
            return True
        if number == item and viewed and not is_buy and time >= NOW - DAYS * 86_400 * SECOND:
            return True
    return False


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("rules", [(BOUGHT,), (VIEWED,), (BOUGHT, VIEWED)])
def test_only_items_of_these_events_are_left_out(
    tmp_path: Path, seed: int, rules: tuple[str, ...]
) -> None:
    shop = random_shop(
        tmp_path, seed, *rules, "score.rules.where.a='stock > 0'", items=12, users=40
    )
    chosen = {"bought": BOUGHT in rules, "viewed": VIEWED in rules}

    def may_get(user: int, item: int) -> bool:
        stock = shop.items[item - 2]["stock"]
        return bool(stock) and not is_left_out(shop, user, item, **chosen)

    lists, counted = shop.lists()

    expected = best_allowed(shop, may_get, 4)
    assert [[row["item_id"] for row in rows] for rows in lists] == [
        [f"i{item}" for item in items] for items in expected
    ]
    repeated = [
        item in shop.histories[user] for user, items in enumerate(expected) for item in items
    ]
    assert any(repeated)  # other events of the history leave nothing out
    assert counted.counts["rule_violations"] == counted.counts["unexplained"] == 0
    assert counted.counts["seen_items"] is None
    ledger = read_ledger(tmp_path, len(shop.manifest.row_groups("histories")))
    for name, used in chosen.items():
        if used:
            only = {"bought": name == "bought", "viewed": name == "viewed"}
            left_out = sum(
                is_left_out(shop, user, item, **only)
                for user in range(40) for item in range(2, 14)
            )  # fmt: skip
            assert ledger[f"score.rules.leave_out.{name}"]["excluded_pairs"] == left_out > 0


def test_the_gate_finds_what_should_be_left_out(tmp_path: Path) -> None:
    free = random_shop(tmp_path / "free", 3, "score.drop_seen=false", "score.rules.where.a=1 = 1")
    lists, _ = free.lists()
    broken = sum(
        is_left_out(free, user, int(row["item_id"][1:]), bought=True, viewed=True)
        for user, rows in enumerate(lists) for row in rows
    )  # fmt: skip
    shop = random_shop(tmp_path / "ruled", 3, BOUGHT, VIEWED)
    for path in (tmp_path / "free").glob("part-*.parquet"):
        path.rename(tmp_path / "ruled" / path.name)

    assert shop.counted().counts["rule_violations"] == broken > 0


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("score.drop_seen=true", "drop_seen=true leaves out every item of the history"),
        (
            "score.rules.leave_out.bought.events=[sale]",
            "'sale' is not in etl.event_types",
        ),
    ],
)
def test_contradictions_are_refused(tmp_path: Path, override: str, told: str) -> None:
    tiny_config(tmp_path, BOUGHT)
    with pytest.raises(ConfigError, match=told):
        load_config(tmp_path / "run.yaml", [BOUGHT, override])
