from typing import Any

import pytest
from pydantic import ValidationError

from conf.settings.input import EventSource, Input, Source, TableSource

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


SEQUENCES = {"paths": ["a"], "format": "sequences", "time_unit": "order"}
NOT_IN_SEQUENCES: dict[str, tuple[dict[str, Any], str]] = {
    "a time": ({"time_unit": "seconds"}, "time_unit='seconds', but the lines .* have no times"),
    "a type": ({"columns": {"event_type": "kind"}}, r"columns\.event_type is set, but a line"),
    "a value": ({"columns": {"value": "price"}}, r"columns\.value is set, but a line"),
    "a field": ({"fields": {"place": {}}}, r"fields\.place is set, but a line"),
}


@pytest.mark.parametrize("case", NOT_IN_SEQUENCES)
def test_a_line_of_sequences_has_ids_alone(case: str) -> None:
    assert EventSource(**SEQUENCES).is_ordered_by_lines
    keys, message = NOT_IN_SEQUENCES[case]
    with pytest.raises(ValidationError, match=message):
        EventSource(**{**SEQUENCES, **keys})
    with pytest.raises(ValidationError, match=r"is for input\.events only"):
        TableSource(paths=["a"], format="sequences", id_column="id")


def test_order_numbers_and_the_order_of_lines_are_not_mixed() -> None:
    numbered = {"paths": ["a"], "time_unit": "order", "columns": {"time": "position"}}
    by_lines = {"paths": ["b"], "time_unit": "order", "columns": {"time": None}}
    message = r"events\.b takes the order of its lines .* events\.a\.columns\.time names a column"
    with pytest.raises(ValidationError, match=message):
        Input(root="data", events={"a": numbered, "b": by_lines})
    assert not Input(root="data", events={"a": numbered, "b": numbered}).is_ordered_by_lines
    assert Input(root="data", events={"a": by_lines, "b": SEQUENCES}).is_ordered_by_lines


def test_a_column_has_one_name_or_several() -> None:
    source = EventSource(
        paths=["a"], time_unit="iso", columns={"user_id": ["user", "customer"], "item_id": "sku"}
    )
    assert source.columns.user_id == ("user", "customer")
    assert source.columns.item_id == "sku"
