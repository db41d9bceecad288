"""Rules and draws of users of a file."""

from pathlib import Path

import pyarrow as pa
import pytest

from conf.errors import ConfigError
from tests.serving.tiny_shop import ITEMS
from tests.serving.visitors.visits import TABLE, events_of, made, shop


def test_rules_see_the_fields_of_new_and_known_users(tmp_path: Path) -> None:
    rule = "score.rules.where={odd: \"user.region = 'north' OR item.half = 'low'\"}"
    halves = pa.array(["low" if n < 6 else "high" for n in range(ITEMS)])
    config, _, _ = shop(tmp_path / "w", *TABLE, rule, item_fields={"half": halves})
    low = {f"i{n + 2}" for n in range(6)}
    events = [*events_of(4, "n"), *events_of(4, "s"), *events_of(4, "u4")]
    users = [{"user_id": "n", "region": "north"}, {"user_id": "s", "region": "south"},
             {"user_id": "only", "region": "south"}]  # fmt: skip

    _, found = made(config, tmp_path, events, users)

    listed = {name: {one["item_id"] for one in rows} for name, rows in found.items()}
    assert listed["s"] <= low and listed["u4"] <= low and listed["only"] <= low
    assert found["s"] == found["u4"] and not listed["n"] <= low


def test_new_users_draw_apart_from_each_other_and_have_their_shares(tmp_path: Path) -> None:
    config, _, _ = shop(
        tmp_path / "w",
        "score.exploration={share: 0.1}",
        "score.rules={shares: {some: {where: 'train_events >= 0', at_least: 0.1}}}",
    )
    events = [row for n in range(60) for row in events_of(0, f"n{n}")]

    result, found = made(config, tmp_path, events)

    places = {
        row["position"]: row["item_id"]
        for rows in found.values()
        for row in rows
        if "explored" in (row["rules"] or ())
    }
    drawing = [any("explored" in (row["rules"] or ()) for row in rows) for rows in found.values()]
    assert result["users"]["new"] == 60 and 0 < sum(drawing) < 60
    assert len(places) > 1


def test_rules_see_as_many_events_as_the_history_has(tmp_path: Path) -> None:
    config, _, _ = shop(
        tmp_path / "w", "score.rules={refill: false, where: {heavy: 'user.num_events > 4'}}"
    )
    many, few = events_of(1, "many"), events_of(0, "few")
    grown = [{**row, "time": row["time"] + 100} for row in events_of(0, "u0")]

    _, found = made(config, tmp_path, [*many, *few, *grown])

    assert [*found] == ["many", "u0"]  # u0 has as many events as few in the dataset, now twice


def test_rules_that_exclude_every_item_are_refused(tmp_path: Path) -> None:
    config, _, _ = shop(tmp_path / "w", "score.rules.where.never='train_events < 0'")

    with pytest.raises(ConfigError, match="the rules exclude all"):
        made(config, tmp_path, events_of(0, "new"))

    assert not (tmp_path / "lists.parquet").exists()
