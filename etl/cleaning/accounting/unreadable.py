"""An example of what cannot be read, for the error of a refused input."""

from collections import Counter
from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.privacy.protection import Protection
from etl.cleaning.accounting.id_forms import shown
from etl.cleaning.accounting.ledger import VerdictCount
from etl.cleaning.row_rules import is_blank
from etl.spark.columns import QUARANTINED, TIME_TEXT, VALUE_TEXT, VERDICT

_TEXT_OF_RULE = {"time_unparsable": TIME_TEXT, "value_unparsable": VALUE_TEXT}
_PARTS = 10


def examples_of(
    judged: DataFrame, counts: Sequence[VerdictCount], protection: Protection
) -> list[str]:
    """Return one text as the log has it for each rule of times and values that took many rows.

    Args:
        judged: Rows with verdicts.
        counts: Number of rows by verdict; a rule needs a tenth of the quarantined ones.
        protection: Nothing is shown if it hides texts.
    """
    taken = Counter[str]()
    for count in counts:
        if (count.verdict or "").startswith(QUARANTINED):
            taken[(count.verdict or "").removeprefix(QUARANTINED)] += count.rows
    texts = {
        rule: text
        for rule, text in _TEXT_OF_RULE.items()
        if text in judged.columns and 0 < taken.total() <= _PARTS * taken[rule]
    }
    if protection.hides_texts or not texts:
        return []
    least = [
        F.min(F.when((F.col(VERDICT) == QUARANTINED + rule) & ~is_blank(text), F.col(text)))
        for rule, text in texts.items()
    ]
    row = judged.agg(*least).head()
    assert row is not None  # an aggregate without groups has one row
    return [
        f"{rule}: for example {shown(found)}"
        for rule, found in zip(texts, row, strict=True)
        if found is not None
    ]
