"""Items that were shown without effect are left out: against loops over lists and events."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conf.contract import ListsManifest
from conf.errors import ConfigError
from conf.runs.inputs.request_keys import lists_request
from conf.runs.lineage import shown_lists
from conf.workspace.parquet import describe_parquet
from conf.workspace.pointers import publish
from conf.workspace.publications import ShownLists, in_canary
from conf.workspace.versions import commit
from serving.publishing.parts import LISTS_SCHEMA
from tests.serving.random_shop import NOW, Shop, best_allowed, random_shop
from tests.serving.tiny_shop import DAY, SECOND, tiny_config

DAYS = ("2026-01-18", "2026-01-24", "2026-01-27", DAY)
FATIGUE = "score.rules.fatigue={versions: 2, events: [buy]}"


def write_lists(workspace: Path, day: str, shown: dict[int, list[int]], share: float = 1.0) -> str:
    """Publish lists of a day to a share of the users: items by user."""
    name = f"lists-{day}"
    folder = workspace / "lists" / name
    folder.mkdir(parents=True)
    rows: list[dict[str, Any]] = [
        {"user_id": f"u{user}", "position": place, "item_id": f"i{item}", "score": 1.0,
         "source": "model"}
        for user, items in shown.items() for place, item in enumerate(items, start=1)
    ]  # fmt: skip
    path = folder / "part-00000.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema=LISTS_SCHEMA), path, write_page_checksum=True)
    manifest = ListsManifest(
        id=name, request=name, logical_date=day, dataset_id="d", model_id="m", counts={},
        config={"score": {"list_length": 9}}, short_lists={}, gates={},
        files={"lists": (describe_parquet(folder, path),)},
    )  # fmt: skip
    commit(workspace, "lists", manifest)
    publish(workspace, "lists", name, day, share=share)
    return name


def published(shop: Shop, workspace: Path) -> dict[str, dict[int, list[int]]]:
    """Publish lists of four days: each user's items, some of the history, some unknown."""
    made = {}
    for number, day in enumerate(DAYS):
        made[day] = {
            user: [*sorted({(user * 7 + number * 5 + step * 3) % 20 + 2 for step in range(6)}),
                   999, *history[:1]]
            for user, history in enumerate(shop.histories)
        }  # fmt: skip
        write_lists(workspace, day, made[day])
    return made


@pytest.mark.parametrize("seed", range(3))
def test_items_of_the_last_versions_are_left_out_unless_the_user_acted(
    tmp_path: Path, seed: int
) -> None:
    shop = random_shop(tmp_path, seed, FATIGUE, "score.drop_seen=false", users=40, items=30)
    made = published(shop, tmp_path)
    recent = DAYS[1:3]  # those of the same day do not count

    def is_tired(user: int, item: int) -> bool:
        days = [day for day in recent if item in made[day][user]]
        if not days:
            return False
        end = NOW - (int(DAY[-2:]) - int(days[0][-2:]) - 1) * 86_400 * SECOND
        return not any(
            number == item and place % 2 == 1 and time >= end
            for place, (number, time) in enumerate(
                zip(shop.histories[user], shop.times[user], strict=True)
            )
        )

    lists, counted = shop.lists()

    expected = best_allowed(shop, lambda user, item: not is_tired(user, item), 4)
    assert [[row["item_id"] for row in rows] for rows in lists] == [
        [f"i{item}" for item in items] for items in expected
    ]
    assert counted.counts["rule_violations"] == counted.counts["unexplained"] == 0
    shown = {(user, item) for day in recent for user, items in made[day].items() for item in items}
    again = [pair for pair in shown if pair[1] < 32 and not is_tired(*pair)]
    assert again and len(again) < len(shown)


def test_a_list_of_the_same_day_makes_no_other_key(tmp_path: Path) -> None:
    shop = random_shop(tmp_path, 1, FATIGUE)

    def request() -> str:
        shown = shown_lists(shop.config, shop.manifest.id)
        return lists_request(shop.config, "d", "m", shown=shown)

    first = request()
    write_lists(tmp_path, DAYS[2], {1: [3]})
    second = request()
    write_lists(tmp_path, DAY, {1: [4]})
    assert first != second == request()
    assert shown_lists(shop.config, shop.manifest.id) == (ShownLists(f"lists-{DAYS[2]}"),)


def test_the_gate_finds_what_was_shown_before(tmp_path: Path) -> None:
    free = random_shop(tmp_path / "free", 3, "score.rules.where.a=1 = 1")
    lists, _ = free.lists()
    shop = random_shop(tmp_path / "ruled", 3, FATIGUE)
    shown = {user: [int(row["item_id"][1:]) for row in rows[:2]] for user, rows in enumerate(lists)}
    write_lists(tmp_path / "ruled", DAYS[2], shown)
    for path in (tmp_path / "free").glob("part-*.parquet"):
        path.rename(tmp_path / "ruled" / path.name)

    assert shop.counted().counts["rule_violations"] == sum(map(len, shown.values()))


def test_unknown_types_of_events_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"fatigue\.events: 'sale' is not in etl\.event_types"):
        tiny_config(tmp_path, "score.rules.fatigue={versions: 1, events: [sale]}")


def test_a_user_has_seen_what_a_canary_showed_only_if_in_it(tmp_path: Path) -> None:
    """Lists of two days, and between them a canary that half of the users saw."""
    shop = random_shop(tmp_path, 1, FATIGUE, "score.drop_seen=false", users=40, items=30)
    days = ("2026-01-18", "2026-01-20", "2026-01-24")
    made = {
        day: {user: [2 + (user + 11 * n + step) % 30 for step in range(3)] for user in range(40)}
        for n, day in enumerate(days)
    }
    for day, share in zip(days, (1.0, 0.5, 1.0), strict=True):
        write_lists(tmp_path, day, made[day], share)

    assert [(one.id, one.share) for one in shown_lists(shop.config, shop.manifest.id)] == [
        ("lists-2026-01-24", 1.0), ("lists-2026-01-20", 0.5), ("lists-2026-01-18", 1.0),
    ]  # fmt: skip
    lists, counted = shop.lists()

    assert counted.counts["rule_violations"] == counted.counts["unexplained"] == 0
    users = pa.array([f"u{user}" for user in range(40)])
    halves = in_canary(users, 0.5, shop.config.run.name)
    assert 10 < halves.sum() < 30

    def is_tired(user: int, item: int) -> bool:
        seen = (days[2], days[1] if halves[user] else days[0])  # two versions each
        with_it = [day for day in seen if item in made[day][user]]
        if not with_it:
            return False
        end = NOW - (int(DAY[-2:]) - int(min(with_it)[-2:]) - 1) * 86_400 * SECOND
        return not any(
            number == item and place % 2 == 1 and time >= end
            for place, (number, time) in enumerate(
                zip(shop.histories[user], shop.times[user], strict=True)
            )
        )

    expected = best_allowed(shop, lambda user, item: not is_tired(user, item), 4)
    assert [[row["item_id"] for row in rows] for rows in lists] == [
        [f"i{item}" for item in items] for items in expected
    ]
