"""Numbers in texts, with the marks that people write them with."""

import re

from pyspark.sql import Column
from pyspark.sql import functions as F

from etl.spark.notation import PLAIN, Notation
from etl.spark.texts import NO_BREAK_SPACES, literal, trimmed

_SPACES = " " + NO_BREAK_SPACES  # between digits in many languages


def parse_number(column: str, notation: Notation = PLAIN) -> Column:
    """Return a text column as double, null if it is not a finite decimal number."""
    return try_cast(plain_number(column, notation), "decimal(38,12)").cast("double")


def parse_integer(column: str, notation: Notation = PLAIN) -> Column:
    """Return a text column as int64, null if it is not a whole number."""
    plain = plain_number(column, notation)
    number = try_cast(plain, "decimal(38,18)")
    whole = F.expr(f"try_cast(try_cast({plain} AS decimal(38,0)) AS bigint)")
    return F.when(number == F.floor(number), whole)


def plain_number(column: str, notation: Notation = PLAIN) -> str:
    """Return the SQL of a number with a decimal point and no other mark.

    It is null if the text is no number with these marks: groups have two or three digits, the last
    one three (1.234.567 or 12.34.567). It is null too if the mark of thousands can only be meant as
    a decimal mark: after zeros alone (0.123), and as the only mark before an exponent (1.234e3).
    """
    text = trimmed(column)
    if (notation.decimal, notation.thousands) == (".", None):
        return text
    mark = notation.thousands or ""
    marks = _SPACES if mark == " " else mark
    groups = "".join(map(re.escape, marks))
    grouped = rf"|\d{{1,3}}(?:[{groups}]\d{{2,3}})*[{groups}]\d{{3}}" if mark else ""
    point = re.escape(notation.decimal)
    is_decimal = rf"(?!0+[{groups}]|\d+[{groups}]\d+[eE])" if mark and mark in ".," else ""
    number = rf"(?:\d+{grouped})(?:{point}\d*)?|{point}\d+"
    pattern = rf"^[+-]?{is_decimal}(?:{number})(?:[eE][+-]?\d+)?$"
    plain = f"translate({text}, {literal(notation.decimal + marks)}, '.')"
    return f"CASE WHEN {text} RLIKE {literal(pattern)} THEN {plain} END"


def try_cast(expression: str, type_name: str) -> Column:
    """Return an SQL expression as another type, null if it does not fit."""
    # In SQL, because Column.try_cast exists only from Spark 4 on.
    return F.expr(f"try_cast({expression} AS {type_name})")
