import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from etl.spark.texts import lower
from tests.etl.making import frame_of

TEXTS = ("TITLE", "\u0130I\u0307\u0131i", "\u00cc\u00cd\u0128 J\u0300\u012e\u0301 I\u0303", "ΣΑΣ ß",
         "", None)  # fmt: skip


@pytest.mark.parametrize("language", ["en", "tr", "lt"])
def test_lower_case_is_that_of_no_language(spark: SparkSession, language: str) -> None:
    locales = spark.sparkContext._jvm.java.util.Locale
    before = locales.getDefault()
    rows = frame_of(spark, "place int, text string", *enumerate(TEXTS))
    locales.setDefault(locales.forLanguageTag(language))
    try:
        found = rows.orderBy("place").select(lower(F.col("text")), F.lower("text")).collect()
    finally:
        locales.setDefault(before)
    expected = [None if text is None else text.lower() for text in TEXTS]
    assert [row[0] for row in found] == expected
    # Spark's own function is what makes ours needed.
    assert ([row[1] for row in found] == expected) == (language == "en")
