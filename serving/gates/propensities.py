"""Check the propensities of written lists.

Legend of shapes: M rows of a part.
"""

import numpy as np
import pyarrow as pa

from conf.contract import PROPENSITY
from serving.gates.row_counts import marked_rows
from serving.publishing.parts import EXPLORED

_ROUNDING = 1e-6


def count_bad_propensities(lists: pa.Table, share: float) -> int:
    """Return how many rows have a propensity that cannot be.

    It is above 0 and at most 1: of an item drawn at random at most the share of places, of others
    1, or 1 minus that share.

    Args:
        lists: M rows of `EXPLORED_SCHEMA`.
        share: `score.exploration.share`
    """
    values = lists[PROPENSITY].to_numpy().astype(np.float64)
    is_drawn = marked_rows(lists, EXPLORED)
    fits = np.isclose(values, 1.0, atol=_ROUNDING) | np.isclose(values, 1 - share, atol=_ROUNDING)
    fits = np.where(is_drawn, values <= share + _ROUNDING, fits)
    good = np.isfinite(values) & (values > 0) & (values <= 1) & fits
    return int((~good).sum())
