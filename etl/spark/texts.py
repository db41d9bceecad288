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


# The letters of which Turkish, Azeri and Lithuanian make others than the rest do. Source: the
# language-sensitive mappings of Unicode's SpecialCasing.txt.
_LETTERS = "IJ\u012e\u00cc\u00cd\u0128", "ij\u012f\u00ec\u00ed\u0129"
_DOTTED = "\u0130", "i\u0307"


def lower(text: Column) -> Column:
    """Return a text in lower case; Spark's own function goes by the language of the JVM."""
    plain = F.translate(text, *_LETTERS)
    return F.lower(F.replace(plain, *map(F.lit, _DOTTED)))


def as_vector(field: str, dimension: int) -> Column:
    """Return a text column as array<float>, null where it is no vector of that dimension."""
    numbers = F.from_json(F.col(field), "array<double>")
    finite = F.forall(numbers, lambda number: F.coalesce(F.abs(number) < 1e38, F.lit(False)))
    return F.when((F.size(numbers) == dimension) & finite, numbers.cast("array<float>"))
