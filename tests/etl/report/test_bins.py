"""Bins worked out by hand."""

from conf.pages.charts import bars
from conf.pages.svg import ticks
from etl.report.bins import day_bins, hour_bins, length_bins, per_id_bins, value_bins, weekday_bins
from etl.report.counts import Counts

MONDAY = 24 * 4  # hours since 1970 to 1970-01-05


def test_lengths_of_histories_double_from_bin_to_bin() -> None:
    bins = length_bins({0: 5, 1: 2, 2: 1, 3: 1, 8: 4})
    assert bins.labels == ["0", "1", "2 to 3", "4 to 7", "8 to 15"]
    assert bins.series == {"users": [5, 2, 2, 0, 4]}


def test_days_without_events_have_a_bar_too() -> None:
    bins = day_bins({MONDAY: 2, MONDAY + 23: 3, MONDAY + 48: 1})
    assert bins.title == "Events per day"
    assert bins.labels == ["1970-01-05", "1970-01-06", "1970-01-07"]
    assert bins.series == {"events": [5, 0, 1]}


def test_a_long_log_has_a_bar_for_several_days() -> None:
    bins = day_bins({MONDAY: 1, MONDAY + 24 * 7 - 1: 2, MONDAY + 24 * 200: 4})
    assert bins.title == "Events per 7 days"
    assert bins.labels[:2] == ["1970-01-05", "1970-01-12"]
    assert len(bins.labels) == 200 // 7 + 1
    assert bins.series["events"][0] == 3
    assert bins.series["events"][-1] == 4


def test_weekdays_and_hours_are_told_from_the_hour() -> None:
    hours = {MONDAY + 1: 2, MONDAY + 24 * 6 + 23: 3, MONDAY + 24 * 7 + 1: 4, -1: 5}
    assert weekday_bins(hours).series["events"] == [6, 0, 5, 0, 0, 0, 3]  # -1: a Wednesday
    assert hour_bins(hours).series["events"] == [0, 6, *[0] * 21, 8]


def test_many_values_share_bins_on_a_1_2_5_scale() -> None:
    counts: Counts = {(1, 0, n * 10, -1): 1 for n in range(3, 16)}  # 3 to 15, once each
    counts |= {(0, 0, -30, 0): 2, (0, 0, 0, 0): 1, (1, 0, 20, 0): 7}
    bins = value_bins(counts)
    assert bins is not None
    assert bins.labels == ["below 0", "0", "2 to 5", "5 to 10", "10 to 20", "20 to 50"]
    assert bins.series == {"as read": [2, 1, 2, 5, 6, 7], "kept": [0, 0, 2, 5, 6, 7]}


def test_values_of_many_sizes_share_bins_of_powers_of_ten() -> None:
    bins = value_bins({(1, 0, 30, exponent): 1 for exponent in range(-10, 10)})
    assert bins is not None
    assert len(bins.labels) == 20
    assert bins.labels[0] == "0.000000001 to 0.00000001"
    assert bins.series["kept"] == [1] * 20


def test_a_log_without_values_has_no_such_bins() -> None:
    assert value_bins({(1, 0, None, None): 3}) is None


def test_what_is_empty_can_be_drawn() -> None:
    for bins in (per_id_bins({}, 1, "items"), length_bins({})):
        assert bins.labels == []
        drawn = bars(bins)
        assert "<svg" in drawn and ">0</text>" in drawn and ">1</text>" in drawn


def test_axes_end_at_round_numbers() -> None:
    assert ticks(0, 7) == [0, 2, 4, 6, 8]
    assert ticks(0, 40_000) == [0, 10_000, 20_000, 30_000, 40_000]
    assert ticks(0, 0.31) == [0, 0.1, 0.2, 0.3, 0.4]
