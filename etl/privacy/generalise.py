"""Make a text less precise: mask it, or replace it by a band; hide texts that do not fit."""

from pyspark.sql import Column
from pyspark.sql import functions as F

from conf.settings.privacy import ColumnRule
from etl.spark.decimals import parse_number
from etl.spark.times import parse_time

HIDDEN = "***"
_UNITS = ("minute", "hour", "day", "month", "year")
_FORMATS = {"minute": "yyyy-MM-dd'T'HH:mm'Z'", "hour": "yyyy-MM-dd'T'HH'Z'", "day": "yyyy-MM-dd",
            "month": "yyyy-MM", "year": "yyyy"}  # fmt: skip
_FAR = 1e15
_EMAIL = r"^\s*(\S)[^@]*@([^@\s]+)\s*$"


def reduced(name: str, rule: ColumnRule) -> Column:
    """Return a text column after a rule is applied, unchanged if the rule needs a key."""
    if rule.method == "mask":
        return _masked(name, rule)
    if rule.method == "generalise":
        return generalised(name, rule)
    return F.col(quoted(name))


def generalised(name: str, rule: ColumnRule, coarser: int = 0) -> Column:
    """Return the band of each text, null if it has none.

    Args:
        name: Column of texts.
        rule: Rule with one of step, keep and to.
        coarser: Steps beyond the rule: each doubles the width of a band, removes one more
            character, or uses the next larger unit; null if none is left.
    """
    name = quoted(name)
    if rule.step is not None:
        return _band(parse_number(name), rule.step << coarser)
    if rule.keep is not None:
        return F.substring(name, 1, rule.keep - coarser) if coarser < rule.keep else _nothing()
    assert rule.to is not None  # the rule's own check
    units = _UNITS[_UNITS.index(rule.to) :]
    if coarser >= len(units):
        return _nothing()
    return F.date_format(F.timestamp_micros(parse_time(name, "iso")), _FORMATS[units[coarser]])


def quoted(name: str) -> str:
    """Return a column's name quoted for Spark's expressions, whatever characters it contains."""
    return "`" + name.replace("`", "``") + "`"


def floored(value: str, step: int) -> Column:
    """Return a double as the lower end of its band."""
    return F.floor(F.col(value) / step).cast("double") * step


def cut_time(micros: str, unit: str) -> Column:
    """Return a time in microseconds since 1970, truncated to its minute, hour or other unit."""
    return F.unix_micros(F.date_trunc(unit, F.timestamp_micros(micros)))


def _masked(name: str, rule: ColumnRule) -> Column:
    name = quoted(name)
    if rule.email:
        first, domain = (F.regexp_extract(name, _EMAIL, group) for group in (1, 2))
        fits, shown = first != "", F.concat(first, F.lit(HIDDEN + "@"), domain)
    else:
        first = F.substring(name, 1, rule.first)
        last = F.substring(name, -rule.last, rule.last) if rule.last else F.lit("")
        fits = F.length(name) > rule.first + rule.last
        shown = F.concat(first, F.lit(HIDDEN), last)
    return F.when(F.col(name).isNotNull(), F.when(fits, shown).otherwise(HIDDEN))


def _band(number: Column, step: int) -> Column:
    near = F.when(F.abs(number) < _FAR, number)  # larger whole numbers would overflow
    low = F.floor(near / step) * step
    return F.concat(low.cast("string"), F.lit("-"), (low + (step - 1)).cast("string"))


def _nothing() -> Column:
    return F.lit(None).cast("string")
