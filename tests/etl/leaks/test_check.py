"""The check against a dataset written by hand, right at first and then with one leak each."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from conf.contract import HISTORY_ITEMS, HISTORY_TIMES, ITEM_IDX, TARGET_ITEM, USER_IDX
from conf.errors import GateError
from etl.leaks.check import find_leaks, require_none, require_same_times
from etl.leaks.facts import READ_AS, Facts, Times, collect_facts, parse_micros
from etl.leaks.sample import Sample
from etl.spark.columns import TIME
from etl.spark.notation import PLAIN, Notation
from etl.spark.times import MICROS_PER_DAY as D
from tests.etl.making import frame_of

CUTS = (5 * D, 8 * D)
LOG = [("u", "a", 0), ("u", "b", D), ("u", "c", D + 1), ("u", "a", 6 * D), ("u", "b", 9 * D),
       ("v", "a", 2 * D)]  # fmt: skip


def facts() -> Facts:
    known = Facts()
    for user, item, at in LOG:
        known.of_user[user].append((item, at))
        known.of_item[item].append(at)
    return known


def sample() -> Sample:
    impression = {
        USER_IDX: 2, ITEM_IDX: 2, TIME: 6 * D, HISTORY_ITEMS: [2, 3, 4], "item_events_7d": 2.0,
        "item_events_all": 2.0, "user_events_7d": 3.0, "user_events_all": 3.0,
        "item_popularity": 2**-6 + 2**-4, "user_popularity": 2**-6 + 2 * 2**-5,
        "item_age_days": 6.0, "user_age_days": 6.0,
    }  # fmt: skip
    return Sample(
        users={2: "u"},
        items={2: "a", 3: "b", 4: "c"},
        train_events={"a": 2, "b": 1, "c": 1},
        rows={
            "train": [{USER_IDX: 2, HISTORY_ITEMS: [2, 3, 4]}],
            "valid": [{USER_IDX: 2, HISTORY_ITEMS: [2, 3, 4], HISTORY_TIMES: [0, D, D + 1],
                       TARGET_ITEM: 2}],
            "test": [{USER_IDX: 2, HISTORY_ITEMS: [2, 3, 4, 2], TARGET_ITEM: 3,
                      HISTORY_TIMES: [0, D, D + 1, 6 * D]}],
            "valid_impressions": [impression],
        },
    )  # fmt: skip


def leaks(changed: Sample) -> list[str]:
    found, _ = find_leaks(changed, facts(), CUTS, windows_days=(7,), half_life_days=1)
    return found


def test_a_dataset_without_leaks_passes() -> None:
    found, counts = find_leaks(sample(), facts(), CUTS, windows_days=(7,), half_life_days=1)

    assert found == []
    assert counts == {"vocabulary entries": 3, "training rows": 1, "validation rows": 1,
                      "test rows": 1, "impressions": 1}  # fmt: skip
    require_none(found)


def in_row(part: str, column: str, value: Any) -> Callable[[Sample], None]:
    def change(changed: Sample) -> None:
        row: Any = changed.rows[part][0]
        row[column] = value

    return change


def count_the_future(changed: Sample) -> None:
    known: Any = changed.train_events
    known["b"] = 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (count_the_future, "item 'b' has 2 training events, but only 1 before"),
        (in_row("valid", HISTORY_TIMES, [0, D, 6 * D]), "valid: the row of user_idx 2"),
        (in_row("valid", TARGET_ITEM, 4), "valid: the row of user_idx 2"),
        (in_row("test", HISTORY_TIMES, [0, D, D + 1, 9 * D]), "test: the row of user_idx 2"),
        (in_row("valid_impressions", TIME, D), "in the history of user_idx 2 is newer"),
        (in_row("valid_impressions", "item_events_7d", 3.0), "item_events_7d of user_idx 2 is 3"),
        (in_row("valid_impressions", "user_events_all", 4.0), "user_events_all of user_idx 2 is 4"),
        (in_row("valid_impressions", "item_popularity", 1.0), "item_popularity of user_idx 2 is 1"),
        (in_row("valid_impressions", "user_age_days", 9.0), "user_age_days of user_idx 2 is 9"),
    ],
)
def test_each_leak_is_found(change: Callable[[Sample], None], said: str) -> None:
    changed = sample()
    change(changed)

    found = leaks(changed)
    assert len(found) == 1 and said in found[0]
    with pytest.raises(GateError, match="no dataset was made"):
        require_none(found)


@pytest.mark.parametrize(
    ("text", "unit", "micros"),
    [
        ("1970-01-02T00:00:00Z", "iso", D),
        ("1970-01-02", "iso", D),
        ("1970-01-02T01:00:00+01:00", "iso", D),
        ("1970-01-02 00:00:00,0 Z", "iso", D),
        ("1970-01-02 02:00 +0200", "iso", D),
        ("86400.5", "seconds", D + 500_000),
        ("86400000", "milliseconds", D),
        ("soon", "seconds", None),
        (None, "iso", None),
    ],
)
def test_times_are_read_a_second_way(text: str | None, unit: str, micros: int | None) -> None:
    assert parse_micros(text, unit) == micros


def test_times_that_the_dataset_has_wrong_are_found(spark: SparkSession, tmp_path: Path) -> None:
    notation = Notation(time_formats=("dd.MM.yyyy", "yyyy z"), decimal=",")
    rows = frame_of(
        spark, f"user_id string, item_id string, time_text string, {READ_AS} long",
        ("u", "a", "02.01.1970", D), ("u", "b", "03.01.1970", 3 * D), ("u", "c", "soon", None),
        ("u", "d", "1970 CET", 5),  # which Python cannot read
    )  # fmt: skip
    found = collect_facts([(rows, "iso", notation)], ["u"], [], tmp_path)
    assert sorted(found.of_user["u"]) == [("a", D), ("b", 2 * D), ("d", 5)]
    differ = r"'03\.01\.1970' as 1970-01-04T00:00:00Z, but it is 1970-01-03T00:00:00Z"
    with pytest.raises(GateError, match=rf"read 1 time\(s\) .*{differ}"):
        require_same_times(found)
    with pytest.raises(GateError, match=r"one of them off by \+86,400 seconds;") as hidden:
        require_same_times(found, shows_times=False)
    assert "1970" not in str(hidden.value)
    require_same_times(facts())


def test_counts_and_decay_stop_at_the_instant() -> None:
    times = Times([3 * D + 5, 1, D, D + 7])

    assert [times.count_before(at) for at in (0, 1, 2, D + 7, 9 * D)] == [0, 0, 1, 2, 4]
    assert times.count_before(3 * D, since=D) == 2
    assert times.decayed_before(3, half_life_days=1) == 2**-3 + 2 * 2**-2
    assert Times([]).decayed_before(3, half_life_days=1) == 0


def test_raw_rows_that_differ_in_a_field_are_two_events(
    spark: SparkSession, tmp_path: Path
) -> None:
    rows = frame_of(
        spark, "user_id string, item_id string, time_text string, field_spent string",
        ("u", "a", "5", "1.5"), ("u", "a", "5", "1.5"), ("u", "a", "5", "2"),
        ("u", "b", "soon", "1"),
        ("w", "a", "7", "1"), ("w", "z", "9", "1"),
    )  # fmt: skip
    logs = [(rows, "microseconds", PLAIN)]
    found = collect_facts(logs, ["u"], ["a"], tmp_path, time_step=2)

    assert found.of_user == {"u": [("a", 4), ("a", 4)]}
    assert sorted(found.of_item["a"]) == [4, 4, 6]
