"""Caps, pins, boosts, the least score and refills, against a greedy choice from the whole shop."""

import logging
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from conf.errors import ConfigError
from serving.kinds.written import _warn_of_pins
from serving.publishing.parts import read_ledger
from tests.serving.random_shop import Shop, random_shop
from tests.serving.tiny_shop import tiny_config

LENGTH = 6
WHERE = "score.rules.where.a='stock > 0'"
PINS = {"top": (3, 1, "south"), "third": (4, 3, None), "last": (5, LENGTH, "north")}
"""Item, position and region of the users of each pin."""


class Rules(NamedTuple):
    """What the brute force has to know."""

    cap: int | None = None
    within: int | None = None
    region_cap: int | None = None
    pins: bool = False
    least: float | None = None
    boost: bool = False
    refill: bool = True
    toys: bool = False
    """Whether toys come first, so that a cap of toys needs candidates from far below."""


def overrides(rules: Rules) -> list[str]:
    found = [
        WHERE,
        f"score.list_length={LENGTH}",
        f"score.rules.refill={str(rules.refill).lower()}",
    ]
    if rules.cap is not None:
        within = "null" if rules.within is None else rules.within
        found.append(f"score.rules.caps.category={{most: {rules.cap}, within: {within}}}")
    if rules.region_cap is not None:
        found.append(f"score.rules.caps.region={rules.region_cap}")
    for name, (item, position, region) in PINS.items() if rules.pins else ():
        where = "null" if region is None else f"'user.region = ''{region}'''"
        found.append(
            f"score.rules.pins.{name}={{item: i{item}, position: {position}, where: {where}}}"
        )
    if rules.least is not None:
        found.append(f"score.rules.least_score={rules.least}")
    if rules.boost:
        found += [
            "score.rules.boosts.cheap={where: price < 5, times: 1.5}",
            "score.rules.boosts.near={where: region = user.region, add: 0.25}",
            "score.rules.boosts.dear={add: '-price / 20'}",
        ]
    if rules.toys:
        found.append("score.rules.boosts.toys={where: \"category = 'toys'\", add: 10}")
    return found


def fits(shop: Shop, rules: Rules, items: list[int | None], item: int, place: int) -> bool:
    """Return whether an item breaks no cap at a place, next to the items that are there."""
    caps: list[tuple[str, int, int]] = []
    if rules.cap is not None:
        caps.append(("category", rules.cap, rules.within or LENGTH))
    if rules.region_cap is not None:
        caps.append(("region", rules.region_cap, LENGTH))
    for field, most, width in caps:
        value = shop.items[item - 2][field]
        for start in range(LENGTH - width + 1):
            window = range(start, start + width)
            others = [items[p] for p in window if p != place and items[p] is not None]
            same = sum(shop.items[other - 2][field] == value for other in others if other)
            if value is not None and place in window and same >= most:
                return False
    return True


def boosted(shop: Shop, rules: Rules, user: int, item: int, score: float) -> float:
    if rules.toys:
        return score + 10 * (shop.items[item - 2]["category"] == "toys")
    if not rules.boost:
        return score
    fields, value = shop.items[item - 2], np.float32(score)
    if fields["price"] < 5:
        value = value * np.float32(1.5) if value >= 0 else value / np.float32(1.5)
    if fields["region"] is not None and fields["region"] == shop.users[user]["region"]:
        value += np.float32(0.25)
    return float(value + np.float32(-fields["price"] / 20))


def expected_list(
    shop: Shop, rules: Rules, user: int, scores: np.ndarray, events: Callable[[int], int]
) -> list[int]:
    may = [n for n in range(2, len(shop.items) + 2)
           if (shop.items[n - 2]["stock"] or 0) > 0 and n not in shop.histories[user]]  # fmt: skip
    popular = sorted((n for n in may if events(n)), key=lambda n: -events(n))
    order = popular
    if shop.histories[user]:
        own = [n for n in may if rules.least is None or scores[user, n] >= rules.least]
        own.sort(key=lambda n: -boosted(shop, rules, user, n, scores[user, n]))
        order = own + [n for n in popular if n not in own] if rules.refill else own
    items: list[int | None] = [None] * LENGTH
    pins = sorted(PINS.values(), key=lambda pin: pin[1]) if rules.pins else []
    for item, position, region in pins:
        counts = region is None or shop.users[user]["region"] == region
        if counts and item in may and fits(shop, rules, items, item, position - 1):
            items[position - 1] = item
    pinned = {item for item in items if item}
    for place in range(LENGTH):
        if items[place] is None:
            left = [n for n in order if n not in items and n not in pinned]
            found = next((n for n in left if fits(shop, rules, items, n, place)), None)
            if found is None:
                return _closed(shop, rules, items, place)
            items[place] = found
    return [item for item in items if item]


def _closed(shop: Shop, rules: Rules, items: list[int | None], place: int) -> list[int]:
    """Let the pinned items after a gap follow the others."""
    late = [item for item in items[place:] if item]
    items[place:] = [None] * (LENGTH - place)
    for item in late:
        if fits(shop, rules, items, item, place):
            items[place] = item
            place += 1
    return [item for item in items if item]


CASES = [
    Rules(cap=2),
    Rules(cap=1, region_cap=2),
    Rules(cap=1, within=3),
    Rules(cap=2, within=4, region_cap=3),
    Rules(pins=True),
    Rules(pins=True, cap=1),
    Rules(pins=True, cap=1, within=3, boost=True),
    Rules(boost=True),
    Rules(least=1.0, refill=False),
    Rules(least=1.5),
    Rules(toys=True, cap=2),
    Rules(toys=True, cap=2, within=5, pins=True),
    Rules(least=0.5, cap=2, within=3, pins=True, boost=True, region_cap=4),
]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("rules", CASES)
def test_lists_are_those_of_a_greedy_choice_from_the_whole_shop(
    tmp_path: Path, rules: Rules, seed: int
) -> None:
    items = 240 if rules.toys else 60
    shop = random_shop(tmp_path, 10 + seed, *overrides(rules), users=40, items=items)
    count = {n: sum(h.count(n) for h in shop.histories) for n in range(2, items + 2)}

    lists, counted = shop.lists()

    scores = shop.scores()
    for user, rows in enumerate(lists):
        expected = expected_list(shop, rules, user, scores, count.__getitem__)
        assert [int(row["item_id"][1:]) for row in rows] == expected
        _check_rows(shop, rules, user, rows, scores)
    for name in ("rule_violations", "unexplained", "bad_scores", "misplaced_rows"):
        assert counted.counts[name] == 0, name
    assert set(counted.short_lists) <= {"rules"}


def _check_rows(
    shop: Shop, rules: Rules, user: int, rows: list[dict[str, Any]], scores: np.ndarray
) -> None:
    for row in rows:
        said, item = set(row["rules"] or ()), int(row["item_id"][1:])
        is_pin = any(text.startswith("pin:") for text in said)
        is_refill = "refill" in said
        is_model = bool(shop.histories[user]) and not is_refill
        assert row["source"] == ("model" if is_model else "fallback")
        assert row["why_fallback"] == (None if shop.histories[user] else "no_history")
        if is_model and not is_pin:
            score = boosted(shop, rules, user, item, scores[user, item])
            assert row["score"] == pytest.approx(score, abs=1e-4)
        if rules.boost and is_model and not is_pin:
            assert ("boost:cheap" in said) == (shop.items[item - 2]["price"] < 5)
        if is_refill:
            assert scores[user, item] < (rules.least or 0) and row["reasons"] is None
        for text in filter(lambda text: text.startswith("pin:"), said):
            assert PINS[text.removeprefix("pin:")][0] == item


@pytest.mark.parametrize("rules", [Rules(cap=1), Rules(cap=1, within=3), Rules(least=3.0)])
def test_the_gate_finds_each_place_that_breaks_a_cap_or_the_least_score(
    tmp_path: Path, rules: Rules
) -> None:
    free = random_shop(tmp_path / "free", 3, *overrides(Rules()), users=40, items=60)
    lists, _ = free.lists()
    broken = 0
    for user, rows in enumerate(lists):
        values = [free.items[int(row["item_id"][1:]) - 2]["category"] for row in rows]
        for place, value in enumerate(values):
            first = max(place - (rules.within or LENGTH) + 1, 0)
            if rules.cap and value is not None:
                broken += values[first : place + 1].count(value) > rules.cap
        if rules.least is not None and free.histories[user]:
            broken += sum(row["score"] < rules.least and not row["rules"] for row in rows)
    shop = random_shop(tmp_path / "ruled", 3, *overrides(rules), users=40, items=60)
    for path in (tmp_path / "free").glob("part-*.parquet"):
        path.rename(tmp_path / "ruled" / path.name)

    assert shop.counted().counts["rule_violations"] == broken > 0


def test_the_ledger_counts_places(tmp_path: Path) -> None:
    rules = Rules(cap=1, pins=True, boost=True, least=1.0)
    shop = random_shop(tmp_path, 4, *overrides(rules), users=40, items=60)
    lists, _ = shop.lists()

    ledger = read_ledger(tmp_path, len(shop.manifest.row_groups("histories")))

    said = Counter(text for rows in lists for row in rows for text in row["rules"] or ())
    assert ledger["score.rules.refill"]["refilled_places"] == said["refill"] > 0
    for name in PINS:
        counts = ledger[f"score.rules.pins.{name}"]
        wanted = [PINS[name][2] in (None, user["region"]) for user in shop.users]
        assert counts["pinned_places"] == said[f"pin:{name}"]
        assert counts["pinned_places"] + counts["skipped_pins"] == sum(wanted)
    assert ledger["score.rules.boosts.cheap"]["boosted_places"] == said["boost:cheap"] > 0
    assert ledger["score.rules.caps.category"]["removed_places"] > 0


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("score.rules.pins.a={item: i2, position: 9}", "position=9, but a list has list_length=4"),
        ("score.rules.caps.category={most: 3, within: 2}", "within=2 places have no more than"),
        ("score.rules.caps.category=0", "greater than or equal to 1"),
        ("score.rules.boosts.a={times: 2, add: 1}", "set either times or add"),
        ("score.rules.boosts.a={times: 0}", "times=0 must be above 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path: Path, override: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        tiny_config(tmp_path, override)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("score.rules.caps.colour=2", r"items have no field colour; there are title, .*stock"),
        ("score.rules.boosts.a={times: price - 100}", r"boosts\.a: 'price - 100' is not above 0"),
        ("score.rules.boosts.a={add: user.budget}", "uses fields of users"),
        ("score.rules.pins.a={item: i2, position: 1, where: stock > 0}", "uses fields of items"),
    ],
)
def test_rules_that_do_not_fit_the_dataset_are_refused(
    tmp_path: Path, override: str, told: str
) -> None:
    shop = random_shop(tmp_path, 1, override)
    with pytest.raises(ConfigError, match=told):
        shop.scorer()


def test_of_pins_at_one_position_the_one_for_all_users_is_the_last(tmp_path: Path) -> None:
    some = "south: {item: i3, position: 2, where: user.region = 'south'}"
    every = "every: {item: i4, position: 2}"
    shop = random_shop(tmp_path, 2, f"score.rules={{pins: {{{some}, {every}}}}}", users=40)

    lists, _ = shop.lists()

    listed = {3: 0, 4: 0}
    for user, rows in enumerate(lists):
        seen = shop.histories[user]
        wanted = 3 if shop.users[user]["region"] == "south" and 3 not in seen else 4
        if wanted not in seen:
            assert rows[1]["item_id"] == f"i{wanted}"
            listed[wanted] += 1
    assert min(listed.values()) > 0
    with pytest.raises(ConfigError, match=r"pins\.every has no where, but rules\.pins\.south"):
        tiny_config(tmp_path, f"score.rules={{pins: {{{every}, {some}}}}}")


def test_a_pin_of_an_unknown_item_is_told_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shop = random_shop(tmp_path, 2, "score.rules.pins.a={item: none, position: 1}", users=4)

    with caplog.at_level(logging.WARNING):
        counts = shop.given().counts

    assert counts == {"score.rules.pins.a": {"unknown_items": 1}}
    assert "the item of score.rules.pins.a is not in the dataset" in caplog.text


def test_a_pin_that_is_in_no_list_is_told(caplog: pytest.LogCaptureFixture) -> None:
    ledger = {
        "score.rules.pins.gone": {"pinned_places": 0, "skipped_pins": 7},
        "score.rules.pins.there": {"pinned_places": 1, "skipped_pins": 6},
        "score.rules.pins.nobody": {"pinned_places": 0, "skipped_pins": 0},
    }
    with caplog.at_level(logging.WARNING):
        _warn_of_pins(ledger, str)
    assert [record.getMessage().split()[4] for record in caplog.records] == [
        "score.rules.pins.gone"
    ]
