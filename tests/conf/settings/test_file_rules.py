from typing import Any

import pytest
from pydantic import ValidationError

from conf.settings.rules.time_patterns import (
    has_offset,
    has_optional_offset,
    why_unusable,
    without_weekday,
)
from tests.etl.making import config_for

LOG = "input.events.log."
ISO = {"time_unit": "iso"}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "decimal of nothing": (ISO | {"decimal": ","}, LOG + "decimal=',', but the input has no value"),
    "groups of nothing": (ISO | {"thousands": ".", "decimal": ","}, LOG + "thousands='.', but"),
    "blanks of nothing": ({"bad_value": "blank"}, LOG + "columns.value is null"),
    "format of numbers": ({"time_format": ["yyyy-MM-dd"]}, LOG + "time_format is for texts"),
    "zone of numbers": ({"local_time_zone": "Europe/Berlin"}, LOG + "local_time_zone is for texts"),
    "no such zone": (
        {**ISO, "local_time_zone": "Europe/Berln"},
        LOG + "local_time_zone='Europe/Berln' is not the name of a time zone; did you mean "
        "Europe/Berlin?",
    ),
    "a folder of zones": ({**ISO, "local_time_zone": "Europe"}, "is not the name of a time zone"),
    "no pattern": ({**ISO, "time_format": ["soon"]}, LOG + "time_format='soon' cannot be used: "),
    "of several, one": (
        {**ISO, "time_format": ["yyyy-MM-dd", "dd.MM.YYYY"]}, "time_format='dd.MM.YYYY' cannot"
    ),
    "an offset or none": (
        {**ISO, "time_format": "yyyy-MM-dd HH:mm[XXX]", "local_time_zone": "Asia/Tokyo"},
        "write two patterns, one with and one without the offset",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_settings_that_an_input_cannot_use_are_refused(case: str, tmp_path: Any) -> None:
    keys, message = REFUSED[case]
    with pytest.raises(ValidationError) as caught:
        config_for(tmp_path, keys)
    assert message in str(caught.value)


def test_settings_of_a_table_are_named_by_its_key(tmp_path: Any) -> None:
    items = {"paths": ["items.csv"], "id_column": "id", "local_time_zone": "Europe/Berlin"}
    with pytest.raises(
        ValidationError, match=r"input\.items\.local_time_zone is for texts of times"
    ):
        config_for(tmp_path, items=items)
    config_for(tmp_path, items={**items, "fields": {"since": {"type": "time"}}})


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("dd.MM.yyyy 'at", "a quote is never closed"),
        ("yyyy-MM-dd {HH}", "{ has to be in single quotes"),
        ("uuuu-MM-dd", "uuuu is no letter of a time that can be read; the year is y"),
        ("yyyy-MM-ddTHH:mm", "T is no letter"),
        ("yyy-MM-dd", "y can be repeated 1 or 2 or 4 times, not 3"),
        ("yyyy-MM-dd HHH", "H can be repeated 1 or 2 times, not 3"),
        ("yyyyMMddHHmmssSSS", "a fraction S needs a mark"),
        ("yyyy-MM-dd [HH:mm", "a bracket has no partner"),
        ("yyyy-MM-dd HH:mm]", "a bracket has no partner"),
        ("HH:mm", "it needs a year (y), a month (M) and a day (d)"),
        ("MM/yyyy", "it needs a year (y), a month (M) and a day (d)"),
        ("MM/dd/yyyy hh:mm", "the hours h and K need AM or PM"),
    ],
)
def test_patterns_that_spark_cannot_read_are_told_apart(pattern: str, reason: str) -> None:
    assert (why_unusable(pattern) or "").startswith(reason)


def test_patterns_are_read_letter_by_letter() -> None:
    assert why_unusable("EEE, d MMM yyyy HH:mm:ss z") is None
    assert without_weekday("EEE, d MMM yyyy 'EEE'") == ", d MMM yyyy 'EEE'"
    assert has_offset("yyyy-MM-dd'T'HH:mm:ssXXX") and not has_offset("yyyy-MM-dd 'Z' HH")
    assert has_optional_offset("yyyy-MM-dd[ XXX]") and not has_optional_offset("yyyy[-MM]-dd XXX")
