"""Whether the error of a refused input shows a text of the log."""

from pyspark.sql import SparkSession

from conf.privacy.protection import UNPROTECTED, Protection
from conf.settings.privacy import Privacy
from etl.cleaning.accounting.ledger import VerdictCount
from etl.cleaning.accounting.unreadable import examples_of
from tests.etl.making import frame_of

BAD = "quarantined:value_unparsable"


def test_one_text_is_shown_if_nothing_is_protected(spark: SparkSession) -> None:
    judged = frame_of(
        spark, "verdict string, value_text string",
        (None, "1"), (BAD, "7 €"), (BAD, "62,97 €"), (BAD, " "), ("quarantined:other", "0"),
    )  # fmt: skip
    counts = [VerdictCount("a.csv", BAD, 3), VerdictCount("a.csv", "quarantined:other", 20)]
    assert examples_of(judged, counts, UNPROTECTED) == ["value_unparsable: for example '62,97 €'"]
    rare = [*counts, VerdictCount("a.csv", "quarantined:other", 20)]
    assert examples_of(judged, rare, UNPROTECTED) == []
    rules = {"columns": {"events": {"value": {"method": "generalise", "step": 5}}}}
    assert examples_of(judged, counts, Protection(Privacy.model_validate(rules))) == []
