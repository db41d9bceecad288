"""Lists of three users as rows of user and score: a and c keep theirs, b has new ones."""

import numpy as np
import pyarrow as pa
import pytest

from serving.carrying.earlier import Kept
from serving.carrying.merged import NotKeptError, merged, rows_to_score

USERS = pa.array(["a", "b", "c"])


def rows_of(*rows: tuple[str, int], of: pa.DataType | None = None) -> pa.Table:
    users, scores = zip(*rows, strict=True)
    return pa.table({"user_id": [*users], "score": pa.array(scores, of or pa.int32())})


def kept(*rows: tuple[str, int], of: pa.DataType | None = None) -> Kept:
    owner = np.array(["abc".index(user) for user, _ in rows])
    return Kept(np.array([True, False, True]), rows_of(*rows, of=of), owner)


def test_lists_are_put_together_in_the_order_of_the_users() -> None:
    both = merged(
        kept(("c", 5), ("c", 6), ("a", 1)), rows_of(("b", 3), ("c", 5), ("c", 6)),
        USERS, np.array([1, 2]),
    )  # fmt: skip
    assert both.equals(rows_of(("a", 1), ("b", 3), ("c", 5), ("c", 6)))


@pytest.mark.parametrize(
    ("earlier", "why"),
    [
        (kept(("a", 1), ("c", 4)), "the list of user 'c' differs"),
        (kept(("a", 1), ("c", 5), ("c", 6)), "the list of user 'c' differs"),
        (kept(("a", 1), ("c", 5), of=pa.int64()), r"score \(int64\).*score \(int32\)"),
        (Kept(np.array([True] * 3), rows_of(("a", 1)), np.array([0])), "user 'b' differs"),
    ],
)
def test_lists_that_differ_are_not_kept(earlier: Kept, why: str) -> None:
    with pytest.raises(NotKeptError, match=why):
        merged(earlier, rows_of(("b", 3), ("c", 5)), USERS, np.array([1, 2]))


def test_each_version_compares_other_users_and_some_in_every_part() -> None:
    is_kept = np.arange(40) % 4 > 0
    nothing = Kept(is_kept, rows_of(("a", 1)), np.zeros(1, dtype=np.int64))
    compared = set[int]()
    for turn in range(64):
        scored = rows_to_score(nothing, np.arange(100, 140), f"{turn:08x}" + "0" * 56)
        assert scored.tolist() == sorted(scored) and {*np.flatnonzero(~is_kept)} <= {*scored}
        sample = {*scored.tolist()} & {*np.flatnonzero(is_kept).tolist()}
        assert len(sample) == 1
        compared |= sample
    assert compared == {*np.flatnonzero(is_kept).tolist()}
