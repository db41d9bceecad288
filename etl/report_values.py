"""The distribution of the events' values: one bin each for a few, else on a 1-2-5 scale."""

from bisect import bisect_right
from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise

from conf.page_charts import Distribution
from etl.report_bins import KEPT, READ, read_and_kept
from etl.report_counts import Counts

_MOST_SINGLE_VALUES = 12
_MOST_FINE_BINS = 24


def value_bins(counts: Counts) -> Distribution | None:
    """Return the values from what `events_by_value` counted, None where there are none."""
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
    note = "Values rounded to two digits; a bin begins with its first number."
    return Distribution("Values", "events", labels, series, note)


def _scale(values: Sequence[Decimal]) -> tuple[list[str], dict[Decimal, int]]:
    """Return names of bins and the bin of each value; all below zero share one."""
    edges = _edges([value for value in values if value > 0])
    labels = [name for name, is_there in (("below 0", values[0] < 0), ("0", Decimal(0) in values))
              if is_there]  # fmt: skip
    first = len(labels)
    labels += [f"{_plain(low)} to {_plain(high)}" for low, high in pairwise(edges)]
    bin_of = {
        value: first + bisect_right(edges, value) - 1 if value > 0 else labels.index("0")
        if value == 0 else 0
        for value in values
    }  # fmt: skip
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
