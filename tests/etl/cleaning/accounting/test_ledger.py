import pytest

from conf.settings.etl import Budget
from etl.cleaning.accounting.ledger import VerdictCount, build_ledger, why_refused

COUNTS = [
    VerdictCount("a.csv", None, 5),
    VerdictCount("a.csv", "dropped:duplicate", 2),
    VerdictCount("b.csv", None, 1),
    VerdictCount("b.csv", "quarantined:user_missing", 3),
]


def test_every_row_is_accounted_for_per_file() -> None:
    ledger = build_ledger(COUNTS, ["a.csv", "b.csv", "empty.csv"], rows_read=11, rows_kept=6)
    assert ledger.dropped == {"duplicate": 2}
    assert ledger.quarantined == {"user_missing": 3}
    assert ledger.files["b.csv"].rows_read == 4 and ledger.files["b.csv"].rows_kept == 1
    assert ledger.files["b.csv"].quarantined == {"user_missing": 3}
    assert ledger.files["a.csv"].dropped == {"duplicate": 2}
    assert ledger.files["empty.csv"].rows_read == 0
    assert [account.missing_rows() for account in (ledger, *ledger.files.values())] == [0] * 4


def test_rows_of_several_logs_and_types_add_up() -> None:
    counts = [
        VerdictCount("a.csv", verdict, share * rows, log=log, event_type=kind)
        for verdict, rows in ((None, 1), ("dropped:bot", 10), ("quarantined:x", 100))
        for share, log, kind in ((1, 0, 0), (2, 0, 1), (4, 1, 0))
    ]
    ledger = build_ledger(counts, ["a.csv"], rows_read=777, rows_kept=7)
    for account in (ledger, ledger.files["a.csv"]):
        assert (account.rows_read, account.rows_kept) == (777, 7)
        assert (account.dropped, account.quarantined) == ({"bot": 70}, {"x": 700})


def test_bad_rows_may_be_as_many_as_allowed_and_no_more() -> None:
    counts = [VerdictCount("a.csv", None, 9), VerdictCount("a.csv", "quarantined:x", 3)]
    assert why_refused("events", counts, 12, max_bad_share=0.25) is None
    assert why_refused("events", counts, 12, max_bad_share=0.2499) is not None


def test_a_log_of_later_days_alone_has_no_new_data_and_is_no_fault() -> None:
    late = VerdictCount("a.csv", "dropped:after_logical_date", 3)
    old = VerdictCount("a.csv", "dropped:duplicate", 1)
    assert why_refused("events", [late, old], 4, 0.2) is None
    assert "none of 1 rows is left" in str(why_refused("events", [old], 1, 0.2))


@pytest.mark.parametrize(("rows_read", "rows_kept"), [(12, 6), (11, 5), (10, 5)])
def test_a_row_that_is_lost_stops_the_run(rows_read: int, rows_kept: int) -> None:
    with pytest.raises(RuntimeError, match="does not balance"):
        build_ledger(COUNTS, ["a.csv", "b.csv"], rows_read=rows_read, rows_kept=rows_kept)


def test_an_input_is_refused_with_counts_by_reason() -> None:
    assert why_refused("events", COUNTS, 11, max_bad_share=0.3) is None
    assert "3 of 11 rows are bad (user_missing 3)" in str(
        why_refused("events", COUNTS, 11, max_bad_share=0.2)
    )
    assert "has no rows" in str(why_refused("events", [], 0, max_bad_share=1.0))
    dropped = [VerdictCount("a.csv", "dropped:event_type_not_used", 4)]
    assert "dropped: event_type_not_used 4" in str(why_refused("events", dropped, 4, 0.2))


@pytest.mark.parametrize(("rule", "hint"), [
    ("time_too_early", "time_unit"), ("time_unparsable", "time_format"),
    ("line_unparsable", "each object is on one line"), ("price_unparsable", "decimal"),
    ("price_negative", "etl.clean.cancellations"), ("file_damaged", None),
])  # fmt: skip
def test_the_most_frequent_fault_has_a_hint(rule: str, hint: str | None) -> None:
    counts = [VerdictCount("a.csv", f"quarantined:{name}", rows)
              for name, rows in ((rule, 9), ("item_missing", 1))]  # fmt: skip
    text = str(why_refused("events", counts, 10, 0.2))
    assert text.endswith("allows") if hint is None else hint in text.partition("allows; ")[2]


def test_a_rule_over_its_budget_is_a_warning_and_then_a_reason_to_stop() -> None:
    budgets = {
        "duplicate": Budget(warn_above=0.1, stop_above=0.18),
        "user_missing": Budget(warn_above=0.2727, stop_above=0.3),
        "bot": Budget(warn_above=0.0, stop_above=0.0),
    }
    ledger = build_ledger(COUNTS, ["a.csv", "b.csv"], rows_read=11, rows_kept=6, budgets=budgets)
    assert ledger.warnings == (
        "duplicate removed 2 of 11 rows, more than "
        "etl.clean.budgets.duplicate.warn_above=0.1 allows",
        "user_missing removed 3 of 11 rows, more than "
        "etl.clean.budgets.user_missing.warn_above=0.2727 allows",
    )
    refusal = str(why_refused("events", COUNTS, 11, 1.0, budgets))
    assert refusal == (
        "input.events: duplicate removed 2 of 11 rows, more than "
        "etl.clean.budgets.duplicate.stop_above=0.18 allows"
    )
    enough = {"duplicate": Budget(stop_above=2 / 11)}
    assert why_refused("events", COUNTS, 11, 1.0, enough) is None


def test_fields_made_null_are_warnings_with_counts_of_the_rows_kept() -> None:
    counts = [
        VerdictCount("a.csv", None, 5),
        VerdictCount("a.csv", None, 2, ("age_unparsable",)),
        VerdictCount("a.csv", None, 1, ("age_unparsable", "price_out_of_range")),
        VerdictCount("a.csv", "dropped:duplicate", 4, ("age_unparsable",)),
    ]
    ledger = build_ledger(counts, ["a.csv"], rows_read=12, rows_kept=8)
    assert ledger.warnings == (
        "age_unparsable: 3 of 8 rows kept have no value in that field",
        "price_out_of_range: 1 of 8 rows kept have no value in that field",
    )
