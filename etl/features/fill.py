"""Fill missing values of declared fields: fit fill values on training rows, then apply them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from conf.errors import InputError
from conf.settings.input import Fill, InputField
from etl.cleaning.row_rules import is_blank

_MAX_GROUPS = 1_000
_SQL_TYPES = {
    "text": "string", "integer": "bigint", "number": "double", "boolean": "boolean",
    "time": "bigint",
}  # fmt: skip


def was_missing(field: str) -> str:
    """Return the name of the column that marks the filled values of a field."""
    return f"{field}_was_missing"


def fit_fills(rows: DataFrame, fields: Mapping[str, InputField]) -> dict[str, dict[str, Any]]:
    """Compute the fill value of each field with `fill`.

    Args:
        rows: Rows of the table that belong to the training part, with typed fields.
        fields: The table's declared fields.

    Returns:
        By field: `value`, null if no row has a value, and `groups`, the fill values by the text
        of the grouping field. It can be written as JSON.

    Raises:
        InputError: When a grouping field has too many values.
    """
    fills = {name: field.fill for name, field in fields.items() if field.fill is not None}
    return {name: _fit(rows, name, fields[name], fill) for name, fill in fills.items()}


def apply_fills(
    rows: DataFrame, fields: Mapping[str, InputField], fitted: Mapping[str, Mapping[str, Any]]
) -> DataFrame:
    """Replace missing values by the fitted ones, and add a boolean column that marks them.

    Args:
        rows: Rows of the table, with typed fields.
        fields: The table's declared fields.
        fitted: Result of `fit_fills`, for this or an earlier dataset.
    """
    columns: dict[str, Column] = {}
    for name, values in fitted.items():
        missing, fill = _is_missing(name, fields[name]), fields[name].fill
        group = None if fill is None else fill.group_by
        value = _stand_in(values, _SQL_TYPES[fields[name].type], group)
        columns[name] = F.when(missing, value).otherwise(F.col(f"`{name}`"))
        columns[was_missing(name)] = missing
    return rows.withColumns(columns)


def _fit(rows: DataFrame, name: str, field: InputField, fill: Fill) -> dict[str, Any]:
    if fill.kind == "constant":
        return {"value": fill.value, "groups": {}}
    present = rows.where(~_is_missing(name, field)).withColumn("__value", F.col(f"`{name}`"))
    overall = _statistic(present, field, fill.kind, []).head()
    groups: dict[str, Any] = {}
    if fill.group_by is not None:
        group = _group_text(fill.group_by).alias("__group")
        grouped = present.where(group.isNotNull()).withColumn("__group", group)
        found = _statistic(grouped, field, fill.kind, ["__group"]).limit(_MAX_GROUPS + 1).collect()
        if len(found) > _MAX_GROUPS:
            raise InputError(
                f"fields.{name}.fill.group_by={fill.group_by!r} has more than "
                f"{_MAX_GROUPS} values; group by another field"
            )
        groups = dict(sorted((row[0], row[1]) for row in found))
    return {"value": None if overall is None else overall["value"], "groups": groups}


def _statistic(present: DataFrame, field: InputField, kind: str, group: Sequence[str]) -> DataFrame:
    """Return the median or the mode of `__value`, one row per group."""
    if kind == "median":
        median = F.expr("percentile_disc(0.5) WITHIN GROUP (ORDER BY __value)")
        value = median.cast(_SQL_TYPES[field.type])
        return present.groupBy(*group).agg(value.alias("value"))
    counts = present.groupBy(*group, "__value").agg((-F.count(F.lit(1))).alias("less"))
    most = F.min(F.struct("less", "__value"))
    return counts.groupBy(*group).agg(most["__value"].alias("value"))


def _stand_in(values: Mapping[str, Any], sql_type: str, group: str | None) -> Column:
    overall = F.lit(values["value"]).cast(sql_type)
    if group is None or not values["groups"]:
        return overall
    by_group = F.from_json(F.lit(json.dumps(values["groups"])), f"map<string,{sql_type}>")
    return F.coalesce(F.try_element_at(by_group, _group_text(group)), overall)


def _is_missing(name: str, field: InputField) -> Column:
    return is_blank(f"`{name}`") if field.type == "text" else F.col(f"`{name}`").isNull()


def _group_text(name: str) -> Column:
    return F.col(f"`{name}`").cast("string")
