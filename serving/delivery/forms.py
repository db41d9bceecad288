"""Rows of lists in the forms that targets take: JSON lines, CSV, a JSON document for each list.

Every form of a kind has the same columns in every version; those that a version lacks are null.
"""

import io
from collections.abc import Iterator, Sequence

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from conf.contract import (
    AUDIENCE,
    AUDIENCES,
    CHANNELS,
    ITEM_ID,
    LIST_ID,
    POSITION,
    PROPENSITY,
    REASONS,
    RULES,
    SCORE,
    SIMILAR_ID,
    SIMILAR_ITEMS,
    SOURCE,
    TEXTS,
    USER_ID,
    WHY_FALLBACK,
    WHY_SHORT,
)

NESTED = (REASONS, TEXTS, CHANNELS, RULES)
"""Columns that are JSON where a target has no nested types."""
_TEXT, _REAL, _INT = pa.string(), pa.float32(), pa.int32()
_USERS = {
    USER_ID: _TEXT, POSITION: _INT, ITEM_ID: _TEXT, SCORE: _REAL, SOURCE: _TEXT, REASONS: _TEXT,
    WHY_FALLBACK: _TEXT, WHY_SHORT: _TEXT, TEXTS: _TEXT, CHANNELS: _TEXT, RULES: _TEXT,
    PROPENSITY: _REAL, LIST_ID: _TEXT,
}  # fmt: skip
_OTHERS = {
    SIMILAR_ITEMS: {ITEM_ID: _TEXT, POSITION: _INT, SIMILAR_ID: _TEXT, SCORE: _REAL},
    AUDIENCES: {AUDIENCE: _TEXT, POSITION: _INT, USER_ID: _TEXT, SCORE: _REAL},
}


def columns_of(kind: str) -> dict[str, pa.DataType]:
    """Return the columns of a kind of lists, with the types that they have without nested ones."""
    return _OTHERS.get(kind, _USERS)


class Forms:
    """Turns tables into other forms, in DuckDB."""

    def __init__(self, kind: str) -> None:
        """Take the kind of lists whose tables are turned."""
        self.columns = columns_of(kind)
        self._connection = duckdb.connect(":memory:", config={"threads": "1"})

    def csv(self, table: pa.Table, *, has_header: bool = False) -> bytes:
        """Return rows as CSV: texts in quotes, nulls empty and without quotes, nested as JSON."""
        names = [
            f"to_json({_quoted(name)}) AS {_quoted(name)}"
            if name in table.column_names and pa.types.is_nested(table.schema.field(name).type)
            else _quoted(name)
            for name in self.columns
        ]
        plain = self._select(self._whole(table), f"SELECT {', '.join(names)} FROM given")
        fields = [pa.field(name, type) for name, type in self.columns.items()]
        stream = io.BytesIO()
        options = pa_csv.WriteOptions(include_header=has_header)
        pa_csv.write_csv(plain.cast(pa.schema(fields)), stream, options)
        return stream.getvalue()

    def json_lines(self, table: pa.Table) -> bytes:
        """Return rows as JSON objects, one a line."""
        if not table.num_rows:
            return b""
        found = self._select(self._whole(table), "SELECT to_json(given) AS line FROM given")
        return ("\n".join(found["line"].to_pylist()) + "\n").encode()

    def documents(self, table: pa.Table, key: str) -> Iterator[tuple[str, str]]:
        """Yield each list's key and its rows, as a JSON list of objects without the key."""
        others = [name for name in self.columns if name != key]
        packed = ", ".join(f"{_quoted(name)} := {_quoted(name)}" for name in others)
        found = self._select(
            self._whole(table),
            f"SELECT {_quoted(key)} AS owner, to_json(list(struct_pack({packed}) "
            f"ORDER BY {_quoted(POSITION)})) AS document FROM given GROUP BY owner",
        )
        yield from zip(found["owner"].to_pylist(), found["document"].to_pylist(), strict=True)

    def num_rows(self, documents: Sequence[str]) -> int:
        """Return how many rows documents have together; what is no JSON has none."""
        if not documents:
            return 0
        given = pa.table({"document": pa.array(documents, pa.string())})
        query = "SELECT sum(json_array_length(document)) AS n FROM given WHERE json_valid(document)"
        return int(self._select(given, query)["n"][0].as_py() or 0)

    def _whole(self, table: pa.Table) -> pa.Table:
        """Return the table with all columns; a score that is not finite is null."""
        given = [
            _finite(table[name]) if name in table.column_names else pa.nulls(table.num_rows, type)
            for name, type in self.columns.items()
        ]
        return pa.table(given, names=[*self.columns])

    def _select(self, given: pa.Table, query: str) -> pa.Table:
        self._connection.register("given", given)
        return self._connection.sql(query).to_arrow_table()


def _finite(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if not pa.types.is_floating(column.type):
        return column
    return pc.if_else(pc.is_finite(column), column, pa.scalar(None, column.type))


def _quoted(name: str) -> str:
    return f'"{name}"'
