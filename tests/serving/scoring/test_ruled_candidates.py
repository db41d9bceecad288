"""Lists of candidates under rules, against a choice by loops from all pairs of the shop."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from conf.contract import NUM_RESERVED
from tests.serving.staged_shop import (
    ALLOWED,
    DENIED,
    ITEMS,
    LENGTH,
    SHOWN,
    Known,
    StagedShop,
    made_by,
    named_by,
    quota,
    values_of,
)

PINS = {"top": (6, 1, "a"), "third": (5, 3, None), "odd": (33, LENGTH, "b")}
"""Item, position and country of the users of each pin."""
SHARE = 0.5


class Case(NamedTuple):
    """Rules as the brute force has to know them."""

    where: bool = False
    files: bool = False
    few: bool = False
    """Whether only seven items may be in a list."""
    fatigue: bool = False
    keeps_seen: bool = False
    cap: bool = False
    within: int | None = None
    pins: bool = False
    boosts: float = 0.0
    """What a boost adds; 0: there are none."""
    least: float | None = None
    share: bool = False
    refill: bool = True


def overrides(case: Case, workspace: Path) -> list[str]:
    found = [f"score.rules.refill={str(case.refill).lower()}", f"input.root={workspace}"]
    if case.where:
        found += [
            "score.rules.where.rich='coalesce(margin, 2) > 1'",
            "score.rules.where.here=\"coalesce(user.country, 'b') = 'a' or margin < 5\"",
        ]
    if case.files:
        found.append("score.rules.deny.bad={path: denied.txt}")
        found.append("score.rules.allow.b={path: allowed.txt, where: \"user.country = 'b'\"}")
    if case.few:
        found.append("score.rules.where.few='margin = 5 and train_events < 30'")
    if case.fatigue:
        found.append("score.rules.fatigue={versions: 1, events: [view]}")
    if case.keeps_seen:
        found.append("score.drop_seen=false")
    if case.cap:
        within = "null" if case.within is None else case.within
        found.append(f"score.rules.caps.margin={{most: 1, within: {within}}}")
    for name, (item, position, country) in PINS.items() if case.pins else ():
        where = "null" if country is None else f"\"user.country = '{country}'\""
        found.append(
            f"score.rules.pins.{name}={{item: i{item}, position: {position}, where: {where}}}"
        )
    if case.boosts:
        found += [
            "score.rules.boosts.cheap={where: margin < 3, times: 1.5}",
            f"score.rules.boosts.near={{where: \"user.country = 'a' and margin > 3\", "
            f"add: {case.boosts}}}",
        ]
    if case.least is not None:
        found.append(f"score.rules.least_score={case.least}")
    if case.share:
        found.append(f"score.rules.shares.high={{where: margin > 3, at_least: {SHARE}}}")
    return found


def allowed(case: Case, known: Known, user: int) -> set[int]:
    rows, found = known.rows, set()
    country = rows.countries[user]
    for item in range(NUM_RESERVED, NUM_RESERVED + ITEMS):
        margin = rows.margins[item]
        may = case.keeps_seen or item not in rows.histories[user]
        if case.where:
            may &= margin is None or margin > 1
            may &= country == "a" or (margin is not None and margin < 5)
        if case.files:
            may &= item not in DENIED and (country != "b" or item in ALLOWED)
        if case.few:
            may &= margin == 5 and rows.events[item] < 30
        if case.fatigue:
            may &= item not in SHOWN[user]
        if may:
            found.add(item)
    return found


def boosted(case: Case, known: Known, user: int, item: int, value: float) -> float:
    margin = known.rows.margins[item]
    if not case.boosts or margin is None:
        return value
    if margin < 3:
        value = value * 1.5 if value >= 0 else value / 1.5
    if known.rows.countries[user] == "a" and margin > 3:
        value += float(np.float32(case.boosts))
    return value


class Expected(NamedTuple):
    items: list[int]
    scores: dict[int, float]
    channels: dict[int, list[str]]
    refilled: set[int]
    pinned: set[int]


def expected_list(case: Case, known: Known, user: int) -> Expected:
    may = allowed(case, known, user)
    named = named_by(known, user, may)
    raw = values_of(known, user, named)
    ordered = {
        item: boosted(case, known, user, item, value)
        for item, value in raw.items()
        if case.least is None or value >= case.least
    }
    own = sorted(ordered, key=lambda n: (-ordered[n], n))
    items = arranged(case, known, user, may, own)
    if len(items) < LENGTH and case.refill:
        events = known.rows.events
        popular = sorted((n for n in may if events[n]), key=lambda n: (-events[n], n))
        items = arranged(case, known, user, may, own + [n for n in popular if n not in own])
    pinned = {item for item in items if case.pins and item in pins_of(known, user, may)}
    refilled = {*items} - {*own} - pinned
    total = sum(known.rows.events.values())
    scores = {n: ordered[n] for n in items if n in ordered} | {
        n: known.rows.events[n] / total for n in refilled
    }
    for item in pinned:
        unnamed = 0.0 if known.kind == "fused" else float(known.values[user, item])
        scores[item] = raw.get(item, unnamed)
    channels = {
        item: [name for name, names in named.items() if item in names]
        for item in items if item not in refilled
    }  # fmt: skip
    return Expected(items, scores, channels, refilled, pinned)


def pins_of(known: Known, user: int, may: set[int]) -> dict[int, int]:
    """Return the place of each pinned item that the user may get."""
    country = known.rows.countries[user]
    return {item: place - 1 for item, place, of in PINS.values()
            if item in may and of in (None, country)}  # fmt: skip


def arranged(case: Case, known: Known, user: int, may: set[int], order: list[int]) -> list[int]:
    """Return the greedy choice of the places, up to one that nothing fits."""
    items: list[int | None] = [None] * LENGTH
    for item, place in sorted(pins_of(known, user, may).items(), key=lambda pin: pin[1]):
        if case.pins and fits(case, known, items, item, place):
            items[place] = item
    wanted = quota(user, SHARE) if case.share else 0
    for place in range(LENGTH):
        if items[place] is not None:
            continue
        left = [n for n in order if n not in items and fits(case, known, items, n, place)]
        high = [n for n in left if is_high(known, n)]
        lacks = wanted - sum(item is not None and is_high(known, item) for item in items)
        choice = high if high and lacks >= items.count(None) else left
        if not choice:
            return closed(case, known, items, place)
        items[place] = choice[0]
    return [item for item in items if item is not None]


def closed(case: Case, known: Known, items: list[int | None], place: int) -> list[int]:
    """Let the pinned items after a gap follow the others."""
    late = [item for item in items[place:] if item is not None]
    items[place:] = [None] * (LENGTH - place)
    for item in late:
        if fits(case, known, items, item, place):
            items[place] = item
            place += 1
    return [item for item in items if item is not None]


def is_high(known: Known, item: int) -> bool:
    margin = known.rows.margins[item]
    return margin is not None and margin > 3


def fits(case: Case, known: Known, items: list[int | None], item: int, place: int) -> bool:
    if not case.cap:
        return True
    width, value = case.within or LENGTH, known.rows.margins[item]
    for start in range(LENGTH - width + 1):
        window = [p for p in range(start, start + width) if p != place]
        others = [items[p] for p in window]
        same = [n for n in others if n is not None and known.rows.margins[n] == value]
        if value is not None and start <= place < start + width and same:
            return False
    return True


CASES = {
    "where": Case(where=True),
    "files": Case(where=True, files=True, fatigue=True),
    "seen": Case(keeps_seen=True, files=True),
    "cap": Case(where=True, cap=True),
    "within": Case(cap=True, within=3, pins=True),
    "pins": Case(pins=True, where=True),
    "few": Case(few=True),
    "few short": Case(few=True, refill=False, cap=True, within=2),
    "boosts": Case(boosts=0.004, where=True),
    "much": Case(boosts=0.3, pins=True, cap=True, fatigue=True),
    "share": Case(share=True, where=True),
    "share boosted": Case(share=True, boosts=0.3),
}
LEAST = {"fused": 0.0162, "ranked": 0.6, "alone": 0.62}
"""A score that about half of the candidates reach, by kind."""


def check(case: Case, shop: StagedShop, known: Known) -> list[list[dict[str, Any]]]:
    """Compare the lists with the brute force, and look at the gates."""
    lists, counted = shop.lists()
    for user, rows in enumerate(lists):
        expected = expected_list(case, known, user)
        assert [int(row["item_id"][1:]) for row in rows] == expected.items, user
        for row in rows:
            item = int(row["item_id"][1:])
            assert row["score"] == pytest.approx(expected.scores[item], rel=1e-4, abs=1e-6)
            assert ("refill" in (row["rules"] or ())) == (item in expected.refilled)
            assert (row["source"] == "fallback") == (item in expected.refilled)
            said = [text for text in row["rules"] or () if text.startswith("pin:")]
            assert bool(said) == (item in expected.pinned)
            if known.kind != "alone":
                assert (row["channels"] or []) == expected.channels.get(item, [])
            assert (row["why_short"] is None) == (len(rows) == LENGTH)
    for name in ("rule_violations", "unexplained", "bad_scores", "misplaced_rows", "unknown_ids"):
        assert counted.counts[name] == 0, name
    assert counted.fallbacks == {}
    return lists


@pytest.mark.parametrize("kind", LEAST)
@pytest.mark.parametrize("name", CASES)
def test_lists_are_those_of_a_choice_from_all_pairs(
    staged_shop: StagedShop, known: dict[str, Known], kind: str, name: str
) -> None:
    case = CASES[name]
    check(case, made_by(staged_shop, kind, *overrides(case, staged_shop.workspace)), known[kind])


@pytest.mark.parametrize("kind", LEAST)
@pytest.mark.parametrize("boosts", [0.0, 0.2])
def test_the_least_score_counts_before_boosts_and_not_for_refills(
    staged_shop: StagedShop, known: dict[str, Known], kind: str, boosts: float
) -> None:
    case = Case(where=True, least=LEAST[kind], boosts=boosts)
    lists = check(
        case, made_by(staged_shop, kind, *overrides(case, staged_shop.workspace)), known[kind]
    )
    said = [text for rows in lists for row in rows for text in row["rules"] or ()]
    assert "refill" in said and said.count("refill") < sum(map(len, lists))


@pytest.mark.parametrize("kind", ["fused", "ranked"])
def test_refills_take_the_places_that_few_candidates_leave(
    staged_shop: StagedShop, known: dict[str, Known], kind: str
) -> None:
    """A user gets what the channels name of seven items, then popular ones that they did not."""
    case = Case(where=True, pins=True, least=1e9)
    lists = check(
        case, made_by(staged_shop, kind, *overrides(case, staged_shop.workspace)), known[kind]
    )
    for rows in lists:
        of_pins = [any(t.startswith("pin:") for t in row["rules"]) for row in rows]
        assert [row["source"] for row in rows] == ["model" if p else "fallback" for p in of_pins]
