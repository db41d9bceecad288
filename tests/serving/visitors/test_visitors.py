"""Lists for users of a file: the same as those of users of the dataset with such a history."""

import hashlib
import json
import logging
from pathlib import Path

import numpy as np
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from conf.errors import ConfigError, InputError
from conf.privacy.erased import add_erased
from conf.privacy.keys import require_keys
from conf.privacy.sealing import erased_hash
from conf.runs.predicting import run_visitors
from conf.runs.stages import run_train
from conf.settings.lists.index import Index
from tests.serving.impression_shop import shop_config, write_shop
from tests.serving.tiny_shop import (
    tiny_config,
)
from tests.serving.visitors.visits import (
    KEY,
    TABLE,
    TYPED,
    events_of,
    made,
    published,
    shop,
    written,
)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_new_user_gets_the_list_of_a_known_one_with_the_same_events(
    tmp_path: Path, suffix: str
) -> None:
    config, manifest, model_id = shop(tmp_path / "w")
    lists = published(config, manifest, model_id)
    events = [*events_of(0, "new"), *events_of(7, "other")]

    result, found = made(config, tmp_path, events, suffix=suffix)

    assert list(found) == ["new", "other"]
    assert found == {"new": lists["u0"], "other": lists["u7"]}
    assert result["users"] == {"new": 2, "known": 0, "without_known_event": 0, "erased": 0}
    assert result["events"]["read"] == result["events"]["known_item"] == len(events)
    assert result["lists"] == {"full": 2, "short": 0, "empty": 0, "fallback": 0}


def test_events_that_are_there_already_are_not_doubled(tmp_path: Path) -> None:
    config, manifest, model_id = shop(tmp_path / "w")
    lists = published(config, manifest, model_id)

    result, found = made(config, tmp_path, [*events_of(0, "u0"), *events_of(4, "u4")])

    assert found == {"u0": lists["u0"], "u4": lists["u4"]}
    assert result["events"]["already_there"] == 4
    assert result["users"]["known"] == 2


def test_users_of_a_file_are_searched_exactly(tmp_path: Path) -> None:
    config, manifest, model_id = shop(
        tmp_path / "w", "score.list_length=2", "score.drop_seen=false"
    )
    exact = published(config, manifest, model_id)
    indexed = config.score.model_copy(update={"index": Index(lists=4, probes=1)})
    config = config.model_copy(update={"score": indexed})
    assert published(config, manifest, model_id) != exact  # an index misses some of the items

    _, found = made(config, tmp_path, [*events_of(0, "new"), *events_of(7, "other")])

    assert found == {"new": exact["u0"], "other": exact["u7"]}


def test_newer_events_follow_the_stored_history(tmp_path: Path) -> None:
    config, _, _ = shop(tmp_path / "w")
    event = {"user_id": "u4", "item_id": "i3", "event_type": "buy", "time": 400_000_001}
    later = [event, event | {"item_id": "i4", "event_type": "view", "time": 400_000_002}]

    _, found = made(config, tmp_path, [*later[::-1], *events_of(0, "new")])

    assert found["u4"] == found["new"]  # 2, then 3 and 4: the history of u0


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    config, _, _ = shop(tmp_path / "w")
    row = {"user_id": "a", "item_id": "i2", "event_type": "view", "time": 400_000_000}
    rows = [row, row | {"item_id": "none"}, row | {"event_type": "click"}]

    result, found = made(config, tmp_path, rows)

    assert result["events"] == {
        "read": 3, "known_item": 1, "unknown_item": 1, "unknown_type": 1, "shown_only": 0,
        "below_min_value": 0, "already_there": 0,
    }  # fmt: skip
    assert "i2" not in {one["item_id"] for one in found["a"]}


def test_users_whose_events_have_no_type_of_the_dataset_get_lists(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config, _, _ = shop(tmp_path / "w")
    wish = {"user_id": "wisher", "item_id": "i3", "event_type": "wish", "time": 400_000_000}

    with caplog.at_level(logging.WARNING):
        result, found = made(config, tmp_path, [*events_of(0, "new"), wish])

    assert [*found] == ["new", "wisher"] and found["wisher"][0]["source"] == "fallback"
    assert result["users"]["without_known_event"] == 1
    assert "1 of 4 events of --events have another type than view and buy" in caplog.text


def test_users_without_a_known_event_get_popular_items(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config, manifest, model_id = shop(tmp_path / "w", *TABLE)
    lists = published(config, manifest, model_id)
    event = {"user_id": "a", "item_id": "none", "event_type": "view", "time": 400_000_000}

    result, found = made(config, tmp_path, [event], [{"user_id": "b", "region": "south"}])

    popular = [one["item_id"] for one in lists["u2"]]  # u2 has no events
    assert [[one["item_id"] for one in found[name]] for name in "ab"] == [popular, popular]
    assert {one["source"] for one in found["a"]} == {"fallback"}
    assert result["fallbacks"] == {"history_unknown_to_model": 1, "no_history": 1}
    assert result["users"]["without_known_event"] == 2
    assert "has an item of the dataset" in caplog.text


@pytest.mark.slow
def test_a_group_has_its_own_popular_items(tmp_path: Path) -> None:
    write_shop(tmp_path / "w")
    channel = "score.candidates={group: {from: popularity, by: country, count: 4}}"
    config = shop_config(tmp_path / "w", "ranker=null", channel, "score.list_length=3")
    run_train(config)
    dataset = tmp_path / "w/datasets/shop"
    countries = pq.read_table(dataset / "users")["country"].to_pylist()
    train = pq.read_table(dataset / "train").to_pylist()
    named = sorted({one for one in countries if one is not None})
    people = [{"user_id": f"n{one}", "country": one} for one in ("nowhere", *named[::-1], None)]

    _, found = made(config, tmp_path, None, people, suffix=".jsonl")

    assert list(found) == [one["user_id"] for one in people] and len(named) > 1
    for one in people:
        events = np.zeros(42)
        for row, country in zip(train, countries, strict=True):
            if one["country"] in (None, "nowhere", country):
                np.add.at(events, row["history_item_idx"], 1)
        best = [n for n in np.argsort(-events, kind="stable") if n >= 2][:3]
        assert [row["item_id"] for row in found[one["user_id"]]] == [f"i{n}" for n in best]


def test_wrong_rows_are_named_and_the_file_stays(tmp_path: Path) -> None:
    config, _, _ = shop(tmp_path / "w")
    row = {"user_id": "a", "item_id": "i2", "event_type": "view", "time": "400000000"}
    rows = [row, row | {"time": "soon"}, row | {"item_id": ""}, row | {"time": "4e14"}]
    (tmp_path / "lists.parquet").write_text("before")

    with pytest.raises(InputError, match=r"row 2: time='soon' is no time") as error:
        made(config, tmp_path, rows)

    assert "row 3: item_id is missing" in str(error.value) and "row 1" not in str(error.value)
    assert (tmp_path / "lists.parquet").read_text() == "before"


@pytest.mark.parametrize(
    ("time", "told"), [("3", "earliest_time"), ("400000000000", "more than ten years")]
)
def test_a_time_in_another_unit_is_refused(tmp_path: Path, time: str, told: str) -> None:
    config, _, _ = shop(tmp_path / "w")
    row = {"user_id": "a", "item_id": "i2", "event_type": "view", "time": time}
    with pytest.raises(InputError, match=told):
        made(config, tmp_path, [row])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("user_id,item_id\na,i2\n", "has no column event_type|has no column time"),
        ("who,item_id,event_type,time\na,i2,view,400000000\n", "needs those of a log"),
        ("user_id,item_id,event_type,time\n", "name no user"),
        ("user_id,item_id\na\n", "cannot be read"),
        ("user_id,item_id,item_id,event_type,time\na,i2,i3,view,400000000\n", "item_id is there"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tmp_path: Path, text: str, told: str) -> None:
    config, _, _ = shop(tmp_path / "w")
    (tmp_path / "events.csv").write_text(text)
    with pytest.raises(InputError, match=told):
        run_visitors(config, tmp_path / "events.csv", None, tmp_path / "lists.csv")


def test_wrong_options_are_refused(tmp_path: Path) -> None:
    config, _, _ = shop(tmp_path / "w")
    events = written(tmp_path / "events.csv", events_of(0, "a"))
    for users, target, told in (
        (None, "lists.txt", "must end in .parquet, .csv, .jsonl"),
        (None, "events.csv", "is the file of --events"),
        (events, "lists.csv", "input.users is null"),
    ):
        with pytest.raises(ConfigError, match=told):
            run_visitors(config, events, users, tmp_path / target)


def test_erased_users_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_TEST_KEY", "k" * 32)
    config, _, _ = shop(tmp_path / "w", KEY)
    keys = require_keys(config.privacy, "a test")
    add_erased(tmp_path / "w", keys, [erased_hash(keys.erased, "gone")])

    result, found = made(config, tmp_path, [*events_of(0, "gone"), *events_of(0, "new")])

    assert list(found) == ["new"] and result["users"]["erased"] == 1
    with pytest.raises(InputError, match="all 1 were erased"):
        made(config, tmp_path, events_of(0, "gone"))
    with pytest.raises(ConfigError, match="needs a key"):
        made(tiny_config(tmp_path / "w", TYPED), tmp_path, events_of(0, "gone"))


def test_nothing_in_the_workspace_changes(tmp_path: Path) -> None:
    config, _, _ = shop(tmp_path / "w")

    def content() -> dict[str, str]:
        paths = [path for path in (tmp_path / "w").rglob("*") if path.is_file()]
        return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in paths}

    before = content()
    made(config, tmp_path, events_of(0, "new"))
    assert content() == before


def test_all_forms_of_the_output_have_the_same_rows(tmp_path: Path) -> None:
    config, _, _ = shop(tmp_path / "w")
    events = written(tmp_path / "events.csv", events_of(1, "new"))
    for suffix in ("parquet", "csv", "jsonl"):
        run_visitors(config, events, None, tmp_path / f"lists.{suffix}")

    rows = pq.read_table(tmp_path / "lists.parquet").to_pylist()
    lines = (tmp_path / "lists.jsonl").read_text().splitlines()
    csv = pyarrow.csv.read_csv(tmp_path / "lists.csv").to_pylist()
    assert [json.loads(line) for line in lines] == rows and len(rows) == len(csv) == 3
    assert [json.loads(row["reasons"]) for row in csv] == [row["reasons"] for row in rows]


@pytest.mark.parametrize(
    ("keep", "items"), [("keep", [3, 3, 2]), ("first", [3, 2]), ("last", [3, 2])]
)
def test_without_times_the_order_of_lines_counts(
    tmp_path: Path, keep: str, items: list[int]
) -> None:
    columns = "{time: null, event_type: event_type}"
    config, _, _ = shop(
        tmp_path / "w", f"input.events.log.columns={columns}", f"etl.repeated_items={keep}",
        "input.events.log.time_unit=order",
    )  # fmt: skip
    events = [{"user_id": "u3", "item_id": f"i{n}", "event_type": kind}
              for n, kind in ((3, "view"), (2, "view"))]  # fmt: skip
    kinds = ("view", "buy", "view")[3 - len(items) :]
    same = [{"user_id": "new", "item_id": f"i{n}", "event_type": kind}
            for n, kind in zip(items, kinds, strict=True)]  # fmt: skip

    result, found = made(config, tmp_path, [*events, *same])

    assert result["events"]["already_there"] == 1
    shown = {name: [one["item_id"] for one in rows] for name, rows in found.items()}
    if keep != "first":  # the first is a view, which the new user has not
        assert shown["u3"] == shown["new"]
    assert {"i3", "i2"}.isdisjoint(shown["u3"])
