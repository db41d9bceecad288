"""Lower case that is the same whatever language a machine is set to."""

from pyspark.sql import Column
from pyspark.sql import functions as F

# The letters of which Turkish, Azeri and Lithuanian make others than the rest do. Source: the
# language-sensitive mappings of Unicode's SpecialCasing.txt.
_LETTERS = "IJ\u012e\u00cc\u00cd\u0128", "ij\u012f\u00ec\u00ed\u0129"
_DOTTED = "\u0130", "i\u0307"


def lower(text: Column) -> Column:
    """Return a text in lower case; Spark's own function goes by the language of the JVM."""
    plain = F.translate(text, *_LETTERS)
    return F.lower(F.replace(plain, *map(F.lit, _DOTTED)))
