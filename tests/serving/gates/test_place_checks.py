"""Which rises of scores rules explain, and parts without a list."""

import numpy as np
import pyarrow as pa

from conf.settings.lists.rules import ListRules
from serving.gates.place_checks import Caps, broken_places, lists_of, unexplained_rises

CAPS = Caps(ListRules(), pa.table({"a": [1]}))
USER, ITEM = np.array([0, 0, 0]), np.array([2, 3, 4])
PLAIN = np.ones(3, dtype=bool)
NOTHING = np.zeros(0, dtype=np.int64)


def test_a_part_without_lists_has_no_rows_to_check() -> None:
    assert list(lists_of(NOTHING)) == []
    assert list(lists_of(np.array([4, 4, 7]))) == [slice(0, 2), slice(2, 3)]
    assert unexplained_rises(NOTHING, NOTHING, NOTHING, NOTHING.astype(bool), CAPS) == 0
    assert broken_places(NOTHING, NOTHING, CAPS).tolist() == []


def test_other_items_may_follow_those_of_a_share_that_has_no_more() -> None:
    is_in = np.array([False, False, True, True, False])
    rises, falls_into = np.array([0.9, 0.2, 0.8]), np.array([0.2, 0.9, 0.8])
    assert unexplained_rises(USER, ITEM, rises, PLAIN, CAPS) == 1
    assert unexplained_rises(USER, ITEM, rises, PLAIN, CAPS, [is_in]) == 0
    assert unexplained_rises(USER, ITEM, falls_into, PLAIN, CAPS, [is_in]) == 1
