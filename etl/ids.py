"""The normal form of ids."""

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

# Spark's SQL has no function for it, but the library that it brings for its collations has a
# static one. Called there it takes no Python on the executors.
_COMPOSE = "reflect('com.ibm.icu.text.Normalizer', 'compose', {name}, false)"


def normalise_ids(rows: DataFrame, names: Sequence[str]) -> DataFrame:
    """Give the ids in `names` the normal form NFC: accents composed where they can be."""
    return rows.withColumns({name: _composed(name) for name in names})


def _composed(name: str) -> Column:
    # Plain ASCII is in its normal form, and most ids are nothing else.
    is_plain = F.col(name).isNull() | ~F.col(name).rlike(r"[^\x00-\x7F]")
    return F.when(is_plain, F.col(name)).otherwise(F.expr(_COMPOSE.format(name=name)))
