"""Events of one user at the same instant: their order is not in the log."""

import numpy as np
import pyarrow as pa

from conf.contract import HISTORY_TIMES


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
