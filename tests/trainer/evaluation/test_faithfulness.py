import numpy as np
import pytest

from tests.trainer.small_parts import ragged
from trainer.evaluation.faithfulness import faithfulness
from trainer.models.item_to_item import ItemToItem
from trainer.models.popularity import Popularity

HISTORIES = ragged([[2, 3, 4], [5], [4, 6], [2, 2, 7, 5]])


def additive() -> ItemToItem:
    """Every item brings others near it: 2 -> 8, 3 -> 9, 4 -> 8, 6 -> 9, 7 -> 8, 5 -> 9."""
    brought = {2: 8, 3: 9, 4: 8, 5: 9, 6: 9, 7: 8}
    starts = np.cumsum([0] + [int(item in brought) for item in range(10)])
    items = np.array([brought[item] for item in sorted(brought)], dtype=np.int32)
    weights = np.array([1.0, 0.4, 2.0, 1.0, 0.5, 3.0], dtype=np.float32)
    return ItemToItem(np.zeros(10), starts.astype(np.int64), items, weights, 1.0)


def test_reasons_of_a_sum_are_true() -> None:
    found = faithfulness(additive(), HISTORIES, np.arange(4), drop_seen=True)

    # The user with one event is left out: nothing would be left of the history.
    assert (found.users, found.by_reason) == (3, 1.0)
    assert found.by_other < 1.0


def test_a_model_without_reasons_has_no_user_to_look_at() -> None:
    found = faithfulness(Popularity(np.arange(10.0)), HISTORIES, np.arange(4), drop_seen=True)

    assert found == (0, None, None)


def test_false_reasons_are_found_out() -> None:
    class Wrong(ItemToItem):
        def contributions(self, *arguments: object) -> object:
            return -super().contributions(*arguments)  # type: ignore[arg-type]

    right = additive()
    wrong = Wrong(*(getattr(right, name) for name in right.__dataclass_fields__))
    shifted = faithfulness(wrong, HISTORIES, np.arange(4), drop_seen=True)

    assert shifted.users == 0 or (shifted.by_reason or 0.0) <= 0.5


def test_a_short_history_without_a_reason_is_left_out_beside_a_long_one() -> None:
    """What lowers the score is no reason, and neither is the padding behind it."""

    class Lowering(ItemToItem):
        def contributions(self, *arguments: object) -> object:
            parts = super().contributions(*arguments)  # type: ignore[arg-type]
            parts[0] = -1 - parts[0]
            parts[0, :, 2:] = 0  # the first history has two events, the other one four
            return parts

    right = additive()
    model = Lowering(*(getattr(right, name) for name in right.__dataclass_fields__))

    found = faithfulness(model, HISTORIES, np.array([2, 3]), drop_seen=True)

    assert (found.users, found.by_reason) == (1, 1.0)


@pytest.mark.parametrize("rows", [[], [1]])
def test_without_users_there_is_nothing_to_say(rows: list[int]) -> None:
    assert (
        faithfulness(additive(), HISTORIES, np.array(rows, dtype=np.int64), drop_seen=True).users
        == 0
    )
