"""Expressions over fields of items and users, in DuckDB's SQL.

An expression is parsed before it is used: only its own columns, constants, operators and functions
without side effects are let through, and each field is replaced by a column of our own. The
connection reads no file, loads no extension, and its settings cannot be changed.
"""

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from datetime import date
from functools import cache
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa

from conf.errors import ConfigError

ITEM, USER, RUN_DATE = "item", "user", "run_date"
_CLASSES = frozenset({
    "CASE", "CAST", "BETWEEN", "COLUMN_REF", "COMPARISON", "CONJUNCTION", "CONSTANT", "FUNCTION",
    "LAMBDA", "OPERATOR", "TYPE",
})  # fmt: skip
"""Kinds of nodes that an expression may consist of."""
_BARRED = {
    "SUBQUERY": "a subquery",
    "WINDOW": "a window function",
    "STAR": "a star",
    "PARAMETER": "a parameter",
}
_OF_THE_CLOCK = frozenset({"age"})
"""Functions that read the clock in one of their forms."""
_MACROS = frozenset({"nullif"})
_NUMBER = re.compile(r"(U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|DECIMAL.*|BOOLEAN)$")
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")


class Expression(NamedTuple):
    """A checked expression over the tables `item` and `user` of `connect`."""

    key: str
    """Dotted name of the setting, for messages."""
    sql: str
    type: str
    """DuckDB's name of its type."""
    item_fields: frozenset[str]
    user_fields: frozenset[str]


class Fields(NamedTuple):
    """Fields that expressions may use."""

    item: Mapping[str, pa.DataType]
    user: Mapping[str, pa.DataType]
    run_date: date | None
    """The logical date; None: the log has no dates."""


_MOST_MEMORY = "4GB"  # an expression can ask for any amount
_LONGEST_TOLD = 300


def connect(threads: int) -> duckdb.DuckDBPyConnection:
    """Return a connection in memory that reaches nothing outside it."""
    connection = duckdb.connect(
        ":memory:",
        config={
            "enable_external_access": "false",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "allow_community_extensions": "false",
            "threads": str(threads),
            "memory_limit": _MOST_MEMORY,
        },
    )
    connection.execute("SET lock_configuration=true")
    return connection


def create_table(
    connection: duckdb.DuckDBPyConnection, name: str, rows: pa.Table, prefix: str
) -> None:
    """Create a table with the columns `row`, from 0, and `<prefix><n>` of each column of `rows`."""
    columns = {f"{prefix}{n}": rows.column(n) for n in range(rows.num_columns)}
    numbered = pa.table({"row": pa.array(range(rows.num_rows), pa.int64()), **columns})
    connection.register("given", numbered)
    connection.execute(f'CREATE OR REPLACE TABLE "{name}" AS SELECT * FROM given')
    connection.unregister("given")


def checked(
    connection: duckdb.DuckDBPyConnection, key: str, text: str, fields: Fields, *, wanted: str
) -> Expression:
    """Return an expression whose fields are columns of the tables `item` and `user`.

    Args:
        connection: With both tables, in the order of `fields`.
        key: Dotted name of the setting.
        text: What the configuration says.
        fields: Fields that it may use.
        wanted: What it must be: `condition` or `number`.

    Raises:
        ConfigError: When it is not a single expression of that type over these fields, or when it
            compares a text with a number.
    """
    checking = _Checking(connection, key, text, fields)
    found = checking.expression()
    is_number = _NUMBER.match(found.type) is not None and found.type != "BOOLEAN"
    if found.type != "BOOLEAN" if wanted == "condition" else not is_number:
        must = "true or false" if wanted == "condition" else "a number"
        raise checking.error(f"is of the type {found.type}, but it has to be {must}")
    return found


class _Checking:
    """One expression while it is checked."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, key: str, text: str, fields: Fields
    ) -> None:
        self.connection, self.key, self.text, self.fields = connection, key, text, fields
        self.used: dict[str, set[str]] = {ITEM: set(), USER: set()}

    def error(self, what: str) -> ConfigError:
        return ConfigError(f"{self.key}={self.text!r} {what}")

    def expression(self) -> Expression:
        """Return the expression with its fields replaced."""
        root = self._parsed()
        self._refuse_others(root)
        compared = [*_comparisons(root)]
        root = self._replaced(root, frozenset())
        sql = self._text([root])
        (found,) = self._types(sql)
        for sides in compared:
            self._refuse_mixed(self._replaced(sides, frozenset()))
        fields = (frozenset(self.used[table]) for table in (ITEM, USER))
        return Expression(self.key, sql, found, *fields)

    def _parsed(self) -> Any:
        """Return the tree of the expression."""
        told = _json(self.connection, "json_serialize_sql", f"SELECT {quoted_user(self.text)}")
        if told["error"]:
            what = told["error_message"].splitlines()[0]
            raise self.error(f"is no SQL expression: {what}")
        if len(told["statements"]) != 1:
            raise self.error("has several statements; write one expression without ';'")
        node = told["statements"][0]["node"]
        others = ("where_clause", "group_expressions", "having", "sample", "qualify", "modifiers")
        is_plain = (
            node["type"] == "SELECT_NODE"
            and node["from_table"]["type"] == "EMPTY"
            and not any(node[name] for name in others)
            and not node["cte_map"]["map"]
        )
        if not is_plain or len(node["select_list"]) != 1 or node["select_list"][0]["alias"]:
            raise self.error(
                "is more than one expression; write only what follows WHERE in a query, such as "
                "\"stock > 0 and region = 'north'\""
            )
        return node["select_list"][0]

    def _refuse_others(self, root: Any) -> None:
        for node in _nodes(root):
            kind = node["class"]
            if kind not in _CLASSES:
                raise self.error(f"has {_BARRED.get(kind, kind.lower())}, which is not allowed")
            if kind == "FUNCTION" and node["function_name"].lower() not in _functions():
                raise self.error(
                    f"calls {node['function_name']}, which is unknown, or whose result depends on "
                    "more than its arguments; for the day of the run use run_date"
                )
            if kind == "TYPE" and ("TZ" in str(node).upper() or "TIME ZONE" in str(node).upper()):
                raise self.error("uses a time zone; times are in UTC, use TIMESTAMP")

    def _replaced(self, node: Any, bound: frozenset[str]) -> Any:
        """Return the tree with columns of ours; `bound` are names that a lambda defines."""
        if isinstance(node, list):
            return [self._replaced(inner, bound) for inner in node]
        if not isinstance(node, dict):
            return node
        if node.get("class") == "COLUMN_REF":
            return self._column(node, bound)
        if node.get("class") == "LAMBDA":
            named = [inner["column_names"][0] for inner in _nodes(node["lhs"])
                     if inner["class"] == "COLUMN_REF"]  # fmt: skip
            inside = self._replaced(node["expr"], bound | set(named))
            return {**node, "expr": inside}
        return {key: self._replaced(inner, bound) for key, inner in node.items()}

    def _column(self, node: Any, bound: frozenset[str]) -> Any:
        names = node["column_names"]
        if len(names) == 1 and names[0] in bound:
            return node
        if names == [RUN_DATE]:
            if self.fields.run_date is None:
                raise self.error("uses run_date, but the events of this dataset have no dates")
            return _date(self.connection, self.fields.run_date)
        table, name = (ITEM, names[0]) if len(names) == 1 else (names[0].lower(), names[-1])
        known = {ITEM: self.fields.item, USER: self.fields.user}.get(table, {})
        if len(names) > 2 or name not in known:
            raise self.error(self._unknown(".".join(names)))
        self.used[table].add(name)
        return {**node, "column_names": [table, f"{table[0]}{[*known].index(name)}"]}

    def _unknown(self, name: str) -> str:
        items = [*self.fields.item, *(f"item.{field}" for field in self.fields.item)]
        users = [f"user.{field}" for field in self.fields.user]
        near = difflib.get_close_matches(name, [*items, *users, RUN_DATE], n=1)
        known = ", ".join([*self.fields.item, *users, RUN_DATE])
        hint = f"; did you mean {near[0]}?" if near else ""
        return f"uses {name}, which is no field of this dataset; there are {known}{hint}"

    def _refuse_mixed(self, sides: list[Any]) -> None:
        """Refuse a comparison of a text with a number, which DuckDB would convert silently."""
        types = self._types(self._text(sides))
        numbers = [name for name in types if _NUMBER.match(name)]
        if "VARCHAR" in types and numbers:
            raise self.error(
                f"compares a text with a {numbers[0]}; write the number without quotes, or convert "
                "one side with CAST(... AS ...)"
            )

    def _text(self, nodes: list[Any]) -> str:
        """Return expressions as SQL, separated by commas."""
        tree = _json(self.connection, "json_serialize_sql", "SELECT 1")
        tree["statements"][0]["node"]["select_list"] = nodes
        sql: str = self.connection.execute(
            "SELECT json_deserialize_sql(?)", [json.dumps(tree)]
        ).fetchall()[0][0]
        return sql.removeprefix("SELECT ")

    def _types(self, sql: str) -> list[str]:
        try:
            told = self.connection.execute(
                f'DESCRIBE SELECT {sql} FROM item CROSS JOIN "user"'
            ).fetchall()
        except duckdb.Error as error:
            what = readable(error, self.fields)
            raise self.error(f"is no valid expression: {what}") from None
        return [row[1] for row in told]


def readable(error: duckdb.Error, fields: Fields) -> str:
    """Return the first line of an error of DuckDB, with the names of fields and without values."""
    what = (str(error).splitlines()[0].partition(": ")[2] or str(error))[:_LONGEST_TOLD]
    for prefix, names in (("i", fields.item), ("u", fields.user)):
        for number, name in reversed([*enumerate(names)]):
            what = re.sub(rf"\b{prefix}{number}\b", name, what)
    return _QUOTED.sub("...", what) if isinstance(error, duckdb.ConversionException) else what


def quoted_user(text: str) -> str:
    """Return a text with quotes around each name `user` before a dot: SQL has it reserved."""
    tokens = [start for start, _ in duckdb.tokenize(text)]
    for start in reversed(tokens):
        if re.match(r"user\s*\.", text[start:], flags=re.IGNORECASE):
            text = f'{text[:start]}"user"{text[start + 4 :]}'
    return text


def _nodes(tree: Any) -> Iterator[Any]:
    """Yield all nodes of a tree that are expressions."""
    if isinstance(tree, list):
        for inner in tree:
            yield from _nodes(inner)
    elif isinstance(tree, dict):
        if "class" in tree:
            yield tree
        for inner in tree.values():
            yield from _nodes(inner)


def _comparisons(tree: Any) -> Iterator[list[Any]]:
    """Yield the sides of each comparison."""
    for node in _nodes(tree):
        if node["class"] == "COMPARISON":
            yield [node["left"], node["right"]]
        if node["class"] == "BETWEEN":
            yield [node["input"], node["lower"], node["upper"]]
        if node["class"] == "OPERATOR" and node["type"] in ("COMPARE_IN", "COMPARE_NOT_IN"):
            yield node["children"]


def _json(connection: duckdb.DuckDBPyConnection, function: str, text: str) -> Any:
    found = connection.execute(f"SELECT {function}(?)", [text]).fetchall()
    return json.loads(found[0][0])


def _date(connection: duckdb.DuckDBPyConnection, day: date) -> Any:
    told = _json(connection, "json_serialize_sql", f"SELECT CAST('{day.isoformat()}' AS DATE)")
    return told["statements"][0]["node"]["select_list"][0]


@cache
def _functions() -> frozenset[str]:
    """Return the names of functions whose result follows from their arguments."""
    with duckdb.connect(":memory:") as connection:
        rows = connection.execute(
            "SELECT DISTINCT function_name FROM duckdb_functions() "
            "WHERE function_type = 'scalar' AND stability = 'CONSISTENT'"
        ).fetchall()
    barred = {name for (name,) in rows if "sql" in name or "log_message" in name}
    return frozenset(name for (name,) in rows) - barred - _OF_THE_CLOCK - {"version"} | _MACROS
