import pytest
from pyspark.sql import SparkSession

from etl.spark.decimals import parse_integer, parse_number
from etl.spark.notation import PLAIN, Notation
from tests.etl.making import frame_of

COMMA, GERMAN = Notation(decimal=","), Notation(decimal=",", thousands=".")
FRENCH, SWISS = Notation(decimal=",", thousands=" "), Notation(thousands="'")
ENGLISH = Notation(thousands=",")
NUMBERS: list[tuple[Notation, str, float | None]] = [
    (COMMA, "1,5", 1.5), (COMMA, " -0,25 ", -0.25), (COMMA, "7", 7.0), (COMMA, "1,5e2", 150.0),
    (COMMA, ",5", 0.5), (COMMA, "1.5", None), (COMMA, "1,2,3", None), (COMMA, "1.234,5", None),
    (GERMAN, "1.234.567,89", 1_234_567.89), (GERMAN, "1234,5", 1234.5), (GERMAN, "1.5", None),
    (GERMAN, "1.2345", None), (GERMAN, "12.34.567", 1_234_567.0), (GERMAN, "1,234.5", None),
    (FRENCH, "1 234,5", 1234.5), (FRENCH, "1\u00a0234\u202f567,5", 1_234_567.5),
    (FRENCH, "12 34", None), (SWISS, "1'234.50", 1234.5), (SWISS, "1,5", None),
    (ENGLISH, "1,234,567.25", 1_234_567.25), (ENGLISH, "1,5", None), (ENGLISH, "NaN", None),
    (ENGLISH, "", None), (ENGLISH, "-", None), (ENGLISH, "+3", 3.0),
    (COMMA, "\u00a01,5\u202f", 1.5), (COMMA, "\t\ufeff1,5e3\r", 1500.0), (COMMA, "1,5E-3", 0.0015),
    (FRENCH, "\u00a01\u00a0234,5\u00a0", 1234.5), (PLAIN, "\u00a01.5e3\u200b", 1500.0),
    # What the mark of thousands would make 1000 times too large.
    (GERMAN, "1.234e3", None), (GERMAN, "-1.234E-3", None), (GERMAN, "0.123", None),
    (ENGLISH, "1,234e3", None), (ENGLISH, "0,123", None), (ENGLISH, "-00,123", None),
    (GERMAN, "1.234,5e3", 1_234_500.0), (GERMAN, "1.234.567e-3", 1234.567),
    (GERMAN, "001.234", 1234.0), (GERMAN, "10.234", 10_234.0), (GERMAN, "0,123", 0.123),
    (SWISS, "1'234e3", 1_234_000.0),
]  # fmt: skip


@pytest.mark.parametrize("notation", [PLAIN, COMMA, GERMAN, FRENCH, SWISS, ENGLISH])
def test_numbers_are_read_with_their_own_marks(spark: SparkSession, notation: Notation) -> None:
    cases = [(text, number) for given, text, number in NUMBERS if given == notation]
    frame = frame_of(spark, "n int, text string", *((n, text) for n, (text, _) in enumerate(cases)))
    found = [row[0] for row in frame.orderBy("n").select(parse_number("text", notation)).collect()]
    assert dict(zip(cases, found, strict=True)) == {case: case[1] for case in cases}


def test_integers_are_read_with_their_own_marks(spark: SparkSession) -> None:
    texts = ["1.234", "1.234,0", "1,5", "9.007.199.254.740.993", "x", "3,0", "\u00a03,0e1 ",
             "3,0000000001", "9.223.372.036.854.775.807", "9223372036854775808"]  # fmt: skip
    frame = frame_of(spark, "n int, text string", *enumerate(texts))
    found = [row[0] for row in frame.orderBy("n").select(parse_integer("text", GERMAN)).collect()]
    assert found == [
        1234, 1234, None, 9_007_199_254_740_993, None, 3, 30, None, 2**63 - 1, None,
    ]  # fmt: skip
