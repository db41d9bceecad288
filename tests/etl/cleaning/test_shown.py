"""What is only shown is no act: it stands in no history, and is an impression."""

import json
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from conf.settings.config import Config
from conf.settings.etl import EventType
from etl.cleaning.shown import drop_answered, is_act
from etl.spark.times import MICROS_PER_MINUTE
from tests.etl.making import DAY, by_line, config_for, events_of, make, read_part, write_lines

pytestmark = pytest.mark.usefixtures("spark")
START = 1_772_323_200  # 2026-03-01T00:00:00Z
TYPES = {"shown": {"shown_only": True}, "click": {}}
LOGGED = {"labels": {"clicked": ["click"]}, "negatives": "logged"}


def shop(root: Path, **etl: Any) -> Config:
    """Two users; `u` sees a, b (and clicks b), c (clicks later), clicks d, and sees e."""
    write_lines(
        root / "log.csv", "user_id,item_id,time,kind",
        *(f"{user},{item},{START + seconds},{kind}" for user, item, seconds, kind in (
            ("u", "a", 0, "shown"), ("u", "b", 0, "shown"), ("u", "b", 10, "click"),
            ("u", "c", 100, "shown"), ("u", "a", 120, "click"), ("u", "d", DAY, "click"),
            ("u", "c", DAY + 7200, "click"), ("u", "e", DAY + 7300, "shown"),
            ("v", "b", 5, "click"), ("w", "z", 5, "shown"),
        )),
    )  # fmt: skip
    return config_for(
        root, {"columns": {"event_type": "kind"}},
        etl={"event_types": TYPES, "impressions": LOGGED, "session_gap_minutes": 60, **etl},
    )  # fmt: skip


def test_the_shown_is_an_impression_and_no_part_of_a_history(tmp_path: Path) -> None:
    manifest, folder = make(shop(tmp_path))
    names = {row["item_idx"]: row["item_id"] for row in read_part(folder, "items")}
    users = {row["user_idx"]: row["user_id"] for row in read_part(folder, "users")}
    # u: b, a | d | c in acts. Shown and answered within half an hour: a and b at the beginning.
    ledger = manifest.ledger["events"]
    assert ledger.dropped == {"answered": 2}
    assert (ledger.rows_kept, manifest.counts["events"], manifest.counts["shown"]) == (8, 5, 3)
    assert manifest.counts["sessions"] == 4
    counts = {row["user_id"]: (row["num_events"], row["num_shown"])
              for row in read_part(folder, "users")}  # fmt: skip
    assert counts == {"u": (4, 2), "v": (1, 0), "w": (0, 1)}
    # z and c were shown in the training part's time, e behind the last act.
    assert {names[row["item_idx"]]: row["train_events"] for row in read_part(folder, "items")} == {
        "b": 2, "a": 1, "c": 0, "z": 0,
    }  # fmt: skip
    histories = {users[row["user_idx"]]: row["history_item_idx"]
                 for row in read_part(folder, "histories")}  # fmt: skip
    named = {user: [names.get(i, "?") for i in items] for user, items in histories.items()}
    assert named == {
        "u": ["b", "a", "?", "c"], "v": ["b"], "w": [],
    }  # fmt: skip

    def rows(part: str) -> list[tuple[Any, ...]]:
        return sorted(
            (users[row["user_idx"]], names.get(row["item_idx"], "?"), row["label_clicked"],
             [names[item] for item in row["history_item_idx"] if item in names],
             round(float(row["user_gap"]), 3), round(float(row["session_place"]), 3))
            for row in read_part(folder, f"{part}_impressions")
        )  # fmt: skip

    assert rows("train") == [
        ("u", "a", 1.0, ["b"], 4.71, 1.0),  # ln(1 + 110)
        ("u", "b", 1.0, [], -1.0, 0.0),
        ("u", "c", 0.0, ["b"], 4.511, 1.0),  # ln(1 + 90)
        ("v", "b", 1.0, [], -1.0, 0.0),
        ("w", "z", 0.0, [], -1.0, 0.0),
    ]
    assert [row[:4] for row in rows("valid")] == [("u", "?", 1.0, ["b", "a"])]
    assert [row[:4] for row in rows("test")] == [
        ("u", "?", 0.0, ["b", "a", "c"]),  # e, with the part of the last act
        ("u", "c", 1.0, ["b", "a"]),
    ]


@pytest.mark.slow
def test_with_a_temporal_split_what_is_shown_belongs_to_its_own_time(tmp_path: Path) -> None:
    split = {"kind": "temporal", "valid_from": "2026-03-02", "test_from": "2026-03-03"}
    manifest, folder = make(shop(tmp_path, split=split, repeated_items="last"))
    assert {row["item_id"]: row["train_events"] for row in read_part(folder, "items")} == {
        "b": 2, "a": 1, "c": 0, "z": 0,
    }  # fmt: skip
    assert len(read_part(folder, "train_impressions")) == 5
    assert len(read_part(folder, "valid_impressions")) == 3  # d, c and e
    assert manifest.leak_check["impressions"] == 6  # u's; v and w have no target


def test_what_is_shown_counts_for_no_cap_and_repeats_no_act(spark: SparkSession) -> None:
    acts = is_act({name: EventType(**spec) for name, spec in TYPES.items()})
    minutes = [(0, 0), (0, 29), (1, 30), (0, 30), (0, 61), (1, 61), (0, 200)]
    events = events_of(spark, *(
        {"event_type": kind, "time": minute * MICROS_PER_MINUTE} for kind, minute in minutes
    ))  # fmt: skip
    answered = "dropped:answered"
    assert by_line(drop_answered(events, acts, 30)) == [
        answered, answered, None, answered, answered, None, None,
    ]  # fmt: skip
    assert by_line(events.withColumn("verdict", acts.cast("string"))) == [
        "true" if kind else "false" for kind, _ in minutes
    ]
    assert events.where(is_act({"a": EventType()}) != F.lit(True)).isEmpty()


GIVEN = {name: {"paths": [f"{name}.csv"], "time_unit": "order", "part": name,
                "columns": {"time": None, "event_type": "used"},
                "fields": {"place": {}}} for name in ("train", "valid", "test")}  # fmt: skip


def benchmark(root: Path) -> Config:
    header = "used,user_id,item_id,place"
    write_lines(root / "train.csv", header, "1,u,a,home", "0,u,z,home", "1,u,b,work", "1,v,b,work")
    write_lines(root / "valid.csv", header, "1,u,b,home", "0,u,c,home", "1,u,a,home")
    write_lines(root / "test.csv", header, "0,u,a,bus", "1,u,z,home", "1,w,b,home")
    return config_for(
        root, logs=GIVEN,
        etl={
            "event_types": {"1": {}, "0": {"shown_only": True}}, "split": {"kind": "given"},
            "impressions": {"labels": {"used": ["1"]}, "negatives": "logged"},
            "features": {"events": {"encodings": {"place": {"kind": "categorical"}}}},
        },
    )  # fmt: skip


@pytest.mark.slow
def test_parts_that_the_log_gives_are_taken_as_they_are(tmp_path: Path) -> None:
    manifest, folder = make(benchmark(tmp_path))
    names = {row["item_idx"]: row["item_id"] for row in read_part(folder, "items")}
    users = {row["user_idx"]: row["user_id"] for row in read_part(folder, "users")}
    assert manifest.ledger["events"].rows_kept == 10
    assert {row["item_id"]: row["train_events"] for row in read_part(folder, "items")} == {
        "b": 2, "a": 1, "z": 0,
    }  # fmt: skip

    def rows(part: str) -> list[tuple[Any, ...]]:
        return sorted(
            (users[row["user_idx"]], names.get(row["item_idx"], "?"), row["label_used"],
             [names[item] for item in row["history_item_idx"]], row["context_place"])
            for row in read_part(folder, f"{part}_impressions")
        )  # fmt: skip

    known = json.loads((folder / "encoders/impressions.json").read_text())["place"]
    home, work = (known["values"].index(place) + 2 for place in ("home", "work"))
    unknown = 1
    assert rows("train") == [
        ("u", "a", 1.0, [], home), ("u", "b", 1.0, ["a"], work), ("u", "z", 0.0, ["a"], home),
        ("v", "b", 1.0, [], work),
    ]  # fmt: skip
    # A target knows the parts before its own, and nothing of its own part.
    assert rows("valid") == [
        ("u", "?", 0.0, ["a", "b"], home), ("u", "a", 1.0, ["a", "b"], home),
        ("u", "b", 1.0, ["a", "b"], home),
    ]  # fmt: skip
    assert rows("test") == [
        ("u", "a", 0.0, ["a", "b", "b", "a"], unknown),
        ("u", "z", 1.0, ["a", "b", "b", "a"], home), ("w", "b", 1.0, [], home),
    ]  # fmt: skip
    targets = [(users[row["user_idx"]], [names[i] for i in row["history_item_idx"]],
                names[row["target_item_idx"]]) for row in read_part(folder, "valid")]  # fmt: skip
    assert sorted(targets) == [("u", ["a", "b"], "a"), ("u", ["a", "b"], "b")]
