"""Evaluate expressions: over all items at once, and over items and users by groups of users.

Users with equal fields are one group, because all conditions are equal for them.

Legend of shapes: I items that are left, G groups of users, E expressions.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import duckdb
import numpy as np
import pyarrow as pa

from conf.errors import ConfigError
from serving.rules.reading.tables import fields_of
from serving.rules.sql import USER, Expression, checked, connect, create_table, readable

_PAIRS_AT_ONCE = 1 << 20
"""Pairs of item and group of users that are evaluated together."""


class Truth(NamedTuple):
    """Where a condition holds, and where it is null; it is false elsewhere."""

    holds: np.ndarray
    """[..., I] bool"""
    is_null: np.ndarray
    """[..., I] bool"""


def marked(items: pa.Table, marks: Mapping[str, np.ndarray]) -> pa.Table:
    """Return the fields of items with the marks after them."""
    for name, values in marks.items():
        items = items.append_column(name, pa.array(values))
    return items


def mark_columns(items: pa.Table, marks: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Return the SQL of the column of each mark."""
    return {name: f"item.i{items.num_columns + place}" for place, name in enumerate(marks)}


class Conditions:
    """The fields of items and users, and expressions over them."""

    def __init__(
        self,
        items: pa.Table,
        users: pa.Table,
        *,
        logical_date: str,
        threads: int,
        marks: Mapping[str, np.ndarray] = MappingProxyType({}),
    ) -> None:
        """Load the items.

        Args:
            items: Fields of the items, without the reserved numbers.
            users: A table without rows that has the fields of users.
            logical_date: See `fields_of`.
            threads: Threads of DuckDB.
            marks: [I] bool each, further columns of items that no field has the name of.
        """
        self.fields = fields_of(items, users, logical_date)
        self.items, self.no_users = marked(items, marks), users
        self.marks = mark_columns(items, marks)
        self.connection = connect(threads)
        create_table(self.connection, "item", self.items, "i")
        create_table(self.connection, USER, users, "u")

    def checked(self, key: str, text: str, wanted: str = "condition") -> Expression:
        """See `serving.rules.sql.checked`."""
        return checked(self.connection, key, text, self.fields, wanted=wanted)

    def of_listed(
        self,
        conditions: Sequence[Expression],
        users: pa.Table,
        user: np.ndarray,
        item: np.ndarray,
    ) -> np.ndarray:
        """Return where conditions hold for single pairs: [E, S] bool.

        Args:
            conditions: E conditions.
            users: Fields of users.
            user: [S] row of the user.
            item: [S] place of the item among all items.
        """
        create_table(self.connection, USER, users, "u")
        create_table(self.connection, "pair", pa.table({"u": user, "i": item}), "p")
        held = ", ".join(
            f"coalesce({one.sql}, false) AS h{place}" for place, one in enumerate(conditions)
        )
        query = (
            f'SELECT {held} FROM pair JOIN "user" ON "user".row = pair.p0 '
            "JOIN all_items AS item ON item.row = pair.p1 ORDER BY pair.row"
        )
        rows = self._fetched(query, conditions)
        return np.stack([rows[f"h{place}"] for place in range(len(conditions))])

    def keep(self, places: np.ndarray) -> None:
        """Leave only the items at these places, in their order: [I] int64."""
        self.connection.execute("CREATE OR REPLACE TABLE all_items AS FROM item")
        create_table(self.connection, "item", self.items.take(pa.array(places)), "i")

    def of_items(self, condition: Expression) -> Truth:
        """Return where a condition without fields of users holds: [I]."""
        values, is_null = self._column(condition, "bool", "item")
        return Truth(values.astype(bool), is_null)

    def numbers_of_items(self, expression: Expression) -> tuple[np.ndarray, np.ndarray]:
        """Return the number that an expression is for each item, and where it is null.

        Returns:
            [I] float64, 0 where it is null; [I] bool.
        """
        return self._column(expression, "double", "item")

    def of_users(self, condition: Expression, groups: pa.Table) -> Truth:
        """Return where a condition without fields of items holds: [G] in place of [I]."""
        create_table(self.connection, USER, groups, "u")
        values, is_null = self._column(condition, "bool", '"user"')
        return Truth(values.astype(bool), is_null)

    def of_pairs(self, conditions: Sequence[Expression], groups: pa.Table, items: int) -> Truth:
        """Return where conditions hold for groups of users: [E, G, I].

        Args:
            conditions: E conditions.
            groups: The fields of each group, as in `users`.
            items: I
        """
        shape = (len(conditions), groups.num_rows, items)
        found = Truth(np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool))
        step = max(_PAIRS_AT_ONCE // max(items, 1), 1)
        for start in range(0, groups.num_rows, step):
            some = groups.slice(start, step)
            create_table(self.connection, USER, some, "u")
            self._fill(conditions, found, slice(start, start + some.num_rows))
        return found

    def _fill(self, conditions: Sequence[Expression], found: Truth, groups: slice) -> None:
        names = [
            f"coalesce({one.sql}, false) AS h{place}, ({one.sql}) IS NULL AS n{place}"
            for place, one in enumerate(conditions)
        ]
        query = f'SELECT "user".row AS g, item.row AS i, {", ".join(names)} FROM "user", item'
        rows = self._fetched(query, conditions)
        place = (slice(None), groups)
        for number in range(len(conditions)):
            for part, name in zip(found, "hn", strict=True):
                part[place][number][rows["g"], rows["i"]] = rows[f"{name}{number}"]

    def _column(
        self, expression: Expression, as_type: str, table: str
    ) -> tuple[np.ndarray, np.ndarray]:
        zero = "false" if as_type == "bool" else "0"
        query = (
            f"SELECT row, coalesce(({expression.sql})::{as_type}, {zero}) AS v, "
            f"({expression.sql}) IS NULL AS n FROM {table} ORDER BY row"
        )
        rows = self._fetched(query, [expression])
        return rows["v"], rows["n"]

    def _fetched(self, query: str, used: Sequence[Expression]) -> dict[str, np.ndarray]:
        try:
            return {
                name: np.asarray(column)
                for name, column in self.connection.execute(query).fetchnumpy().items()
            }
        except duckdb.Error as error:
            told = ", ".join(one.key for one in used)
            raise ConfigError(
                f"{told}: cannot be evaluated: {readable(error, self.fields)}; TRY_CAST makes a "
                "value that cannot be converted null"
            ) from None
