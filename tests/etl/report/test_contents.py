"""What a small dataset's files say, worked out by hand."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from conf.ledger import InputLedger
from conf.pages.inequality import gini
from conf.workspace.pointers import publish
from conf.workspace.versions import commit
from etl.report.contents import describe_long_tail, read_part, read_profile
from etl.report.drift import (
    compare,
    events_by_decile,
    find_drift,
    previous_dataset,
    stability_index,
)
from etl.report.missing import count_missing
from etl.report.samples import masked, sample_quarantine
from tests.etl.reporting import LEDGER, write_dataset

HISTORIES = [([0, 1, 0], [5, 5, 30]), ([0], [6]), ([], [])]


def test_profile_counts_lengths_types_and_hours(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path, histories=HISTORIES, items={"b": 1, "c": 3, "a": 1})
    profile = read_profile(tmp_path, manifest)
    assert profile.lengths == {3: 1, 1: 1, 0: 1}
    assert profile.types == {"view": 3, "buy": 1}
    assert profile.hours == {5: 2, 6: 1, 30: 1}
    assert profile.items["item_id"].to_pylist() == ["c", "a", "b"]


def test_an_undated_log_has_no_hours(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path, histories=HISTORIES, logical_date="undated")
    profile = read_profile(tmp_path, manifest)
    assert (profile.hours, profile.lengths[3]) == ({}, 1)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [([2, 2, 2, 2], 0), ([0, 0, 0, 9], 3 / 4), ([3, 1], 1 / 4), ([1, 2, 3], 2 / 9)],
)
def test_gini_is_that_of_the_formula(counts: list[int], expected: float) -> None:
    assert gini(np.array(counts)) == pytest.approx(expected)


def test_long_tail_shows_what_the_first_items_hold(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path, items={"a": 6, "b": 2, "c": 1, "d": 1})
    tail = describe_long_tail(read_profile(tmp_path, manifest))
    assert tail is not None
    assert tail.points == [(0, 0), (0.25, 0.6), (0.5, 0.8), (0.75, 0.9), (1, 1)]
    assert tail.heads == {0.01: 0.6, 0.1: 0.6, 0.5: 0.8}  # of four items one at least
    assert (tail.num_items, tail.num_events) == (4, 10)


def test_a_dataset_without_training_events_has_no_tail(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path, items={"a": 0})
    assert describe_long_tail(read_profile(tmp_path, manifest)) is None


def test_values_that_are_null_or_blank_are_missing(tmp_path: Path) -> None:
    rows = [("events", "r", "a.csv", None, text, "i", "1", "v", "") for text in ("x", " ", None)]
    manifest = write_dataset(tmp_path, quarantine=rows)
    fields = ["user_id", "item_id", "value", "not_there"]
    assert count_missing(read_part(tmp_path, manifest, "quarantine", fields), fields) == (
        3, {"user_id": 2, "item_id": 0, "value": 3, "not_there": 3},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (None, ""),
        ("", ""),
        ("7", "•"),
        ("42", "4•"),
        ("abc", "a••"),
        ("-1.50", "-1•••"),
        ("x" * 300, "xx" + "•" * 10),
    ],
)
def test_masks_hide_all_but_two_characters(text: str | None, shown: str) -> None:
    assert masked(text) == shown


def test_samples_are_the_first_rows_of_each_rule_and_hold_no_raw_text(tmp_path: Path) -> None:
    bad = [("events", "user_missing", "a.csv", "RAW", None, f"item{n}", "soon", "view", None)
           for n in range(7)]  # fmt: skip
    broken = ("items", "line_unparsable", "b.csv", "RAW", None, None, None, None, None)
    ledger = {"events": {**LEDGER, "quarantined": {"time_in_future": 1, "user_missing": 7}},
              "items": {**LEDGER, "quarantined": {"line_unparsable": 1}}}  # fmt: skip
    late = ("events", "time_in_future", "a.csv", "RAW", "anna", "i", "2999", "view", "3")
    manifest = write_dataset(
        tmp_path, quarantine=[*bad, late, broken],
        ledger={name: InputLedger.model_validate(account) for name, account in ledger.items()},
    )  # fmt: skip
    rules = sample_quarantine(tmp_path, manifest)
    assert [(rule.input, rule.rule, rule.rows, len(rule.samples)) for rule in rules] == [
        ("events", "user_missing", 7, 5), ("events", "time_in_future", 1, 1),
        ("items", "line_unparsable", 1, 1),
    ]  # fmt: skip
    assert rules[1].samples[0] == {
        "source_file": "a.csv", "user_id": "an••", "item_id": "•", "time": "29••",
        "event_type": "vi••", "value": "•",
    }  # fmt: skip
    assert "RAW" not in repr(rules)


def test_stability_index_is_that_of_the_formula() -> None:
    assert stability_index([5, 5], [50, 50]) == 0
    # (1/4 - 1/2) ln(1/2) + (3/4 - 1/2) ln(3/2) = ln(3) / 4
    assert stability_index([1, 1], [1, 3]) == pytest.approx(math.log(3) / 4)
    nothing = (1 - 1e-4) * math.log(1e4) * 2  # a bin that was empty and one that is
    assert stability_index([1, 0], [0, 1]) == pytest.approx(nothing)


def test_events_are_counted_by_the_previous_popularity_of_their_items(tmp_path: Path) -> None:
    old = {f"i{n:02d}": 20 - n for n in range(20)}  # two items in each tenth
    new = {"i00": 5, "i01": 1, "i19": 4, "new": 9}
    previous, present = (
        read_profile(tmp_path / name, write_dataset(tmp_path / name, items=items))
        for name, items in (("old", old), ("new", new))
    )
    before, now = events_by_decile(previous, present)
    assert before == [39, 35, 31, 27, 23, 19, 15, 11, 7, 3, 0]
    assert now == [6, 0, 0, 0, 0, 0, 0, 0, 0, 4, 9]


def test_drift_compares_counts_types_times_and_items(tmp_path: Path) -> None:
    old = write_dataset(tmp_path / "old", histories=HISTORIES, items={"a": 2, "b": 2})
    ledger = {"events": InputLedger.model_validate({**LEDGER, "quarantined": {}, "rows_kept": 8})}
    new = write_dataset(
        tmp_path / "new", histories=[([0, 2], [5, 6])], items={"a": 1},
        ledger=ledger, event_types=("view", "buy", "like"),
    )  # fmt: skip
    previous, present = (
        read_profile(tmp_path / manifest.id, manifest) for manifest in (old, new)
    )  # fmt: skip
    drift = compare(previous, present)
    assert drift.previous_id == "old"
    assert drift.counts == {"users": (3, 1), "items": (2, 1), "events": (4, 2)}
    assert drift.quarantined_shares == (0.1, 0)
    types = drift.shifts[0].shares
    assert types.labels == ["view", "buy", "like"]
    assert types.series == {"previous": [0.75, 0.25, 0], "now": [0.5, 0, 0.5]}
    assert [shift.shares.title for shift in drift.shifts[1:]] == [
        "Events by weekday", "Events by hour of the day",
        "Events by tenth of the previous items, most popular first",
    ]  # fmt: skip
    undated = compare(replace(previous, hours=type(previous.hours)()), present)
    assert len(undated.shifts) == 2
    assert all(shift.psi == 0 for shift in compare(previous, previous).shifts)


def test_the_previous_dataset_is_the_one_that_was_current_before(tmp_path: Path) -> None:
    assert previous_dataset(tmp_path, "one") is None
    for name in ("one", "two"):
        manifest = write_dataset(tmp_path / "datasets" / name, histories=HISTORIES)
        commit(tmp_path, "datasets", manifest)
        publish(tmp_path, "datasets", name, "2026-03-01")
    found = [previous_dataset(tmp_path, name) for name in ("one", "two", "three")]
    assert [None if manifest is None else manifest.id for manifest in found] == [None, "one", "two"]
    profile = read_profile(tmp_path / "datasets/two", manifest)
    drift = find_drift(profile, tmp_path)
    assert drift is not None
    assert drift.previous_id == "one"


def test_a_previous_dataset_that_is_damaged_is_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    manifest = write_dataset(tmp_path / "datasets/one", histories=HISTORIES, items={"a": 1})
    commit(tmp_path, "datasets", manifest)
    publish(tmp_path, "datasets", "one", "2026-03-01")
    profile = read_profile(
        tmp_path / "two", write_dataset(tmp_path / "two", histories=HISTORIES)
    )  # fmt: skip
    assert find_drift(profile, tmp_path) is not None
    (tmp_path / "datasets/one/items/part-00000.parquet").unlink()
    assert find_drift(profile, tmp_path) is None
    assert "part-00000.parquet is missing" in caplog.text
