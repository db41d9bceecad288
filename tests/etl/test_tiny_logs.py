"""Datasets and reports of logs with almost nothing in them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from conf.contract import MANIFEST_NAME, REPORT_NAME
from conf.errors import InputError
from tests.etl.making import DAY, config_for, make, write_lines
from tests.strict_json import strict_json

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("spark")]
START = 1_772_323_200  # 2026-03-01T00:00:00Z
HEADER = "user_id,item_id,time,kind,amount"
BUYS = {"event_types": {"view": {}, "buy": {}}, "impressions": {"labels": {"buy": ["buy"]}}}
LOGGED = {**BUYS, "impressions": {"labels": {"buy": ["buy"]}, "negatives": "logged"}}
LATE = {"split": {"kind": "temporal", "valid_from": "2026-06-01", "test_from": "2026-07-01"}}
FEATURES = {
    "as_of": {}, "neighbours": {},
    "items": {"encodings": {"colour": {"kind": "categorical"},
                            "price": {"kind": "bucketed", "buckets": 3}}},
    "events": {"encodings": {"amount": {"kind": "numeric"}}},
}  # fmt: skip
ITEMS = {"paths": ["tables/*.csv"], "id_column": "id",
         "fields": {"colour": {}, "price": {"type": "number"}}}  # fmt: skip


def rows(users: int, items: int, kind: str = "view", step: int = 60) -> list[str]:
    """Return events in which all users have the same items, one after the other."""
    return [
        f"u{user},i{item},{START + step * item},{kind},3"
        for user in range(users)
        for item in range(items)
    ]


# Lines, the section `etl`, and the rows of train, valid, test and the impressions of training.
LOGS: dict[str, tuple[list[str], Mapping[str, Any], tuple[int, ...]]] = {
    "one event": (rows(1, 1), {}, (0, 0, 0)),
    "one user": (rows(1, 8), {}, (1, 1, 1)),
    "one item": (rows(8, 1), {}, (0, 0, 0)),
    "two events each": (rows(4, 2), {}, (4, 0, 0)),
    "one instant": (rows(5, 5, step=0), {}, (5, 5, 5)),
    "cuts after the log": (rows(5, 5, step=DAY), LATE, (5, 0, 0)),
    "only cold targets": (rows(5, 4), {"split": {"cold_items": "drop"}}, (5, 0, 0)),
    "all bought": (rows(5, 5, "buy"), LOGGED, (5, 5, 5, 15)),
    "nothing bought": (rows(5, 5), LOGGED, (5, 5, 5, 15)),
    "no negative left": (rows(5, 5, "buy"), BUYS, (5, 5, 5, 15)),
}  # fmt: skip


def config_of(root: Path, lines: list[str], etl: Mapping[str, Any]) -> Any:
    write_lines(root / "log.csv", HEADER, *lines)
    write_lines(root / "tables/items.csv", "id,colour,price", "x,red,1", "y,blue,1")
    events = {
        "paths": ["log.csv"], "columns": {"event_type": "kind"},
        "fields": {"amount": {"type": "number"}},
    }  # fmt: skip
    features = FEATURES if "impressions" in etl else {"items": FEATURES["items"]}
    return config_for(root, events, items=ITEMS, etl={**etl, "features": features})


@pytest.mark.parametrize("log", LOGS)
def test_a_dataset_and_its_report_are_made(tmp_path: Path, log: str) -> None:
    """No item of the log is in the table of items, so every feature is missing everywhere."""
    lines, etl, expected = LOGS[log]

    manifest, folder = make(config_of(tmp_path, lines, etl))

    parts = ("train", "valid", "test", "train_impressions")[: len(expected)]
    found = [sum(file.rows for file in manifest.files[part]) for part in parts]
    assert tuple(found) == expected
    strict_json(folder / MANIFEST_NAME["datasets"])
    report = (folder / REPORT_NAME).read_text()
    for word in (">nan", "nan%", ">None<", ">inf", "NaN"):
        assert word not in report


@pytest.mark.parametrize(
    ("lines", "etl", "problem"),
    [
        ([], {}, "has no rows"),
        (rows(2, 2, "click"), {}, "none of 4 rows is left; dropped: event_type_not_used 4"),
        (rows(3, 1), {"min_events_per_user": 2}, "none of 3 events is left after applying"),
        (rows(2, 2), {"split": {**LATE["split"], "valid_from": "2026-01-01"}},
         r"no event is in the training part, because etl\.split \(temporal\)"),
        (rows(2, 2), {**LOGGED, "event_types": {"view": {"shown_only": True}, "buy": {}}},
         "no event is in the training part: all events that are left only show items"),
    ],
)  # fmt: skip
def test_what_is_missing_is_said_in_one_line(
    tmp_path: Path, lines: list[str], etl: Mapping[str, Any], problem: str
) -> None:
    with pytest.raises(InputError, match=problem) as raised:
        make(config_of(tmp_path, lines, etl))

    assert "\n" not in str(raised.value)
