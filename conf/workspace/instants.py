"""Instants as microseconds since 1970 UTC: of days and events, and the newest of a dataset."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa

from conf.contract import HISTORY_TIMES, Manifest

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
HOUR, DAY = timedelta(hours=1) // _MICROSECOND, timedelta(days=1) // _MICROSECOND
"""Microseconds of an hour and of a day."""


def num_tied(histories: pa.Table | pa.RecordBatch | None) -> int:
    """Return the number of events that have the time of another event of their user.

    Args:
        histories: Rows of `histories/`, each with its times in order; None: no rows.
    """
    if histories is None or HISTORY_TIMES not in histories.schema.names:
        return 0
    column = histories[HISTORY_TIMES]
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    return sum(_tied(chunk) for chunk in chunks)


def _tied(times: pa.ListArray) -> int:
    values = times.flatten().to_numpy()
    follows = np.append(False, values[1:] == values[:-1])[: len(values)]  # the event before it
    starts = times.offsets.to_numpy()[:-1] - times.offsets[0].as_py()
    follows[starts[starts < len(values)]] = False
    precedes = np.append(follows[1:], False)[: len(values)]
    return int((follows | precedes).sum())


def newest_instant(manifest: Manifest) -> int | None:
    """Return `as_of` of a dataset in microseconds since 1970 UTC; None: its log has no times."""
    try:
        return microseconds(datetime.fromisoformat(manifest.as_of))
    except ValueError:
        return None  # an order number


def first_held_out(manifest: Manifest) -> int | None:
    """Return where the training part of a temporal split ends, in microseconds since 1970 UTC.

    Later events of users without a target are in no part; None: the split has no such instant.
    """
    cut = manifest.cuts.get("valid_from") or manifest.cuts.get("test_from")
    return None if cut is None else microseconds(datetime.fromisoformat(cut))


def microseconds(moment: datetime) -> int:
    """Return a moment in microseconds since 1970 UTC; without an offset it is in UTC."""
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // _MICROSECOND


def first_instant(day: date) -> int:
    """Return the first instant of a day (UTC) in microseconds since 1970 UTC."""
    return microseconds(datetime(day.year, day.month, day.day, tzinfo=UTC))


def day_of(moment: int) -> str:
    """Return the day (UTC) of an instant in microseconds since 1970 UTC, as YYYY-MM-DD."""
    return (_EPOCH + moment * _MICROSECOND).date().isoformat()
