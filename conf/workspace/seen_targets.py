"""Targets whose item is in the history before them: a ranking without seen items misses them."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from conf.contract import HISTORY_ITEMS, NUM_RESERVED, TARGET_ITEM


def num_seen(targets: pa.Table | pa.RecordBatch | None) -> int:
    """Return the number of targets whose item their user had before; unknown items do not count.

    Args:
        targets: Rows of `valid/` or `test/`; None: no rows.
    """
    if targets is None or not {HISTORY_ITEMS, TARGET_ITEM} <= set(targets.schema.names):
        return 0
    batches = targets.to_batches() if isinstance(targets, pa.Table) else [targets]
    return sum(_seen(batch[HISTORY_ITEMS], batch[TARGET_ITEM].to_numpy()) for batch in batches)


def _seen(histories: pa.ListArray, targets: np.ndarray) -> int:
    lengths = pc.list_value_length(histories).to_numpy(zero_copy_only=False)
    rows = np.repeat(np.arange(len(targets)), lengths)
    is_target = histories.flatten().to_numpy() == targets[rows]
    found = np.zeros(len(targets), bool)
    found[rows[is_target]] = True
    return int((found & (targets >= NUM_RESERVED)).sum())
