import numpy as np

from serving.outcome.joining import find, last_before


def test_rows_are_found_by_all_columns() -> None:
    rows = np.random.default_rng(1).integers(0, 6, (200, 3))
    asked = np.random.default_rng(2).integers(0, 7, (300, 3))

    found = find(list(rows.T), list(asked.T))

    for query, num, row in zip(asked, found.num, found.row, strict=True):
        fits = np.flatnonzero((rows == query).all(1))
        assert num == len(fits)
        assert row == (fits[0] if len(fits) else -1)


def test_the_last_row_before_each_moment_is_found() -> None:
    rng = np.random.default_rng(3)
    rows, times = rng.integers(0, 5, (150, 2)), rng.permutation(150) * 2
    asked, moments = rng.integers(0, 6, (200, 2)), rng.integers(0, 320, 200)

    found = last_before(list(rows.T), times, list(asked.T), moments)

    for query, moment, row in zip(asked, moments, found, strict=True):
        fits = np.flatnonzero((rows == query).all(1) & (times <= moment))
        assert row == (fits[times[fits].argmax()] if len(fits) else -1)


def test_nothing_is_found_in_nothing() -> None:
    none, one = np.zeros(0, dtype=np.int64), np.array([1])

    assert find([none], [one]).row.tolist() == [-1]
    assert last_before([none], none, [one], one).tolist() == [-1]
    assert len(last_before([one], one, [none], none)) == 0
