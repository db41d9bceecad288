"""Texts as numbers, given in the order in which they first come."""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa


class Codes:
    """A numbering that grows."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self.numbers: dict[str, int] = {}
        for text in texts:
            self.number(text)

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def texts(self) -> list[str]:
        """The texts, by number."""
        return list(self.numbers)

    def number(self, text: str) -> int:
        """Return the number of a text; a new one gets the next number."""
        return self.numbers.setdefault(text, len(self.numbers))

    def of(self, column: pa.Array | pa.ChunkedArray, *, grows: bool = True) -> np.ndarray:
        """Return the number of each text, -1 for null and for unknown texts: [R] int64.

        Args:
            column: [R] strings.
            grows: Whether unknown texts get a number instead.
        """
        if isinstance(column, pa.ChunkedArray):
            column = column.combine_chunks()
        coded = column.cast(pa.string()).dictionary_encode()
        own = [
            self.number(text) if grows else self.numbers.get(text, -1)
            for text in coded.dictionary.to_pylist()
        ]
        found = np.array([*own, -1], dtype=np.int64)
        indices = coded.indices.fill_null(len(own)).to_numpy(zero_copy_only=False)
        numbers: np.ndarray = found[indices]
        return numbers
