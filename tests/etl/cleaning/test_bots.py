from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from conf.settings.etl import Clean
from etl.cleaning.log_rules import Cap, caps_of, drop_bots
from etl.spark.times import MICROS_PER_DAY, MICROS_PER_MINUTE
from tests.etl.making import by_line, events_of


def test_all_events_of_a_bot_are_dropped_and_nobody_elses(spark: SparkSession) -> None:
    bot = [{"user_id": "bot", "time": time} for time in (1, 2, 3, MICROS_PER_DAY)]
    person = [{"time": day * MICROS_PER_DAY} for day in (0, 1, 2)]
    person += [{"time": 5, "verdict": "dropped:duplicate"}, {"time": 5}]
    events = events_of(spark, *bot, *person)
    assert by_line(drop_bots(events, Cap("bot", 2, MICROS_PER_DAY), F.lit(True))) == [
        *["dropped:bot"] * 4, None, None, None, "dropped:duplicate", None,
    ]  # fmt: skip
    # The duplicate is out already, so four are left of the person as well.
    assert by_line(drop_bots(events, Cap("bot_in_total", 4, None), F.lit(True)))[:4] == [None] * 4
    assert by_line(drop_bots(events, Cap("bot_in_total", 3, None), F.lit(True))) == [
        *["dropped:bot_in_total"] * 7, "dropped:duplicate", "dropped:bot_in_total",
    ]  # fmt: skip


def test_each_cap_has_a_reason_of_its_own(spark: SparkSession) -> None:
    clean = Clean(max_events_per_user_minute=2, max_events_per_user_hour=3,
                  max_events_per_user_day=4, max_events_per_user=5)  # fmt: skip
    gaps = {"minute": 1, "hour": 10 * MICROS_PER_MINUTE, "day": 100 * MICROS_PER_MINUTE,
            "total": MICROS_PER_DAY}  # fmt: skip
    rows = [
        {"user_id": name, "time": number * gap} for name, gap in gaps.items() for number in range(6)
    ]
    events = events_of(spark, *rows, {"user_id": "person"})
    for cap in caps_of(clean):
        events = drop_bots(events, cap, F.lit(True))
    reasons = ("bot_per_minute", "bot_per_hour", "bot", "bot_in_total")
    expected = [f"dropped:{reason}" for reason in reasons for _ in range(6)]
    assert by_line(events) == [*expected, None]
    assert caps_of(Clean()) == []
