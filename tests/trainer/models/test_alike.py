import numpy as np
import pytest

from trainer.models.alike import even_groups, even_lengths, filled, widened


@pytest.mark.parametrize(
    ("longest", "padded"),
    [(None, [4, 4, 8, 32, 40, 64, 80]), (60, [4, 4, 8, 32, 40, 60, 60]), (3, [3] * 7)],
)
def test_the_padded_length_depends_on_the_history_alone(
    longest: int | None, padded: list[int]
) -> None:
    lengths = np.array([1, 4, 5, 32, 33, 64, 65])
    assert even_lengths(lengths, longest).tolist() == padded
    each = [even_lengths(lengths[[place]], longest).item() for place in range(len(lengths))]
    assert each == padded
    assert even_lengths(np.array([0]), longest).tolist() == padded[:1]


def test_rows_of_one_length_are_computed_together_as_far_as_there_is_room() -> None:
    groups = [(rows.tolist(), length) for rows, length in even_groups(np.array([8, 4, 8]))]
    assert groups == [([1], 4), ([0, 2], 8)]
    rooms = {1: [16, 16, 8], 4 * 16: [16, 16, 8], 4 * 35: [32, 8], 4 * 40: [32, 8], 4 * 48: [40]}
    for cells, sizes in rooms.items():
        some = even_groups(np.full(40, 4), cells_at_once=cells)
        assert [len(rows) for rows, _ in some] == sizes


def test_batches_are_filled_with_the_first_row() -> None:
    assert filled(np.array([7, 8, 9])).tolist() == [7, 8, 9, *[7] * 13]
    assert filled(np.arange(16)).tolist() == [*range(16)]
    assert len(filled(np.arange(17))) == 32


def test_rows_are_widened_with_zeros_of_their_type() -> None:
    rows = np.array([[1, 2]], dtype=np.int32)
    assert widened(rows, 4).tolist() == [[1, 2, 0, 0]] and widened(rows, 4).dtype == np.int32
    assert widened(rows, 1).tolist() == [[1, 2]]
