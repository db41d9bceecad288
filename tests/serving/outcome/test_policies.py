"""`--policy` on a shop whose true rates are known: what is estimated, and what is refused."""

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conf.errors import ConfigError, InputError
from tests.serving.outcome.explored_shop import (
    APPEAL,
    ITEMS,
    PLACE,
    PLACES,
    USERS,
    Shop,
    rates_of,
    with_exploration,
)
from tests.serving.outcome.published_shop import (
    DAYS,
    START,
    Lists,
    outcome_of,
    publish_history,
    shown_and_bought,
    write_events,
    write_lists,
    write_shop,
)


def test_a_policy_that_was_never_shown_is_estimated(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    policy = shop.policy()
    events = with_exploration(tmp_path, policy, shop)

    result = outcome_of(shop.config(), events, policy="other")

    [found] = result["policies"]
    truth = rates_of(policy).mean()
    for name in ("ips", "snips", "dr"):
        one = found[name]
        assert one["low"] < truth < one["high"] < one["low"] + 0.15
    assert found["support"] == 1.0 and found["mean_weight"] == pytest.approx(1, abs=0.1)
    logged = found["logged"]
    assert logged["low"] < rates_of(shop.shown).mean() < logged["high"] < logged["low"] + 0.03
    assert set(found["by_position"]) == {1, 2, 3, 4, 5}
    assert "What other lists would have got" in Path(result["page"]).read_text()


def test_events_in_another_order_say_the_same(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    events = with_exploration(tmp_path, shop.policy(), shop)
    table = pq.read_table(events)
    order = shop.rng.permutation(table.num_rows)
    files = [tmp_path / "first.parquet", tmp_path / "second.parquet"]
    for file, rows in zip(files, np.array_split(order, 2), strict=True):
        write_events(file, table.take(pa.array(rows)))

    results = [outcome_of(shop.config(), *given, policy="other") for given in ([events], files)]

    assert results[0] == results[1]  # the page's name follows from all figures, so it is one page


def test_the_policy_that_was_shown_has_the_rate_that_it_had(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    events = with_exploration(tmp_path, shop.base, shop)

    [found] = outcome_of(shop.config(), events, policy="other")["policies"]

    truth = rates_of(shop.base).mean()
    assert found["dr"]["low"] < truth < found["dr"]["high"] < found["dr"]["low"] + 0.03
    assert found["by_position"][1]["snips"]["value"] > found["by_position"][5]["snips"]["value"]


def refusal(tmp_path: Path, policy: np.ndarray, *overrides: str, shop: Shop) -> InputError:
    events = with_exploration(tmp_path, policy, shop)
    with pytest.raises(InputError) as caught:
        outcome_of(shop.config(*overrides), events, policy="other")
    assert caught.value.made is not None and caught.value.made["versions"]  # the rates are told
    assert caught.value.exit_code == 3
    return caught.value


def test_lists_in_another_order_have_no_support(tmp_path: Path) -> None:
    """Exploration draws items that are not in the list, so no item changes its place."""
    shop = Shop(tmp_path)

    error = str(refusal(tmp_path, shop.base[:, ::-1], shop=shop))

    told = re.search(r"only (\S+)% of the 15,000 impressions could have had", error)
    assert told and float(told[1]) == pytest.approx(100 / PLACES, abs=2)  # the place in the middle
    assert "outcome.min_support is 80%" in error


def test_items_that_rules_kept_from_users_have_no_support(tmp_path: Path) -> None:
    """The places were open, but the weights say that the items were never drawn there."""
    shop = Shop(tmp_path)
    shop.outside = np.where(shop.outside == ITEMS - 1, shop.outside[:, :1], shop.outside)
    policy = np.full_like(shop.base, ITEMS - 1)
    policy[:, 1:] = shop.base[:, 1:]

    found = refusal(tmp_path, policy, "outcome.min_support=0.95", shop=shop)

    assert "the log covers at most" in str(found)


def test_too_few_users_are_refused(tmp_path: Path) -> None:
    shop = Shop(tmp_path)

    error = refusal(tmp_path, shop.policy(), "outcome.min_effective=100000", shop=shop)

    assert "the effective number of users is" in str(error)
    assert "outcome.min_effective is 100,000" in str(error)


def test_too_few_successes_are_refused(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    events = with_exploration(tmp_path, shop.policy(), shop)
    table = pq.read_table(events)
    bought = np.flatnonzero(np.array(table["type"].to_pylist()) == "buy")
    write_events(events, table.take(pa.array([*range(USERS * PLACES), *bought[:3]])))

    with pytest.raises(InputError, match=r"number of successes is 0.*, and an interval needs 10"):
        outcome_of(shop.config(), events, policy="other")


def test_a_policy_that_knows_the_outcome_is_not_estimated_from_it(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    events = with_exploration(tmp_path, shop.policy(), shop, day="2026-02-10", dataset="gone")

    with pytest.raises(InputError, match=r"left .before_the_policys_data_ended 15,000"):
        outcome_of(shop.config(), events, policy="other")

    publish_history(tmp_path, ("logged", START, 1))
    later = pq.read_table(events)
    moved = later.set_column(
        2, "time", pa.array(later["time"].to_numpy() + DAYS)
    )  # the day after the policy's data ended
    write_events(events, moved)
    [found] = outcome_of(shop.config(), events, policy="other")["policies"]
    assert found["support"] == 1.0


def test_the_rows_of_a_policy_add_up_to_all_that_was_shown(tmp_path: Path) -> None:
    """Users 0 to 9 have no list of the policy, and the last place of all is beyond its lists.

    At the first place half of the policy's items are fixed at the second one.
    """
    shop = Shop(tmp_path)
    policy = shop.base[:, : PLACES - 1].copy()
    policy[::2, 0] = policy[::2, 1]
    policy[:10] = -1
    events = with_exploration(tmp_path, policy, shop)

    result = outcome_of(shop.config(), events, policy="other")

    [found] = result["policies"]
    assert found["shown"] == USERS * PLACES == result["ledger"]["shown"]["counted"]
    assert found["left_out"] == {
        "user_without_the_policys_list": 10 * PLACES,
        "place_beyond_the_policys_list": USERS - 10,
    }
    assert found["places"] == (USERS - 10) * (PLACES - 1)
    assert found["places"] + sum(found["left_out"].values()) == found["shown"]
    by_position = found["by_position"]
    assert {place: row["places"] for place, row in by_position.items()} == dict.fromkeys(
        range(1, PLACES), USERS - 10
    )
    assert sum(row["supported"] for row in by_position.values()) == found["supported"]
    assert found["support"] == found["supported"] / found["places"] < 1
    assert by_position[1]["supported"] < 0.8 * (USERS - 10) and by_position[1]["dr"] is None
    assert by_position[2]["supported"] == USERS - 10 and by_position[2]["dr"] is not None
    text = " ".join(Path(result["page"]).read_text().split())
    assert f"{found['supported']:,} of {found['places']:,} impressions" in text


def test_support_and_weights_together_have_to_reach_the_limit(tmp_path: Path) -> None:
    """A sixth of the places has no support, and a sixth of the others has items never drawn."""
    shop = Shop(tmp_path)
    never = ITEMS - 1
    shop.outside = np.where(shop.outside == never, shop.outside[:, :1], shop.outside)
    policy = shop.base.copy()
    policy[::6, :] = shop.base[::6, ::-1]
    policy[1::6, :] = np.where(shop.base[1::6] == never, shop.base[1::6], never)

    found = refusal(tmp_path, policy, "outcome.min_support=0.8", shop=shop)

    assert "mean weight 0." in str(found)
    assert "the log covers at most" in str(found) and "outcome.min_support is 80%" in str(found)


def test_lists_are_not_judged_by_their_own_draw(tmp_path: Path) -> None:
    """They have just the items that were drawn, so each of them would count many times."""
    shop = Shop(tmp_path)
    events = with_exploration(tmp_path, shop.base, shop)

    with pytest.raises(InputError, match=r"the mean weight is \d+\.\d+, significantly above 1"):
        outcome_of(shop.config(), events, policy="logged")


@pytest.mark.parametrize("wrong", [0.0, -0.5, 1.5, np.inf])
def test_propensities_that_cannot_be_are_refused(tmp_path: Path, wrong: float) -> None:
    shop = Shop(tmp_path)
    logged = shop.explored()
    assert logged.propensity is not None
    logged.propensity[7, 2] = wrong
    write_lists(tmp_path, "logged", logged)
    write_lists(tmp_path, "other", Lists(shop.policy()))
    publish_history(tmp_path, ("logged", START, 1))

    with pytest.raises(InputError, match=r"1 impression.* have a propensity that is not above 0"):
        outcome_of(shop.config(), shop.events_of(logged.item, START + 100), policy="other")


def test_places_without_a_propensity_are_counted_as_left_out(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    logged = shop.explored()
    assert logged.propensity is not None
    logged.propensity[:20] = np.nan
    write_lists(tmp_path, "logged", logged)
    write_lists(tmp_path, "other", Lists(shop.policy()))
    publish_history(tmp_path, ("logged", START, 1))

    events = shop.events_of(logged.item, START + 100)
    [found] = outcome_of(shop.config(), events, policy="other")["policies"]

    assert found["left_out"] == {"without_propensity": 20 * PLACES}
    assert found["places"] == (USERS - 20) * PLACES


def test_tiny_propensities_are_refused_by_the_effective_number(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    logged = shop.explored()
    assert logged.propensity is not None
    logged.propensity[7, 2] = 1e-38
    policy = logged.item.copy()
    policy[:, 0] = shop.base[:, 0]
    write_lists(tmp_path, "logged", logged)
    write_lists(tmp_path, "other", Lists(policy))
    publish_history(tmp_path, ("logged", START, 1))

    with pytest.raises(InputError, match=r"effective number of users is 1, and outcome\.min_eff"):
        outcome_of(shop.config(), shop.events_of(logged.item, START + 100), policy="other")


def test_a_scenario_that_is_refused_does_not_stop_the_others(tmp_path: Path) -> None:
    """The cart has the default lists backwards, which no draw gives."""
    shop = Shop(tmp_path)
    logged, policy = shop.explored(), shop.policy()
    cart = Lists(logged.item + ITEMS, logged.propensity, logged.is_explored)
    backwards = Lists(shop.base[:, ::-1] + ITEMS)
    write_shop(tmp_path, USERS, 2 * ITEMS)
    write_lists(tmp_path, "logged", logged, scenarios={"cart": cart})
    write_lists(tmp_path, "first", Lists(policy), scenarios={"cart": backwards})
    write_lists(tmp_path, "second", Lists(shop.base), scenarios={"cart": backwards})
    write_lists(tmp_path, "none", Lists(shop.base[:, ::-1]), scenarios={"cart": backwards})
    publish_history(tmp_path, ("logged", START, 1))
    seen, _ = shown_and_bought(logged.item, START + 100, APPEAL, PLACE, shop.rng)
    more, _ = shown_and_bought(cart.item, START + 200, np.tile(APPEAL, 2), PLACE, shop.rng)
    events = write_events(tmp_path / "events.parquet", pa.concat_tables([seen, more]))

    results = [outcome_of(shop.config(), events, policy=name) for name in ("first", "second")]

    for result, name in zip(results, ("first", "second"), strict=True):
        assert [(one["policy"], one["scenario"]) for one in result["policies"]] == [(name, None)]
        [refused] = result["refused"]
        assert (refused["policy"], refused["scenario"]) == (name, "cart")
        assert "could have had the policy" in refused["why"]
        text = Path(result["page"]).read_text()
        assert f"{name}, default lists" in text and f"{name}, cart" in text
    assert results[0]["page"] != results[1]["page"]  # both are there to be compared

    with pytest.raises(InputError) as caught:
        outcome_of(shop.config(), events, policy="none")
    assert str(caught.value).count("cannot be estimated") == 2
    assert caught.value.made is not None and len(caught.value.made["refused"]) == 2


def test_lists_without_propensities_are_refused(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    write_lists(tmp_path, "plain", Lists(shop.base))
    publish_history(tmp_path, ("plain", START, 1))

    with pytest.raises(ConfigError, match=r"have none; set score\.exploration") as caught:
        outcome_of(shop.config(), shop.events_of(shop.base, START + 9), policy="plain")

    assert caught.value.made is not None and caught.value.made["versions"]
