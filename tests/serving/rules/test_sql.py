"""Which expressions are let through, and what the others are told."""

from datetime import date

import pyarrow as pa
import pytest

from conf.errors import ConfigError
from serving.rules.conditions import Conditions
from serving.rules.sql import quoted_user

ITEMS = pa.table({
    "stock": pa.array([1, None, 0], pa.int64()),
    "Region": ["north", "south", None],
    "until": pa.array([0, 86_400_000_000, None], pa.timestamp("us")),
    "price": [1.5, 2.5, 3.5],
    "code": ["7", "x", None],
})  # fmt: skip
USERS = pa.table({"region": pa.array([], pa.string()), "age": pa.array([], pa.int64())})


@pytest.fixture
def conditions() -> Conditions:
    return Conditions(ITEMS, USERS, logical_date="1970-01-02", threads=1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("stock > 0", [True, None, False]),
        ("item.stock = 1 OR price > 3", [True, None, True]),
        ("until >= run_date", [False, True, None]),
        ("until > '1970-01-01 12:00:00'", [False, True, None]),
        ("run_date - until::date < 1", [False, True, None]),
        ("until + interval 1 day = run_date", [True, False, None]),
        ("Region IN ('north', 'user.region')", [True, False, None]),
        ("coalesce(stock, 5) BETWEEN 1 AND 5", [True, True, False]),
        ("nullif(stock, 0) IS NULL -- no stock", [False, True, True]),
        ("TRY_CAST(code AS INTEGER) = 7", [True, None, None]),
        ("CASE WHEN price > 2 THEN stock IS NULL ELSE true END", [True, True, False]),
        ("list_contains(list_transform([stock], lambda x: x + 1), 2)", [True, None, False]),
    ],
)
def test_a_condition_is_true_false_or_null(
    conditions: Conditions, text: str, expected: list[bool | None]
) -> None:
    truth = conditions.of_items(conditions.checked("score.rules.where.a", text))

    told = [None if n else bool(h) for h, n in zip(truth.holds, truth.is_null, strict=True)]
    if "list_contains" in text:  # a list with a null is not null itself
        told, expected = [bool(held) for held in truth.holds], [bool(held) for held in expected]
    assert told == expected


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("stok > 0", "uses stok, which is no field .* stock, Region, .*did you mean stock"),
        ("user.city = 'x'", r"uses user\.city, .*there are .*user\.region, user\.age, run_date"),
        ("region = 'x'", "uses region, .*did you mean Region"),
        ("user = 'x'", "uses user, which is no field"),
        ("other.item.stock > 0", r"uses other\.item\.stock"),
        ("stock", "is of the type BIGINT, but it has to be true or false"),
        ("stock > '5'", "compares a text with a BIGINT"),
        ("'5' = price", "compares a text with a DOUBLE"),
        ("stock IN (1, '2')", "compares a text with a BIGINT"),
        ("price BETWEEN '1' AND 2", "compares a text with a DOUBLE"),
        ("code > 5", "Cannot compare values of type VARCHAR"),
        ("stock > (SELECT 1)", "has a subquery, which is not allowed"),
        ("EXISTS (SELECT 1)", "has a subquery"),
        ("stock > 0; SELECT 1", "has several statements"),
        ("stock > 0, price > 1", "is more than one expression"),
        ("stock > 0 FROM item", "is more than one expression"),
        ("stock > 0 ORDER BY 1", "is more than one expression"),
        ("stock > 0 AS a", "is more than one expression"),
        ("stock >", "is no SQL expression: syntax error"),
        ("1) FROM item WHERE (true", "is no SQL expression"),
        ("random() < 0.5", "calls random, which .* depends on more than its arguments"),
        ("now() > until", "calls now, .*use run_date"),
        ("age(until) > interval 1 day", "calls age"),
        ("current_date > until", "uses current_date, .*run_date"),
        ("current_setting('threads') = 1", "calls current_setting"),
        ("sum(stock) > 1", "calls sum"),
        ("row_number() OVER () > 1", "has a window function"),
        ("until::timestamptz > run_date", "uses a time zone"),
        ("stock > $1", "has a parameter"),
        ("COLUMNS(*) > 0", "has a star"),
    ],
)
def test_another_expression_is_refused_with_the_reason(
    conditions: Conditions, text: str, told: str
) -> None:
    with pytest.raises(ConfigError, match=told) as caught:
        conditions.checked("score.rules.where.a", text)
    assert str(caught.value).startswith("score.rules.where.a=")


def test_a_value_that_cannot_be_converted_is_no_secret_told(conditions: Conditions) -> None:
    condition = conditions.checked("score.rules.where.a", "CAST(code AS INTEGER) > 1")
    with pytest.raises(ConfigError, match=r"score\.rules\.where\.a: .*TRY_CAST") as caught:
        conditions.of_items(condition)
    assert "'x'" not in str(caught.value)


def test_run_date_needs_a_log_with_dates() -> None:
    conditions = Conditions(ITEMS, USERS, logical_date="undated", threads=1)
    with pytest.raises(ConfigError, match=r"uses run_date, but the events .* have no dates"):
        conditions.checked("score.rules.where.a", "until > run_date")


def test_the_connection_reaches_no_file_and_keeps_its_settings(conditions: Conditions) -> None:
    for text in ("SELECT * FROM read_csv('/etc/hosts')", "COPY item TO 'x'", "SET threads = 8"):
        with pytest.raises(Exception, match=r"disabled by config|has been locked"):
            conditions.connection.execute(text)


def test_user_is_quoted_only_where_it_is_a_table() -> None:
    assert quoted_user("user.a = 'user.b' and User . c > superuser.d") == (
        '"user".a = \'user.b\' and "user" . c > superuser.d'
    )


def test_days_are_those_of_the_run(conditions: Conditions) -> None:
    assert conditions.fields.run_date == date(1970, 1, 2)
