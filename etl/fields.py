"""Declared fields: their types, ranges and lists of right texts."""

from collections.abc import Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from conf.clean_schema import field_rules
from conf.input_schema import InputField
from etl import columns as c
from etl.rules import is_blank, is_outside
from etl.times import parse_number, parse_time


def check_fields(rows: DataFrame, fields: Mapping[str, InputField], prefix: str = "") -> DataFrame:
    """Give the declared fields their types, and judge the rows of those that are wrong.

    A text that is no such thing, and a value that is not right, quarantine the row or make the
    field null, as it is declared; the latter adds BLANKED, the rules that did it.

    Args:
        rows: With VERDICT, the fields as text.
        fields: The declared fields.
        prefix: What stands before their names in `rows`.
    """
    values: dict[str, Column] = {}
    verdicts: list[Column] = [F.col(c.VERDICT)]
    blanked: list[Column] = []
    for name, field in fields.items():
        if field.type == "text" and not field.allowed:
            continue
        column = prefix + name
        value = _parsed(column, field)
        faults = zip(field_rules(name), _faults(column, field, value), strict=True)
        fault = F.coalesce(*(F.when(is_so, rule) for rule, is_so in faults))
        values[column] = F.when(fault.isNull(), value)
        if field.bad == "blank":
            blanked.append(fault)
        else:
            verdicts.append(F.concat(F.lit(c.QUARANTINED), fault))
    values[c.VERDICT] = F.coalesce(*verdicts)
    if blanked:
        rules = F.array_compact(F.array(*blanked))
        values[c.BLANKED] = F.when(F.size(rules) > 0, rules)
    return rows.withColumns(values)


def _parsed(column: str, field: InputField) -> Column:
    """Return the field's value, null where its text is none of the type."""
    quoted = f"`{column}`"
    if field.type == "integer":
        number = F.expr(f"try_cast(trim({quoted}) AS decimal(38,9))")
        whole = F.expr(f"try_cast(try_cast(trim({quoted}) AS decimal(38,0)) AS bigint)")
        return F.when(number == F.floor(number), whole)
    if field.type == "number":
        return parse_number(quoted)
    if field.type == "boolean":
        return F.expr(f"try_cast(trim({quoted}) AS boolean)")
    return parse_time(quoted, "iso") if field.type == "time" else F.col(quoted)


def _faults(column: str, field: InputField, value: Column) -> tuple[Column, Column]:
    """Return whether the text is none of the type, and whether the value is out of its range."""
    quoted = f"`{column}`"
    outside = is_outside(value, field.minimum, field.maximum) if _has_range(field) else F.lit(False)
    if field.allowed:
        outside = outside | (~is_blank(quoted) & ~F.trim(quoted).isin(*field.allowed))
    return ~is_blank(quoted) & value.isNull(), outside


def _has_range(field: InputField) -> bool:
    return field.minimum is not None or field.maximum is not None
