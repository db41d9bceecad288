from typing import Any

import pytest
from pydantic import ValidationError

from conf.settings.input import EventSource, Source

TABLE = {"format": "table", "table": "shop.clicks", "table_version": "7"}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no files": ({}, "paths is empty"),
    "a table of a csv": ({"paths": ["a"], "table": "b"}, "is only for the format 'table'"),
    "no version": ({**TABLE, "table_version": None}, "needs table and table_version"),
    "table and files": ({**TABLE, "paths": ["a"]}, "paths has to be empty"),
    "unknown characters": ({"paths": ["a"], "encoding": "utf-9"}, "is not a known character set"),
    "wide characters": ({"paths": ["a"], "encoding": "UTF-16"}, "has line breaks of several bytes"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_sources_that_do_not_fit_together_are_refused(case: str) -> None:
    keys, message = REFUSED[case]
    with pytest.raises(ValidationError, match=message):
        Source(**keys)


def test_the_rows_of_a_table_have_no_order() -> None:
    with pytest.raises(ValidationError, match="the rows of a table have no order"):
        EventSource(**TABLE, time_unit="order", columns={"time": None})


def test_a_column_has_one_name_or_several() -> None:
    source = EventSource(
        paths=["a"], time_unit="iso", columns={"user_id": ["user", "customer"], "item_id": "sku"}
    )
    assert source.columns.user_id == ("user", "customer")
    assert source.columns.item_id == "sku"
