"""Numbers in texts, with the marks that people write them with."""

import re

from pyspark.sql import Column
from pyspark.sql import functions as F

from etl.spark.notation import PLAIN, Notation

# No-break, thin and narrow no-break space, which stand between digits in many languages.
_SPACES = " \u00a0\u2009\u202f"


def parse_number(column: str, notation: Notation = PLAIN) -> Column:
    """Return a text column as double, null if it is not a finite decimal number."""
    return try_cast(plain_number(column, notation), "decimal(38,12)").cast("double")


def parse_integer(column: str, notation: Notation = PLAIN) -> Column:
    """Return a text column as int64, null if it is not a whole number."""
    plain = plain_number(column, notation)
    number = try_cast(plain, "decimal(38,9)")
    whole = F.expr(f"try_cast(try_cast({plain} AS decimal(38,0)) AS bigint)")
    return F.when(number == F.floor(number), whole)


def plain_number(column: str, notation: Notation = PLAIN) -> str:
    """Return the SQL of a number with a decimal point and no other mark.

    It is null if the text is no number with these marks: groups have two or three digits, the last
    one three (1.234.567 or 12.34.567).
    """
    if (notation.decimal, notation.thousands) == (".", None):
        return f"trim({column})"
    mark = notation.thousands or ""
    marks = _SPACES if mark == " " else mark
    groups = "".join(map(re.escape, marks))
    grouped = rf"|\d{{1,3}}(?:[{groups}]\d{{2,3}})*[{groups}]\d{{3}}" if mark else ""
    point = re.escape(notation.decimal)
    pattern = rf"^[+-]?(?:(?:\d+{grouped})(?:{point}\d*)?|{point}\d+)(?:[eE][+-]?\d+)?$"
    plain = f"translate(trim({column}), {_literal(notation.decimal + marks)}, '.')"
    return f"CASE WHEN trim({column}) RLIKE {_literal(pattern)} THEN {plain} END"


def try_cast(expression: str, type_name: str) -> Column:
    """Return an SQL expression as another type, null if it does not fit."""
    # In SQL, because Column.try_cast exists only from Spark 4 on.
    return F.expr(f"try_cast({expression} AS {type_name})")


def _literal(text: str) -> str:
    """Return a text as a literal of SQL."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
