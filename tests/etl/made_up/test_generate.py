import csv
import json
import math
import tracemalloc
from collections import Counter, defaultdict
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from etl.made_up.generate import generate_shop
from etl.made_up.shop import ShopSpec

SPEC: dict[str, Any] = {
    "num_users": 400, "num_items": 150, "num_events": 8000, "num_days": 15,
    "first_day": date(2026, 2, 20), "seed": 7, "bot_events": 300, "num_bots": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("generated") / "log"
    return folder, generate_shop(ShopSpec(**SPEC), folder)


def contents(folder: Path) -> dict[str, bytes]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def event_files(folder: Path, redelivered: bool = False) -> list[Path]:
    files = sorted((folder / "events").glob("*.csv"))
    return [path for path in files if ("redelivered" in path.name) == redelivered]


def views_by_user(folder: Path) -> dict[str, list[str]]:
    """Return the items that each real user viewed, oldest first."""
    users = {row["user_id"] for row in rows(folder / "users.csv")}
    views: dict[str, dict[str, tuple[str, str]]] = defaultdict(dict)
    for path in event_files(folder):
        for row in rows(path):
            whole = row["item_id"] and row["price"][0] != "-" and row["time"].startswith("2026-0")
            if whole and row["user_id"] in users and row["event_type"] == "view":
                views[row["user_id"]][row["event_id"]] = (row["time"], row["item_id"])
    return {user: [item for _, item in sorted(own.values())] for user, own in views.items()}


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(
    shop: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    generate_shop(ShopSpec(**SPEC), tmp_path / "again")
    generate_shop(ShopSpec(**{**SPEC, "seed": 8}), tmp_path / "other")

    assert contents(tmp_path / "again") == contents(shop[0])
    assert contents(tmp_path / "other") != contents(shop[0])


def test_planted_counts_equal_a_recount_of_the_files(shop: tuple[Path, dict[str, Any]]) -> None:
    folder, planted = shop
    found: Counter[str] = Counter()
    users = {row["user_id"] for row in rows(folder / "users.csv")}
    seen: set[str] = set()
    total = 0
    for path in event_files(folder):
        for row in rows(path):
            total += 1
            found["duplicate"] += row["event_id"] in seen
            seen.add(row["event_id"])
            found["user_missing"] += row["user_id"] == ""
            found["item_missing"] += row["item_id"] == ""
            found["time_in_future"] += row["time"].startswith("2096")
            found["time_unparsable"] += not row["time"].startswith(("2026-02", "2026-03", "2096"))
            found["price_negative"] += row["price"].startswith("-")
            found["bot"] += row["user_id"] != "" and row["user_id"] not in users
    copies = event_files(folder, redelivered=True)
    found["redelivered_file"] = sum(len(rows(path)) for path in copies)

    assert found == planted["planted"]
    assert planted["rows_written"] == total + found["redelivered_file"]
    assert planted["rows_written"] == planted["rows_clean"] + sum(planted["planted"].values())
    assert json.loads((folder / "planted.json").read_text()) == planted
    for path in copies:
        original = path.with_name(path.name.replace("-redelivered", ""))
        assert path.read_bytes() == original.read_bytes()


def test_the_number_of_events_asked_for_is_met(tmp_path: Path) -> None:
    planted = generate_shop(ShopSpec(**{**SPEC, "num_events": 30_000}), tmp_path / "log")

    assert planted["rows_clean"] == pytest.approx(30_000, rel=0.03)


def test_clean_rows_never_collide_and_no_user_is_as_busy_as_a_bot(
    shop: tuple[Path, dict[str, Any]],
) -> None:
    users = {row["user_id"] for row in rows(shop[0] / "users.csv")}
    for path in event_files(shop[0]):
        by_id = {row["event_id"]: row for row in rows(path) if row["user_id"] in users}
        clean = [row for row in by_id.values() if row["item_id"] and row["price"][0] != "-"]
        keys = Counter(
            (row["user_id"], row["item_id"], row["event_type"], row["time"]) for row in clean
        )
        assert max(keys.values()) == 1
        assert max(Counter(row["user_id"] for row in clean).values()) < 100


def test_no_item_is_seen_before_its_release(shop: tuple[Path, dict[str, Any]]) -> None:
    released = {row["item_id"]: row["released_on"] for row in rows(shop[0] / "items.csv")}
    assert max(released.values()) > "2026-02-20"

    for path in event_files(shop[0]):
        for row in rows(path):
            if row["item_id"] and row["time"].startswith("2026-0"):
                assert released[row["item_id"]] <= row["time"][:10]


def test_a_history_says_more_than_the_last_item(shop: tuple[Path, dict[str, Any]]) -> None:
    """What follows the newest item of any interest comes more often than what follows the last."""
    after_last = after_any = total = 0
    for history in views_by_user(shop[0]).values():
        items = [int(item[1:]) for item in history]
        for place in range(8, len(items)):
            total += 1
            after_last += items[place] == items[place - 1] + 1
            after_any += items[place] - 1 in items[place - 8 : place]

    assert after_last / total > 0.1
    assert after_any > 1.8 * after_last


def test_a_finished_folder_is_left_as_it_is_and_another_is_refused(
    shop: tuple[Path, dict[str, Any]],
) -> None:
    folder, planted = shop
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}

    assert generate_shop(ShopSpec(**SPEC), folder) == planted
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    with pytest.raises(ValueError, match="contains something other"):
        generate_shop(ShopSpec(**{**SPEC, "seed": 8}), folder)


def test_what_a_killed_generator_left_is_no_log(tmp_path: Path) -> None:
    left = tmp_path / ".log.making" / "events"
    left.mkdir(parents=True)
    (left / "events-2026-02-20.csv").write_text("half a li")

    generate_shop(ShopSpec(**SPEC), tmp_path / "log")

    assert not left.exists()
    assert len(event_files(tmp_path / "log")) == SPEC["num_days"]


def test_a_bot_needs_the_time_for_its_events(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="bot_events=90000"):
        generate_shop(ShopSpec(**{**SPEC, "bot_events": 90_000}), tmp_path / "log")


def test_more_events_than_the_users_can_make_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"num_events=900000 is too many: 400 users make at most about"
    ):
        generate_shop(ShopSpec(**{**SPEC, "num_events": 900_000}), tmp_path / "log")

    assert not (tmp_path / "log").exists()


def test_what_follows_in_the_interests_beats_popularity(shop: tuple[Path, dict[str, Any]]) -> None:
    """A user's last view is among what follows the newest item of each category more often."""
    category = {row["item_id"]: row["category"] for row in rows(shop[0] / "items.csv")}
    histories = [items for items in views_by_user(shop[0]).values() if len(items) > 8]
    seen = Counter(item for items in histories for item in items[:-1])
    num_follow = num_popular = 0
    for *before, last in histories:
        newest = {category[item]: item for item in before}
        follow = {f"i{int(item[1:]) + 1:07d}" for item in newest.values()}
        num_follow += last in follow
        num_popular += last in {item for item, _ in seen.most_common(len(follow))}

    assert num_follow > 0.4 * len(histories)
    assert num_follow > 4 * num_popular


def test_memory_is_set_by_a_day_and_not_by_the_number_of_days(tmp_path: Path) -> None:
    short = {**SPEC, "num_events": 30_000, "num_days": 20}
    long = {**SPEC, "num_events": 120_000, "num_days": 80}

    assert peak_bytes(long, tmp_path / "long") < 1.5 * peak_bytes(short, tmp_path / "short")


def peak_bytes(spec: dict[str, Any], folder: Path) -> int:
    """Return the most bytes that Python, numpy and Arrow held while the shop was made."""
    own_pool, pool = pa.default_memory_pool(), pa.proxy_memory_pool(pa.default_memory_pool())
    pa.set_memory_pool(pool)
    tracemalloc.start()
    try:
        generate_shop(ShopSpec(**spec), folder)
        return tracemalloc.get_traced_memory()[1] + int(pool.max_memory())
    finally:
        tracemalloc.stop()
        pa.set_memory_pool(own_pool)


def test_items_look_like_those_that_people_go_on_to(shop: tuple[Path, dict[str, Any]]) -> None:
    items = rows(shop[0] / "items.csv")
    looks = [json.loads(row["image"]) for row in items]
    assert {len(look) for look in looks} == {12}

    def distance(one: int, other: int) -> float:
        return math.dist(looks[one], looks[other])

    same = [n for n in range(len(items) - 9) if items[n]["category"] == items[n + 9]["category"]]
    assert len(same) > 50
    assert all(distance(n, n + 1) < distance(n, n + 9) for n in same)
    other = [n for n in range(len(items)) if items[n]["category"] != items[0]["category"]]
    assert distance(0, 1) < min(distance(0, n) for n in other)
