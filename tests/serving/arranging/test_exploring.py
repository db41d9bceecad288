"""Items drawn at random: frequencies equal stored probabilities, and rules hold."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conf.contract import HISTORY_ITEMS, NUM_RESERVED, USER_IDX
from conf.errors import ConfigError
from conf.runs.inputs.request_keys import lists_request
from conf.settings.lists.diversity import Exploration
from conf.workspace.parquet import describe_parquet
from serving.arranging.chances import Trials, chances_of_best, item_chances, read_trials
from serving.arranging.exploring import Chance, Drawn, Exploring, ItemClasses, drawn_columns
from serving.gates.propensities import count_bad_propensities
from serving.publishing.parts import EXPLORED_SCHEMA
from serving.rules.part import PartRules
from tests.serving.random_shop import Shop, random_shop
from tests.serving.tiny_shop import DAY, tiny_config
from tests.trainer.small_parts import ragged

USERS, ITEMS, LENGTH = 20_000, 14, 4
LIST = np.array([5, 6, 7, 8])
CODES = {5: 0, 6: 0, 7: 1, 8: 2, 9: 0, 10: 1, 11: 1, 12: 3}
"""Categories; all others have none."""
WEIGHTS = np.array([0, 0, *(1.0 + (number % 5) for number in range(ITEMS))])


def explored(tmp_path: Path, share: str, *rules: str, seed: int = 1) -> tuple[PartRules, Drawn]:
    """Draw for many users with the same list and history, whose numbers alone differ."""
    shop = random_shop(tmp_path, 1, "score.exploration={}", *rules, users=4, items=ITEMS)
    book = shop.scorer().maker.book
    histories = ragged([[2, 3]] * USERS)
    users = pa.table(
        {
            USER_IDX: np.arange(USERS) + NUM_RESERVED,
            **{name: pa.nulls(USERS, pa.string()) for name in book.user_fields},
        }
    )
    for cap in book.caps:
        cap.codes[:] = [CODES.get(number, -1) for number in range(ITEMS + NUM_RESERVED)]
    part = PartRules(book, users, histories)
    exploring = Exploring(
        Fraction(share), Chance(seed, "d", DAY), WEIGHTS, ItemClasses(book), lambda *_: np.zeros(0)
    )
    lists, rows = np.tile(LIST, (USERS, 1)), np.arange(USERS)
    may_change = np.tile(np.array([True, True, False, True]), (USERS, 1))  # 7 is pinned
    return part, exploring.draw(part, rows, lists, may_change)


def close(found: float, expected: float, trials: int) -> bool:
    """Return whether a frequency is within five standard deviations of its probability."""
    return abs(found - expected) <= 5 * np.sqrt(expected * (1 - expected) / trials) + 1e-9


@pytest.mark.parametrize("rules", [(), ("score.rules.caps.category=2",)])
def test_frequencies_are_the_stored_probabilities(tmp_path: Path, rules: tuple[str, ...]) -> None:
    # 3 places may change and 1/3 of them is one place: all probabilities are exact.
    _, drawn = explored(tmp_path, "1/3", *rules)

    assert (drawn.is_explored.sum(1) == 1).all() and not drawn.is_explored[:, 2].any()
    total = 0.0
    for place in (0, 1, 3):
        others = [CODES.get(n) for n in np.delete(LIST, place)]
        may = [n for n in (4, *range(9, ITEMS + 2))
               if not rules or CODES.get(n) is None or others.count(CODES[n]) < 2]  # fmt: skip
        weight = sum(WEIGHTS[n] for n in may)
        for item in range(ITEMS + NUM_RESERVED):
            is_it = drawn.item_idx[:, place] == item
            expected = WEIGHTS[item] / weight / 3 if item in may else 0.0
            expected = 2 / 3 if item == LIST[place] else expected
            assert close(is_it.mean(), expected, USERS), (place, item)
            assert np.allclose(drawn.propensity[is_it, place], expected, rtol=1e-6)
        total += sum(item * (place + 1) for item in may)
    # An estimate by inverse propensities of a sum over all that could be drawn.
    value = (drawn.item_idx * np.arange(1, LENGTH + 1) * drawn.is_explored / drawn.propensity).sum(
        1
    )
    assert abs(value.mean() - total) < 4 * value.std() / np.sqrt(USERS)


def test_of_several_places_each_is_drawn_given_those_before(tmp_path: Path) -> None:
    _, drawn = explored(tmp_path, "2/3")

    assert (drawn.is_explored.sum(1) == 2).all()
    eligible = [4, *range(9, ITEMS + 2)]
    weight = sum(WEIGHTS[n] for n in eligible)
    both = drawn.is_explored[:, 0] & drawn.is_explored[:, 1]
    assert close(both.mean(), 1 / 3, USERS)
    first, second = drawn.item_idx[both, 0], drawn.item_idx[both, 1]
    assert (first != second).all()
    assert np.allclose(drawn.propensity[both, 0], 2 / 3 * WEIGHTS[first] / weight)
    left = weight - WEIGHTS[first]
    assert np.allclose(drawn.propensity[both, 1], 2 / 3 * WEIGHTS[second] / left)
    after = first == 13  # the heaviest: the others are drawn in proportion to their weights
    for item in eligible:
        expected = 0.0 if item == 13 else WEIGHTS[item] / (weight - WEIGHTS[13])
        assert close((second[after] == item).mean(), expected, int(after.sum())), item


def test_every_user_and_place_has_its_turn_and_the_share_is_met(tmp_path: Path) -> None:
    counts = []
    for seed in range(6):
        part, drawn = explored(tmp_path / str(seed), "1/10", seed=seed)
        chosen = drawn.is_explored.sum(1)
        counts.append(chosen[:200])
        assert set(chosen.tolist()) == {0, 1}
        assert abs(int(chosen.sum()) - USERS * 3 / 10) <= 1
        assert part.counts["score.exploration"]["explored_places"] == chosen.sum()
        is_open = ~drawn.is_explored & (np.arange(LENGTH) != 2)
        assert np.allclose(drawn.propensity[is_open], 0.9)
        assert (drawn.propensity[:, 2] == 1).all()
    assert (np.array(counts).max(0) - np.array(counts).min(0)).mean() > 0.5


def test_users_who_are_drawn_for_apart_get_the_same_items(tmp_path: Path) -> None:
    part, whole = explored(tmp_path, "2/3", "score.rules.caps.category=2")
    exploring = Exploring(
        Fraction("2/3"),
        Chance(1, "d", DAY),
        WEIGHTS,
        ItemClasses(part.book),
        lambda *_: np.zeros(0),
    )
    rows = np.array([19_000, 3, 500, 4])
    may_change = np.tile(np.arange(LENGTH) != 2, (4, 1))

    some = exploring.draw(part, rows, np.tile(LIST, (4, 1)), may_change)

    for found, expected in zip(some, whole, strict=True):
        assert (found == expected[rows]).all()


def test_the_seed_counts_for_lists_with_exploration_alone(tmp_path: Path) -> None:
    def key(*overrides: str) -> str:
        return lists_request(tiny_config(tmp_path, *overrides), "d", "m")

    assert key("run.seed=1") == key("run.seed=2")
    by_seed = {key(f"run.seed={seed}", "score.exploration={}") for seed in (1, 2)}
    assert (
        len(by_seed | {key(), key("score.diversity={}"), key("score.diversity={weight: 0}")}) == 5
    )


def test_a_draw_depends_on_the_key_and_the_user_alone() -> None:
    users = np.arange(2, 5_000)
    some = Chance(1, "a", DAY).uniform(users, 3)
    assert (Chance(1, "a", DAY).uniform(users[40:50], 3) == some[40:50]).all()
    for other in (Chance(2, "a", DAY), Chance(1, "b", DAY), Chance(1, "a", "2026-02-01")):
        assert (other.uniform(users, 3) != some).all()
    next_use = Chance(1, "a", DAY).uniform(users, 4)
    assert abs(np.corrcoef(some, next_use)[0, 1]) < 0.07
    assert abs(np.corrcoef(some[:-1], some[1:])[0, 1]) < 0.07
    counts = np.histogram(some, bins=10, range=(0, 1))[0]
    assert (abs(counts - len(users) / 10) < 5 * np.sqrt(len(users) / 10)).all()


def test_columns_are_drawn_by_their_weights() -> None:
    weights = np.array([[0.0, 1, 0, 3]] * 4 + [[0.0] * 4])
    column, probability = drawn_columns(weights, np.array([0.0, 0.2499, 0.25, 1 - 2**-53, 0.5]))
    assert column.tolist() == [1, 1, 3, 3, -1]
    assert probability.tolist() == [0.25, 0.25, 0.75, 0.75, 0]
    wide = np.random.default_rng(0).random((50, 1000)) * (np.arange(1000) % 3 > 0)
    numbers = np.random.default_rng(1).random(50)
    column, probability = drawn_columns(wide, numbers)
    shares = wide / wide.sum(1, keepdims=True)
    assert column.tolist() == (shares.cumsum(1) > numbers[:, None]).argmax(1).tolist()
    assert probability == pytest.approx(shares[np.arange(50), column])


RULES = [
    "score.list_length=5",
    "score.rules.caps.category=2",
    "score.rules.caps.region={most: 1, within: 2}",
    "score.rules.pins.a={item: i3, position: 2, where: \"user.region = 'south'\"}",
    "score.rules.where.a='stock > 0'",
    "score.rules.where.b='price < user.budget'",
    "score.rules.shares.cheap={where: price < 5, at_least: 0.4}",
]


@pytest.mark.parametrize("rules", [RULES, ["score.list_length=5"]])
def test_explored_places_obey_the_rules_and_the_others_stay(
    tmp_path: Path, rules: list[str]
) -> None:
    options = {"users": 44, "items": 120}
    plain = random_shop(tmp_path / "plain", 2, *rules, "score.rules.refill=false", **options)
    shop = random_shop(
        tmp_path / "shop", 2, *rules, "score.rules.refill=false",
        "score.exploration={share: 0.3, weights: new_first}", **options,
    )  # fmt: skip

    lists, counted = shop.lists()

    before, num_explored, places = plain.lists()[0], 0, 0
    scores = shop.scores()
    for user, (rows, old) in enumerate(zip(lists, before, strict=True)):
        assert len(rows) == len(old)
        was = {row["item_id"] for row in old}
        for row, other in zip(rows, old, strict=True):
            said = row["rules"] or ()
            if "explored" not in said:
                keys = set(other) - {"reasons", "list_id"}
                assert {k: row[k] for k in keys} == {k: other[k] for k in keys}
                continue
            num_explored += 1
            assert row["item_id"] not in was and row["source"] == "model"
            assert said == ["explored"] and 0 < row["propensity"] < 0.3
            own = scores[user, int(row["item_id"][1:])]
            assert row["score"] == pytest.approx(own, abs=1e-4)
        if shop.histories[user]:
            places += sum("pin:a" not in (row["rules"] or ()) for row in rows)
        else:
            assert all(row["propensity"] == 1 for row in rows)
    names = ("rule_violations", "unexplained", "bad_scores", "duplicate_items", "bad_propensities")
    assert [counted.counts[name] for name in names] == [0] * len(names)
    assert 0.2 < num_explored / places <= 0.32


def test_the_gate_counts_propensities_that_cannot_be() -> None:
    rows: list[dict[str, Any]] = []
    for propensity, said in (
        (0.9, None), (1.0, None), (0.05, ["explored"]), (0.1, ["pin:a", "explored"]),
        (0.5, None), (0.2, ["explored"]), (0.0, ["explored"]), (1.2, None), (float("nan"), None),
    ):  # fmt: skip
        rows.append(
            {"user_id": "u", "position": 1, "item_id": "i", "score": 1.0, "source": "model",
             "reasons": None, "why_fallback": None, "why_short": None, "rules": said,
             "propensity": propensity}
        )  # fmt: skip
    table = pa.Table.from_pylist(rows, schema=EXPLORED_SCHEMA)
    assert count_bad_propensities(table, 0.1) == 5
    assert count_bad_propensities(table.slice(0, 4), 0.1) == 0


def test_chances_of_the_best_rate_are_those_of_many_draws() -> None:
    trials = Trials(np.array([0, 3, 30, 3, 0]), np.array([0, 7, 70, 7, 40]))
    draws = np.random.default_rng(0).beta(1 + trials[0], 1 + trials[1], size=(200_000, 5))
    expected = np.bincount(draws.argmax(1), minlength=5) / len(draws)

    found = chances_of_best(trials)

    assert found == pytest.approx(expected, abs=0.005)
    assert found.sum() == pytest.approx(1, abs=1e-4)
    assert found[1] == found[3] and len(chances_of_best(Trials(*np.zeros((2, 0))))) == 0
    # With one item against one without trials: P(uniform > x) for x of Beta(2, 1) is 1/3.
    assert chances_of_best(Trials(np.array([1, 0]), np.array([0, 0]))) == pytest.approx(
        [2 / 3, 1 / 3], abs=1e-3
    )


def with_test_part(shop: Shop, rows: dict[int, list[int]]) -> Any:
    """Return the manifest with a test part that begins after these items of some users."""
    folder = Path(shop.config.run.output) / "datasets" / shop.manifest.id
    path = folder / "test" / "part-00000.parquet"
    path.parent.mkdir()
    table = pa.table({
        USER_IDX: pa.array([NUM_RESERVED + user for user in rows], pa.int64()),
        HISTORY_ITEMS: pa.array([*rows.values()], pa.list_(pa.int32())),
    })  # fmt: skip
    pq.write_table(table, path, write_page_checksum=True)
    more = {"valid": (), "test": (describe_parquet(folder, path),)}
    users = shop.manifest.vocabularies["item"].model_copy(update={"size": len(shop.users) + 2})
    return shop.manifest.model_copy(
        update={
            "files": {**shop.manifest.files, **more},
            "vocabularies": {**shop.manifest.vocabularies, "user": users},
        }
    )


def test_successes_are_training_events_of_the_types(tmp_path: Path) -> None:
    shop = random_shop(tmp_path, 3)
    user = max(range(len(shop.histories)), key=lambda one: len(shop.histories[one]))
    held_out = {user: shop.histories[user][:3]}
    manifest = with_test_part(shop, held_out)
    folder = Path(shop.config.run.output) / "datasets" / shop.manifest.id

    trials = read_trials(folder, manifest, ["buy"])

    successes, failures = np.zeros(42, dtype=int), np.zeros(42, dtype=int)
    for one, history in enumerate(shop.histories):
        for place, item in enumerate(history[:3] if one == user else history):
            (successes if place % 2 else failures)[item] += 1
    assert (trials.successes == successes).all() and (trials.failures == failures).all()
    weights = item_chances(Exploration(**{"weights": "new_first"}), folder, manifest)
    events = np.array([sum(h.count(n) for h in shop.histories) for n in range(42)])
    assert weights[2:] == pytest.approx(1 / (1 + events[2:])) and not weights[:2].any()
    spec = Exploration(**{"weights": "thompson", "successes": ("rent",)})
    with pytest.raises(ConfigError, match=r"no events of the type 'rent'; it has view, buy"):
        item_chances(spec, folder, manifest)


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("{share: 1.2}", "less than or equal to 1"),
        ("{weights: thompson}", "weights is 'thompson', but successes is empty"),
        ("{successes: [buy]}", "successes is only for weights: thompson"),
        (
            "{weights: thompson, successes: [rent]}",
            "'rent' is not in etl.event_types; use view",
        ),
        ("{weights: thompson, successes: [buy, view]}", "no event is a failure"),
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path: Path, spec: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        tiny_config(tmp_path, f"score.exploration={spec}")
