"""k-anonymity: at least k users share each combination of quasi-identifiers that is not empty.

Only whole groups are made coarser, so a group that is large enough never shrinks again.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from conf.contract import ITEM_ID, USER_ID
from conf.settings.privacy import ColumnRule
from etl.privacy.generalise import generalised, quoted
from etl.spark.columns import DROPPED, VERDICT

COARSER = "__coarser_steps"  # int32, number of rounds that changed a user's combination
_COARSER_ROUNDS = 3
_RAW = "__raw_"


class Reached(NamedTuple):
    """The anonymity that was reached."""

    k: int | None
    """Smallest number of users with the same non-empty combination; None if all are empty."""
    rows_generalised: int
    rows_suppressed: int


def anonymise(
    rows: DataFrame, names: Sequence[str], rules: Mapping[str, ColumnRule], k: int
) -> DataFrame:
    """Generalise the rare combinations of the kept rows, round by round, and add COARSER.

    Each round changes the combinations that fewer than k kept rows have. The first three rounds
    make the columns with a `generalise` rule one step coarser; each later round empties a column,
    the last one first.

    Args:
        rows: One row per user, with VERDICT and the raw text of each column of `names`.
        names: The quasi-identifiers.
        rules: Rules of the columns; those with the method `generalise` are used.
        k: Minimum number of rows with the same combination.
    """
    raw = {_RAW + name: F.col(quoted(name)) for name in names}
    first = {name: _step(name, rules, 0, F.col(quoted(_RAW + name))) for name in names}
    rows = rows.withColumns(raw).withColumns(first).withColumn(COARSER, F.lit(0))
    rare = (
        F.count(F.when(F.col(VERDICT).isNull(), 1)).over(Window.partitionBy(*map(quoted, names)))
        < k
    )
    told = _told(names)
    for changes in _rounds(names, rules):
        marked = rows.withColumn("rare", rare & told)
        changed = {
            name: F.when(F.col("rare"), new).otherwise(F.col(quoted(name)))
            for name, new in changes.items()
        }
        count = F.col(COARSER) + F.col("rare").cast("int")
        rows = marked.withColumns({**changed, COARSER: count}).drop("rare")
    return rows.drop(*raw)


def measure(rows: DataFrame, names: Sequence[str]) -> Reached:
    """Measure the anonymity of rows returned by `anonymise`, in one Spark job."""
    is_coarser = F.col(COARSER) > 0
    groups = rows.groupBy(*map(quoted, names), _told(names).alias("told")).agg(
        F.count(F.lit(1)).alias("users"), F.count(F.when(is_coarser, 1)).alias("coarser")
    )
    found = groups.agg(
        F.min(F.when(F.col("told"), F.col("users"))),
        F.sum(F.when(F.col("told"), F.col("coarser"))),
        F.sum(F.when(~F.col("told"), F.col("coarser"))),
    ).head()
    assert found is not None  # an aggregate without groups has one row
    return Reached(found[0], found[1] or 0, found[2] or 0)


def drop_items_of_few(events: DataFrame, min_users: int, acts: Column) -> DataFrame:
    """Drop the events of items on which fewer distinct users than `min_users` have kept acts."""
    kept = events.where(F.col(VERDICT).isNull())
    users = kept.groupBy(ITEM_ID).agg(F.countDistinct(F.when(acts, F.col(USER_ID))).alias("users"))
    rare = users.where(F.col("users") < min_users).select(ITEM_ID, F.lit(True).alias("is_rare"))
    verdict = F.when(F.col("is_rare"), DROPPED + "item_of_few_users")
    joined = events.join(rare, ITEM_ID, "left")
    return joined.withColumn(VERDICT, F.coalesce(VERDICT, verdict)).select(events.columns)


def _told(names: Sequence[str]) -> Column:
    """Return whether a combination has at least one value."""
    return F.coalesce(*(F.col(quoted(name)) for name in names)).isNotNull()


def _rounds(names: Sequence[str], rules: Mapping[str, ColumnRule]) -> list[dict[str, Column]]:
    """Return for each round the new values of a rare combination."""
    with_steps = [name for name in names if _is_generalised(name, rules)]
    coarser = [
        {name: _step(name, rules, step, F.col(quoted(_RAW + name))) for name in with_steps}
        for step in range(1, _COARSER_ROUNDS + 1)
    ]
    emptied = [{name: F.lit(None).cast("string")} for name in reversed(names)]
    return [*(coarser if with_steps else []), *emptied]


def _step(name: str, rules: Mapping[str, ColumnRule], coarser: int, raw: Column) -> Column:
    return generalised(_RAW + name, rules[name], coarser) if _is_generalised(name, rules) else raw


def _is_generalised(name: str, rules: Mapping[str, ColumnRule]) -> bool:
    return name in rules and rules[name].method == "generalise"
