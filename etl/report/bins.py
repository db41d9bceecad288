"""Turn counts into distributions with readable bins."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from operator import itemgetter
from typing import TypeVar

from conf.pages.charts import Distribution
from etl.report.counts import Counts
from etl.spark.times import MICROS_PER_DAY, day_of

READ, KEPT = "as read", "kept"
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
HOURS = tuple(f"{hour:02d}" for hour in range(24))
NOT_IN_USE = "(not in use)"
_MOST_DAYS = 120
_DAY_STEPS = (1, 7, 28, 91, 364, 3640, 36400)
Old = TypeVar("Old")
New = TypeVar("New")
_MOST_SINGLE_VALUES = 12
_MOST_FINE_BINS = 24


def per_id_bins(counts: Counts, column: int, ids: str) -> Distribution:
    """Return the distribution of events per user or item from counts of `events_per_id`.

    Args:
        counts: The counts.
        column: Number of the column of the ids.
        ids: users or items.
    """
    own = {key: rows for key, rows in counts.items() if key[0] == column}
    read, kept = regrouped(own, itemgetter(1)), regrouped(own, itemgetter(2))
    bins = range(max((n for n in read if n is not None), default=-1) + 1)
    return Distribution(
        title=f"Events per {ids.removesuffix('s')}",
        unit=ids,
        labels=[_span(2**n, 2 ** (n + 1) - 1) for n in bins],
        series={READ: [read[n] for n in bins], KEPT: [kept[n] for n in bins]},
    )


def length_bins(lengths: Mapping[int, int]) -> Distribution:
    """Return the distribution of history lengths, with bins that double in size."""
    users = regrouped(lengths, int.bit_length)
    bins = range(min(users, default=0), max(users, default=-1) + 1)
    labels = ["0" if n == 0 else _span(2 ** (n - 1), 2**n - 1) for n in bins]
    counts = {"users": [users[n] for n in bins]}
    return Distribution("Events per user history", "users", labels, counts)


def type_bins(counts: Counts, event_types: Sequence[str]) -> Distribution:
    """Return the distribution of events by type from counts of `events_by_value`."""
    read, kept = read_and_kept(counts, lambda key: key[1])
    unused = [NOT_IN_USE] if read[None] else []
    bins = [*range(len(event_types)), *([None] if unused else [])]
    return Distribution(
        title="Event types",
        unit="events",
        labels=[*event_types, *unused],
        series={READ: [read[n] for n in bins], KEPT: [kept[n] for n in bins]},
        is_across=True,
    )


def day_bins(events_by_hour: Mapping[int, int]) -> Distribution:
    """Return the distribution of events by day, or by several days if the log is long.

    Args:
        events_by_hour: Number of events by hour since 1970 UTC; not empty.
    """
    by_day = regrouped(events_by_hour, lambda hour: hour // 24)
    first, last = min(by_day), max(by_day)
    step = next((n for n in _DAY_STEPS if (last - first) // n < _MOST_DAYS), _DAY_STEPS[-1])
    events = regrouped(by_day, lambda day: (day - first) // step)
    bins = range((last - first) // step + 1)
    start = day_of(first * MICROS_PER_DAY)
    return Distribution(
        title="Events per day" if step == 1 else f"Events per {step} days",
        unit="events",
        labels=[(start + timedelta(days=n * step)).isoformat() for n in bins],
        series={"events": [events[n] for n in bins]},
        note="" if step == 1 else f"Each bar shows {step} days, from the day in its label.",
    )


def weekday_bins(events_by_hour: Mapping[int, int]) -> Distribution:
    """Return the distribution of events by day of the week (UTC)."""
    events = regrouped(events_by_hour, lambda hour: (hour // 24 + 3) % 7)  # day 0 was a Thursday
    series = {"events": [events[n] for n in range(7)]}
    return Distribution("Events by weekday", "events", WEEKDAYS, series, "In UTC.")


def hour_bins(events_by_hour: Mapping[int, int]) -> Distribution:
    """Return the distribution of events by hour of the day (UTC)."""
    events = regrouped(events_by_hour, lambda hour: hour % 24)
    series = {"events": [events[n] for n in range(24)]}
    return Distribution("Events by hour of the day", "events", HOURS, series, "In UTC.")


def regrouped(counts: Mapping[Old, int], key: Callable[[Old], New]) -> Counter[New]:
    """Sum counts by a new key."""
    total: Counter[New] = Counter()
    for old, rows in counts.items():
        total[key(old)] += rows
    return total


def read_and_kept(
    counts: Counts, key: Callable[[tuple[int | None, ...]], New]
) -> tuple[Counter[New], Counter[New]]:
    """Sum counts of `events_by_value` by a new key, for all events and for kept ones."""
    kept = {old: rows for old, rows in counts.items() if old[0]}
    return regrouped(counts, key), regrouped(kept, key)


def _span(low: int, high: int) -> str:
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def value_bins(counts: Counts) -> Distribution | None:
    """Return the distribution of values from counts of `events_by_value`, None without values."""
    read, kept = read_and_kept(counts, _value)
    values = sorted(value for value in read if value is not None)
    if not values:
        return None
    if len(values) <= _MOST_SINGLE_VALUES:
        labels, bin_of = [_plain(v) for v in values], {v: n for n, v in enumerate(values)}
    else:
        labels, bin_of = _scale(values)
    series = {READ: [0] * len(labels), KEPT: [0] * len(labels)}
    for name, part in ((READ, read), (KEPT, kept)):
        for value in values:
            series[name][bin_of[value]] += part[value]
    note = "Values are rounded to two digits. A bin includes its first number, not its last."
    return Distribution("Values", "events", labels, series, note)


def _scale(values: Sequence[Decimal]) -> tuple[list[str], dict[Decimal, int]]:
    """Return the names of the bins and the bin of each value; negative values share one."""
    edges = _edges([value for value in values if value > 0])
    labels = [
        name
        for name, is_there in (("below 0", values[0] < 0), ("0", Decimal(0) in values))
        if is_there
    ]
    first = len(labels)
    labels += [f"{_plain(low)} to {_plain(high)}" for low, high in pairwise(edges)]
    bin_of = {
        value: first + bisect_right(edges, value) - 1
        if value > 0
        else labels.index("0")
        if value == 0
        else 0
        for value in values
    }
    return labels, bin_of


def _edges(values: Sequence[Decimal]) -> list[Decimal]:
    """Return the numbers 1, 2, 5, 10, ... (or the powers of ten) around positive values."""
    if not values:
        return []
    low, high = min(values).adjusted(), max(values).adjusted()
    for digits in ((1, 2, 5), (1,)):
        scale = [Decimal(d).scaleb(e) for e in range(low, high + 2) for d in digits]
        start = bisect_right(scale, min(values)) - 1
        edges = scale[start : bisect_right(scale, max(values)) + 1]
        if len(edges) <= _MOST_FINE_BINS:
            break
    return edges


def _value(key: tuple[int | None, ...]) -> Decimal | None:
    mantissa, exponent = key[2:]
    if mantissa is None or exponent is None:
        return None
    return Decimal(mantissa).scaleb(exponent).normalize()


def _plain(value: Decimal) -> str:
    return f"{value:,f}"
