"""Which losses are named: rows of a file, a log or a type of which one rule takes most."""

from typing import Any

import pytest

from conf.settings.etl import Etl
from etl.cleaning.accounting.ledger import VerdictCount, why_refused
from etl.cleaning.accounting.losses import about_unused_types, loss_warnings, table_warnings

ETL = Etl(event_types={"view": {}, "buy": {"weight": 2}}, repeated_items="first")


def lost(rule: str, rows: int, **changes: Any) -> VerdictCount:
    return VerdictCount(**{"file": "a.csv", "verdict": f"dropped:{rule}", "rows": rows, "log": 0,
                           "event_type": 0, **changes})  # fmt: skip


def kept(rows: int, **changes: Any) -> VerdictCount:
    return lost("", rows, **{"verdict": None, **changes})


@pytest.mark.parametrize(("dropped", "is_named"), [(4, False), (5, False), (6, True)])
def test_more_than_half_is_a_large_loss(dropped: int, is_named: bool) -> None:
    counts = [kept(10 - dropped), lost("duplicate", dropped)]
    assert bool(loss_warnings(counts, ["log"], ETL)) == is_named


def test_two_rules_that_share_a_loss_are_not_named() -> None:
    counts = [lost("duplicate", 5), lost("repeated_item", 5)]
    assert loss_warnings(counts, ["log"], ETL) == []


def test_a_type_is_named_even_if_its_file_loses_little() -> None:
    counts = [kept(90), kept(1, event_type=1), lost("below_threshold", 9, event_type=1)]
    assert loss_warnings(counts, ["log"], ETL) == [
        "below_threshold removed 9 of 10 rows of type buy; see min_value of the types in "
        "etl.event_types"
    ]


def test_one_warning_names_the_largest_losses_of_a_rule() -> None:
    counts = [
        count
        for n in range(8)
        for count in (kept(1, file=f"{n}.csv"), lost("bot", 10 + n, file=f"{n}.csv"))
    ]
    (warning,) = loss_warnings(counts, ["clicks"], ETL)
    assert warning == (
        "bot removed 108 of 116 rows of log clicks (type view), 17 of 18 rows of 7.csv, "
        "16 of 17 rows of 6.csv, 15 of 16 rows of 5.csv, 14 of 15 rows of 4.csv, more than half "
        "of 4 other files, logs or types; see etl.clean.max_events_per_user and its like"
    )


def test_rows_that_a_file_a_log_and_a_type_lose_are_named_once() -> None:
    counts = [
        kept(3),
        lost("repeated_item", 7),
        kept(1, event_type=None),
        kept(1, file="b.csv", event_type=1),
    ]
    (warning,) = loss_warnings(counts, ["clicks"], ETL)
    assert warning.startswith(
        "repeated_item removed 7 of 10 rows of type view, the same as of a.csv and of log clicks; "
        "of each user and item one event is kept; see etl.repeated_items"
    )


def test_values_below_zero_may_be_returns() -> None:
    (warning,) = loss_warnings([lost("price_negative", 6), kept(4)], ["log"], ETL)
    assert "for returns see etl.clean.cancellations" in warning
    error = why_refused("events", [lost("price_negative", 6), kept(4)], 10, 0.9)
    assert error is None
    bad = [VerdictCount("a.csv", "quarantined:price_negative", 6), kept(4)]
    error = why_refused("events", bad, 10, 0.5)
    assert "for returns see etl.clean.cancellations" in str(error)


@pytest.mark.parametrize("more", [0, 1, 3])
def test_only_the_ten_rules_with_the_largest_losses_are_named(more: int) -> None:
    counts = [lost(f"rule{n}", 10 + n, file=f"{n}.csv") for n in range(10 + more)]
    warnings = loss_warnings(counts, ["log"], ETL)
    named = [f"rule{n}" for n in range(9 + more, more - 1, -1)]
    assert [text.split()[0] for text in warnings[:10]] == named
    rest = [f"{more} other rules removed more than half of a file or type"]
    assert warnings[10:] == (rest if more else [])


def test_dropped_events_of_a_larger_weight_are_counted_by_type() -> None:
    counts = [
        kept(90),
        lost("repeated_item", 4, event_type=1, outweighing=3),
        lost("repeated_item", 5, file="b.csv", event_type=1, outweighing=2),
        lost("repeated_item", 6, outweighing=1),
        kept(9, event_type=1),
        lost("repeated_item", 7, event_type=None),
    ]
    first, *_ = loss_warnings(counts, ["log"], ETL)
    assert "repeated_items='first'" in first and ": view 1, buy 5; set it to strongest" in first
    assert loss_warnings([kept(90), lost("repeated_item", 4)], ["log"], ETL) == []


def test_what_was_asked_for_is_no_loss() -> None:
    rules = ("after_logical_date", "erased", "file_damaged")
    counts = [lost(rule, 10, file=f"{rule}.csv") for rule in rules]
    assert loss_warnings(counts, ["log"], ETL) == []
    # Of a table that a log is read as, all rows of an id but one are duplicates.
    rows = [VerdictCount("items.csv", None, 1), VerdictCount("items.csv", "dropped:duplicate", 9)]
    assert table_warnings(rows) == []
    bad = [VerdictCount("items.csv", None, 1), VerdictCount("items.csv", "quarantined:x", 9)]
    assert table_warnings(bad) == [
        "x removed 9 of 10 rows of items.csv; look at these rows in the quarantine"
    ]


def test_the_names_of_types_are_few_and_short() -> None:
    found: list[tuple[str | None, int]] = [(f"{n}" * 50, 2) for n in range(10)]
    text = about_unused_types(found, 25, ["view"])
    assert text.startswith("event_type_not_used: 25 rows have a type that is not in")
    assert f"'{'9' * 40}...' 2 and other types 5" in text
    assert len(text) < 600


def test_a_type_that_is_written_otherwise_is_named_with_the_one_it_is_like() -> None:
    text = about_unused_types([("Add to Cart", 3), (None, 2), ("tip", 1)], 6, ["addtocart", "view"])
    assert "'Add to Cart' 3, no type 2, 'tip' 1; 'Add to Cart' differs from 'addtocart'" in text
    assert "other types" not in text and text.count("differs") == 1
    assert f"'{'x' * 40}' 1" in about_unused_types([("x" * 40, 1)], 1, ["view"])
