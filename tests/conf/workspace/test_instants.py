import pyarrow as pa
import pytest

from conf.workspace.instants import num_tied


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([], 0),
        ([[]], 0),
        ([[5]], 0),
        ([[1, 2, 3]], 0),
        ([[1, 1, 2, 3, 3, 3]], 5),
        ([[1, 2], [2, 3]], 0),  # the same time, but of two users
        ([[1, 2], [], [2, 2], []], 2),
    ],
)
def test_events_are_tied_to_others_of_their_user(times: list[list[int]], expected: int) -> None:
    column = pa.array(times, pa.list_(pa.int64()))
    table = pa.table({"history_time": column})
    assert num_tied(table) == expected
    assert sum(num_tied(table.slice(row, 1)) for row in range(len(times))) == expected


def test_no_histories_have_no_ties() -> None:
    assert num_tied(None) == num_tied(pa.table({"user_idx": [2]})) == 0
