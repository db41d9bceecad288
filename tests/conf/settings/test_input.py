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
    "a name that is near": ({"paths": ["a"], "encoding": "windows-1522"}, "did you mean windows_1"),
    "no characters of files": (
        {"paths": ["a"], "encoding": "idna"},
        "is not a known character set",
    ),
    "no text": ({"paths": ["a"], "encoding": "rot13"}, "is not a known character set"),
    "no separator": ({"paths": ["a"], "separator": ""}, "separator='' has to be one or more"),
    "lines as columns": ({"paths": ["a"], "separator": "\n"}, "other than line breaks"),
    "two quotes": ({"paths": ["a"], "quote": "''"}, "quote=\"''\" has to be one character"),
    "a line break as quote": ({"paths": ["a"], "quote": "\n"}, "has to be one character"),
    "two escapes": ({"paths": ["a"], "escape": "ab"}, "escape='ab' has to be one character"),
    "no escape": ({"paths": ["a"], "escape": ""}, "escape='' has to be one character"),
    "two comments": ({"paths": ["a"], "comment": "//"}, "comment='//' has to be one character"),
    "two marks": (
        {"paths": ["a"], "thousands": ".."},
        "thousands='[.][.]' has to be one character",
    ),
    "escape of nothing": ({"paths": ["a"], "quote": "", "escape": "\\"}, "escape needs a quote"),
    "quote as escape": ({"paths": ["a"], "escape": '"'}, "escape='\"' is also in quote"),
    "quote in separator": ({"paths": ["a"], "separator": '"'}, "quote='\"' is also in separator"),
    "comment as separator": ({"paths": ["a"], "comment": ","}, "comment=',' is also in separator"),
    "one mark twice": ({"paths": ["a"], "thousands": "."}, "has to differ from decimal"),
    "a digit as mark": ({"paths": ["a"], "thousands": "0"}, "to be no digit"),
    "less than no lines": ({"paths": ["a"], "skip_lines": -1}, "greater than or equal to 0"),
    "escape of json": (
        {"paths": ["a"], "format": "jsonl", "escape": "\\"},
        "escape=.* is only for the format.s. csv, not 'jsonl'",
    ),
    "characters of parquet": (
        {"paths": ["a"], "format": "parquet", "encoding": "gbk"},
        "encoding='gbk' is only for the format.s. csv, jsonl, sequences",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_sources_that_do_not_fit_together_are_refused(case: str) -> None:
    keys, message = REFUSED[case]
    with pytest.raises(ValidationError, match=message):
        Source(**keys)


@pytest.mark.parametrize(
    "keys",
    [
        {"encoding": "windows-1252"}, {"encoding": "UTF-16"}, {"encoding": "Shift_JIS"},
        {"separator": "::"}, {"separator": "\\"}, {"quote": ""}, {"quote": "'"}, {"escape": "\\"},
        {"comment": "#"}, {"decimal": ",", "thousands": "."}, {"thousands": " "},
    ],
)  # fmt: skip
def test_settings_of_real_exports_are_taken(keys: dict[str, Any]) -> None:
    source = Source(paths=["a"], **keys)
    assert keys.items() <= source.model_dump().items()


def test_a_tab_may_be_written_by_name_and_one_time_format_without_a_list() -> None:
    source = Source(paths=["a"], separator="\\t", time_format="yyyy-MM-dd")
    assert (source.separator, source.time_format) == ("\t", ("yyyy-MM-dd",))


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
