"""All rules that follow from the fields of items and users, each as one expression."""

from collections.abc import Callable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from conf.errors import ConfigError
from conf.settings.score import Score
from serving.rules.placing import of_users
from serving.rules.reading.given import NOW, Given
from serving.rules.sql import Expression

Check = Callable[[str, str], Expression]
"""Takes the dotted name of a setting and a condition."""


def with_now(items: pa.Table, given: Given) -> pa.Table:
    """Return the fields of items, those of the fresher table in place of older ones.

    Raises:
        ConfigError: When a field has another type in the dataset.
    """
    if given.now is None:
        return items
    for field in given.now.schema:
        fresh = given.now.column(field.name).combine_chunks()
        if field.name not in items.schema.names:
            items = items.append_column(field.name, fresh)
            continue
        place = items.schema.get_field_index(field.name)
        if items.schema.field(place).type != field.type:
            raise ConfigError(
                f"{NOW}.fields.{field.name} is of the type {field.type}, but in the dataset it is "
                f"{items.schema.field(place).type}; give both the same type"
            )
        old = items.column(place).combine_chunks()
        chosen = pc.if_else(pa.array(given.has_row), fresh, old)
        items = items.set_column(place, field.name, chosen)
    return items


def marks_of(score: Score, given: Given) -> dict[str, np.ndarray]:
    """Return columns of items that no condition of a user can name, by the rule's name."""
    marks = dict(given.lists)
    if score.items_now is not None and score.items_now.missing == "leave_out":
        assert given.has_row is not None  # the table was read
        marks[NOW] = given.has_row
    return marks


def compiled(score: Score, marks: Mapping[str, str], check: Check) -> list[Expression]:
    """Return a condition for each rule, in the order of the settings.

    Args:
        score: The section with the rules.
        marks: Of `marks_of`: the SQL of each column.
        check: See `serving.rules.sql.checked`.

    Raises:
        ConfigError: When a condition is wrong.
    """
    rules = score.rules
    assert rules is not None  # else there is nothing to compile
    found = [check(f"score.rules.where.{name}", text) for name, text in rules.where.items()]
    if NOW in marks:
        found.append(_of_mark(NOW, marks[NOW]))
    for kind, lists in (("allow", rules.allow), ("deny", rules.deny)):
        for name, one in lists.items():
            key = f"score.rules.{kind}.{name}"
            sql = marks[key] if kind == "allow" else f"NOT {marks[key]}"
            found.append(_of_mark(key, sql) if one.where is None else _where(
                key, sql, check(f"{key}.where", one.where)))  # fmt: skip
    return found


def _of_mark(key: str, sql: str) -> Expression:
    return Expression(key, f"({sql})", "BOOLEAN", frozenset(), frozenset())


def _where(key: str, sql: str, users: Expression) -> Expression:
    """Return a rule that counts for some users only."""
    counts = f"coalesce({of_users(users).sql}, false)"
    return users._replace(key=key, sql=f"(NOT {counts} OR {sql})")
