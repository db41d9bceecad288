"""Sort lists in the footers of Parquet files, so the bytes of a file depend on its rows only.

Parquet's Java writer lists the encodings of each column chunk in the order of a set, which differs
between JVMs. The order has no meaning. Sorting keeps the number of bytes, so nothing else in the
file moves.
"""

import os
from itertools import pairwise
from pathlib import Path

# Fields of the footer that lead to the encodings: row groups, columns, metadata, encodings.
# Source: parquet.thrift of the Apache Parquet format.
_ENCODINGS = (4, 1, 3, 2)
_NOTHING = (0,)  # no field has this number
_TAIL_BYTES = 8  # the footer's length, and PAR1

# Types of Thrift's compact protocol.
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64 = range(1, 7)
_DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT, _UUID = range(7, 14)
_FIXED_BYTES = {_TRUE: 0, _FALSE: 0, _BYTE: 1, _DOUBLE: 8, _UUID: 16}


def sort_encodings(path: Path) -> None:
    """Sort the encodings in the footer of a Parquet file, in place."""
    with path.open("r+b") as stream:
        stream.seek(-_TAIL_BYTES, os.SEEK_END)
        length = int.from_bytes(stream.read(4), "little")
        start = stream.seek(-_TAIL_BYTES - length, os.SEEK_END)
        found = stream.read(length)
        footer = bytearray(found)
        walk = _Walk(footer)
        walk.struct(_ENCODINGS)
        if walk.place != length:
            raise RuntimeError(f"{path} has a footer of an unknown form")
        if footer != found:
            stream.seek(start)
            stream.write(footer)


class _Walk:
    """A walk through a footer. Source: the specification of Thrift's compact protocol.

    The parameter `fields` is the path of field numbers from the current value to the lists to sort.
    """

    def __init__(self, footer: bytearray) -> None:
        self._footer = footer
        self.place = 0

    def struct(self, fields: tuple[int, ...]) -> None:
        number = 0
        while header := self._byte():
            step = header >> 4
            number = number + step if step else self._zigzag()
            is_wanted = fields[:1] == (number,)
            self._value(header & 15, fields[1:] if is_wanted else _NOTHING)

    def _value(self, kind: int, fields: tuple[int, ...]) -> None:
        if kind in _FIXED_BYTES:
            self.place += _FIXED_BYTES[kind]
        elif kind in (_I16, _I32, _I64):
            self._varint()
        elif kind == _BINARY:
            size = self._varint()
            self.place += size
        elif kind in (_LIST, _SET):
            self._list(fields)
        elif kind == _MAP:
            self._map()
        elif kind == _STRUCT:
            self.struct(fields)
        else:
            raise RuntimeError(f"a Parquet footer contains a value of the unknown type {kind}")

    def _list(self, fields: tuple[int, ...]) -> None:
        header = self._byte()
        size, kind = header >> 4, header & 15
        if size == 15:
            size = self._varint()
        start, marks = self.place, [self.place]
        for _ in range(size):
            self._element(kind, fields)
            marks.append(self.place)
        if not fields:
            members = [self._footer[a:b] for a, b in pairwise(marks)]
            self._footer[start : self.place] = b"".join(sorted(members))

    def _map(self) -> None:
        size = self._varint()
        kinds = self._byte() if size else 0
        for _ in range(size):
            self._element(kinds >> 4, _NOTHING)
            self._element(kinds & 15, _NOTHING)

    def _element(self, kind: int, fields: tuple[int, ...]) -> None:
        if kind in (_TRUE, _FALSE):  # one byte in a list; a field has the value in its header
            self.place += 1
        else:
            self._value(kind, fields)

    def _byte(self) -> int:
        self.place += 1
        return self._footer[self.place - 1]

    def _varint(self) -> int:
        number = shift = 0
        while True:
            byte = self._byte()
            number |= (byte & 127) << shift
            if byte < 128:
                return number
            shift += 7

    def _zigzag(self) -> int:
        number = self._varint()
        return (number >> 1) ^ -(number & 1)
