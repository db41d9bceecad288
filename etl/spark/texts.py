"""Texts: the normal form of ids, lower case, and vectors."""

import re
from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

# What cannot be seen, as a class of characters of Java's regular expressions: white space, control
# characters, zero-width spaces, byte order marks.
INVISIBLE = r"\s\p{Z}\p{Cc}\p{Cf}"
# Those of them that programs leave around numbers and times, one by one: removing these takes Spark
# a fraction of the time of a regular expression, which counts for each row.
BLANKS = (
    " \t\n\v\f\r\x00\x85\u00a0\u00ad\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008"
    "\u2009\u200a\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u202f\u205f\u2060\u3000\ufeff"
)
# No-break, thin and narrow no-break space.
NO_BREAK_SPACES = "\u00a0\u2009\u202f"
_SIGNS = r"[^\p{L}\p{N}]*"
_MISSING = (
    "null", "nil", "none", "nan", "n/a", "undefined", "not set", "not available", "not provided",
    "unset", "missing",
)  # fmt: skip
# Spark's SQL has no function for it, but ICU, which Spark uses for collations, has a static one.
# Calling that needs no Python on the executors.
_COMPOSE = "reflect('com.ibm.icu.text.Normalizer', 'compose', {name}, false)"
# The letters whose lower case is different in Turkish, Azeri and Lithuanian. Source: the
# language-sensitive mappings of Unicode's SpecialCasing.txt.
_LETTERS = "IJ\u012e\u00cc\u00cd\u0128", "ij\u012f\u00ec\u00ed\u0129"
_TEXTS = "array<string>"
_DOTTED = "\u0130", "i\u0307"


def normalise_ids(rows: DataFrame, names: Sequence[str]) -> DataFrame:
    """Convert the ids in `names` to the normal form NFC, with composed accents if possible."""
    return rows.withColumns({name: _composed(name) for name in names})


def placeholder_pattern(*more: str) -> str:
    """Return a pattern of texts that stand for a missing id, for Java and RE2.

    They are words in any case with any signs around and within them, signs alone, and the mark of
    databases, a backslash before N.

    Args:
        more: Further words, next to those that are always placeholders.
    """
    words = "|".join(re.sub("[ /]", lambda _: _SIGNS, word) for word in (*_MISSING, *more))
    return rf"(?i)^(?:{_SIGNS}(?:{words})?{_SIGNS}|\\N)$"


def _composed(name: str) -> Column:
    # Most ids are plain ASCII, which is already in normal form.
    is_plain = F.col(name).isNull() | ~F.col(name).rlike(r"[^\x00-\x7F]")
    return F.when(is_plain, F.col(name)).otherwise(F.expr(_COMPOSE.format(name=name)))


def has_invisible_ends(text: Column) -> Column:
    """Return whether a text begins or ends with a character that cannot be seen."""
    return text.rlike(rf"^[{INVISIBLE}]|[{INVISIBLE}]\z")


def literal(text: str) -> str:
    """Return a text as a literal of SQL."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def trimmed(column: str) -> str:
    """Return the SQL of a text without the blanks around it, the invisible ones included."""
    return f"trim(BOTH {literal(BLANKS)} FROM {column})"


def trim_ids(rows: DataFrame, names: Sequence[str]) -> DataFrame:
    """Remove characters that cannot be seen from both ends of the ids in `names`."""
    ends = rf"^[{INVISIBLE}]+|[{INVISIBLE}]+\z"
    return rows.withColumns({name: F.regexp_replace(name, ends, "") for name in names})


def lower(text: Column) -> Column:
    """Return a text in lower case; Spark's own function depends on the language of the JVM."""
    plain = F.translate(text, *_LETTERS)
    return F.lower(F.replace(plain, *map(F.lit, _DOTTED)))


def list_elements(field: str) -> Column:
    """Return the elements of a text that is a JSON array or Python's form of a list, else null.

    Elements are texts; nulls and blank texts are left out, arrays inside are flattened. Single
    quotes and Python's None are understood, as in `['a', None]`.
    """
    text = F.col(field)
    is_list = text.rlike(r"(?s)^\s*\[.*\]\s*$")
    plain = F.regexp_replace(
        text, r"(?<=[\[,])(\s*)(?:None|nan|NaN|NaT|<NA>)(?=\s*[,\]])", "$1null"
    )
    items = F.coalesce(F.from_json(text, _TEXTS), F.from_json(plain, _TEXTS))
    inner = F.flatten(F.transform(items, _flat))
    return F.when(is_list, F.filter(inner, lambda item: item.rlike(r"\S")))


def _flat(item: Column) -> Column:
    nested = F.when(item.rlike(r"(?s)^\s*\[.*\]\s*$"), F.from_json(item, _TEXTS))
    return F.coalesce(nested, F.array(item))


def as_vector(field: str, dimension: int) -> Column:
    """Return a text column as array<float>, null if it is not a vector of that dimension."""
    numbers = F.from_json(F.col(field), "array<double>")
    finite = F.forall(numbers, lambda number: F.coalesce(F.abs(number) < 1e38, F.lit(False)))
    return F.when((F.size(numbers) == dimension) & finite, numbers.cast("array<float>"))
