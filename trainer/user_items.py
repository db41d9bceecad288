"""Who has had what: the training part as a sparse matrix of users and items.

Legend of shapes: U users with a training row, V catalogue.
"""

from collections.abc import Iterable

import numpy as np
from scipy import sparse

from conf.contract import HISTORY_ITEMS, NUM_RESERVED, USER_IDX
from trainer.columns import Columns, lists_of, numbers_of

COLUMNS = (USER_IDX, HISTORY_ITEMS)


def user_items(blocks: Iterable[Columns], catalogue: int) -> sparse.csr_array:
    """Return 1 for each item that a user has had, however often: [U, V] float32.

    Args:
        blocks: Row groups of `train/` with `COLUMNS`; several windows of a user are one row.
        catalogue: V
    """
    pairs = np.unique(np.concatenate([np.zeros(0, np.int64), *_pairs(blocks, catalogue)]))
    users, items = np.divmod(pairs, catalogue)
    numbers, rows = np.unique(users, return_inverse=True)
    ones = np.ones(len(pairs), dtype=np.float32)
    return sparse.csr_array((ones, (rows, items)), shape=(len(numbers), catalogue))


def _pairs(blocks: Iterable[Columns], catalogue: int) -> Iterable[np.ndarray]:
    """Yield the distinct pairs of each row group as user times V plus item."""
    for columns in blocks:
        users, histories = numbers_of(columns, USER_IDX), lists_of(columns, HISTORY_ITEMS)
        owner = np.repeat(users.astype(np.int64), histories.lengths)
        known = histories.values >= NUM_RESERVED
        yield np.unique(owner[known] * catalogue + histories.values[known])
