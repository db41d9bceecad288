from collections.abc import Mapping

from pyspark.sql import SparkSession

from conf.settings.etl import EventType
from etl.cleaning.row_rules import Limits, judge_rows, parse_events
from etl.spark.columns import VERDICT
from tests.etl.making import frame_of

ROW = (
    "redelivered boolean, broken boolean, user_id string, item_id string, time_text string, "
    "type_text string, value_text string"
)
TYPES = {"view": EventType(), "buy": EventType(weight=3.0, min_value=2.0)}
GOOD = (False, False, "u", "i", "100", "view", "1")
LIMITS = Limits(
    earliest=50_000_000, latest=1_000_000_000, until=500_000_000,
    kept_from=80_000_000, kept_until=400_000_000, max_value=99.0,
    item_pattern="i.?|j",
)  # fmt: skip


def judged(
    spark: SparkSession, *rows: tuple[object, ...], types: Mapping[str, EventType] = TYPES
) -> list[str | None]:
    """Return the verdicts on rows whose times have to be in seconds 50 to 1000, up to 500.

    Wanted are seconds 80 to 400.
    """
    numbered = [(index, *row) for index, row in enumerate(rows)]
    frame = frame_of(spark, f"n int, {ROW}", *numbered)
    verdicts = judge_rows(parse_events(frame, "seconds", types), LIMITS, types)
    return [row[0] for row in verdicts.orderBy("n").select(VERDICT).collect()]


def changed(**columns: object) -> tuple[object, ...]:
    names = [part.split()[0] for part in ROW.split(", ")]
    return tuple(columns.get(name, value) for name, value in zip(names, GOOD, strict=True))


def test_each_fault_gets_its_reason(spark: SparkSession) -> None:
    faults = {
        "dropped:redelivered_file": changed(redelivered=True),
        "quarantined:line_unparsable": changed(broken=True),
        "quarantined:user_missing": changed(user_id="  "),
        "quarantined:item_missing": changed(item_id=None),
        "quarantined:time_unparsable": changed(time_text=""),
        "quarantined:time_too_early": changed(time_text="49"),
        "quarantined:time_in_future": changed(time_text="1000"),
        "quarantined:value_unparsable": changed(value_text="cheap"),
        "quarantined:price_negative": changed(value_text="-1"),
        "quarantined:value_out_of_range": changed(value_text="99.1"),
        "dropped:after_logical_date": changed(time_text="500"),
        "dropped:item_excluded": changed(item_id="POST"),
        "dropped:event_type_not_used": changed(type_text="scroll"),
        "dropped:below_threshold": changed(type_text="buy", value_text="1.9"),
    }
    assert judged(spark, GOOD, *faults.values()) == [None, *faults]


def test_the_whole_id_has_to_match(spark: SparkSession) -> None:
    rows = [changed(item_id=item) for item in ("i1", "j", "i12", "xi", "j\n", "i\u00e9")]
    out = "dropped:item_excluded"
    assert judged(spark, *rows) == [None, None, out, out, out, None]


def test_both_ends_of_a_window_are_the_configured_days_own(spark: SparkSession) -> None:
    rows = [changed(time_text=second) for second in ("79.999999", "80", "399.999999", "400")]
    assert judged(spark, *rows, changed(value_text="99")) == [
        "dropped:outside_window", None, None, "dropped:outside_window", None,
    ]  # fmt: skip


def test_no_limit_lets_everything_pass(spark: SparkSession) -> None:
    row = ("u", "i", 10**18, -(10.0**9), 0, False, False)
    frame = frame_of(
        spark,
        "user_id string, item_id string, time long, value double, event_type int, "
        "redelivered boolean, broken boolean",
        row,
    )
    verdicts = judge_rows(frame, Limits(allow_negative_value=True), TYPES).select(VERDICT)
    assert verdicts.collect() == [(None,)]


def test_the_first_of_several_faults_counts(spark: SparkSession) -> None:
    everything = changed(redelivered=True, broken=True, user_id="", time_text="x")
    rows = [everything, changed(user_id="", item_id=""), changed(time_text="2000", value_text="-1")]
    assert judged(spark, *rows) == [
        "dropped:redelivered_file", "quarantined:user_missing", "quarantined:time_in_future",
    ]  # fmt: skip


def test_an_empty_value_is_right_unless_a_threshold_asks_for_one(spark: SparkSession) -> None:
    rows = [changed(value_text=""), changed(value_text=None, type_text="buy")]
    assert judged(spark, *rows) == [None, "dropped:below_threshold"]
