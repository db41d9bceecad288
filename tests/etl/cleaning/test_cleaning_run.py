"""The rules together, in the whole stage."""

import random
from pathlib import Path
from typing import Any

import pytest

from conf.errors import InputError
from conf.settings.config import Config
from tests.etl.making import DAY, config_for, make, read_part, write_lines

pytestmark = pytest.mark.usefixtures("spark")
START = 1_772_323_200  # 2026-03-01T00:00:00Z
HEADER = "user_id,item_id,time,quantity,kind,invoice,price"
FIELDS = {"invoice": {}, "price": {"type": "number", "minimum": 0.01, "bad": "quarantine"}}
LOG = {
    "columns": {"value": "quantity", "event_type": "kind"}, "fields": FIELDS,
    "paths": ["log/*.csv"],
}  # fmt: skip
CLEAN = {
    "max_bad_share": 0.5,
    "keep_to": "2026-03-20",
    "allow_negative_value": True,
    "duplicate_seconds": 1,
    "id_normal_form": "nfc",
    "max_events_per_user_minute": 8,
    "cancellations": {"id_prefix": "C", "id_field": "invoice", "cancelled_types": ["buy"]},
    "budgets": {"cancellation_unmatched": {"warn_above": 0.0}, "duplicate": {"warn_above": 0.9}},
}
ETL = {"event_types": {"view": {}, "buy": {}}, "clean": CLEAN, "session_gap_minutes": 60,
       "split": {"kind": "leave_last_n", "num_targets": 2}}  # fmt: skip


def line(item: str, second: int, *rest: str, user: str = "u") -> str:
    quantity, kind, invoice, price = (*rest, *("1", "buy", "7", "1.5")[len(rest) :])
    return ",".join([user, item, str(START + second), quantity, kind, invoice, price])


LINES = [
    *(line(f"i{n}", n * 1800) for n in range(6)),  # half an hour apart: one session
    line("i6", 5 * DAY),
    line("i0", 0),  # a duplicate
    line("i0", 0, "1", "buy", "8"),  # on another invoice, but within a second
    line("i1", DAY, "-1", "buy", "C9"),  # takes back the purchase of i1
    line("i1", DAY + 1, "-3", "buy", "C9"),  # no purchase of three
    line("i2", DAY, "1", "view", "C9"),  # takes back i2's purchase as well: the prefix counts
    line("i3", 2, "1", "view", "", ""),  # has no price
    line("i4", 2, "1", "view", "", "0"),
    line("i4", 2, "1", "view", "", "free"),
    line("i5", 20 * DAY),
    *(line("i0", n * 2, user="bot") for n in range(9)),
]


def config(root: Path, **sections: Any) -> Config:
    users = {"paths": ["users.csv"], "id_column": "id", "fields": {
        "age": {"type": "integer", "minimum": 0, "maximum": 120, "bad": "blank",
                "fill": {"kind": "median"}},
    }}  # fmt: skip
    return config_for(root, LOG, users=users, etl={**ETL, **sections})


def test_every_rule_takes_its_rows_and_the_ledger_adds_up(tmp_path: Path) -> None:
    write_lines(tmp_path / "log/a.csv", HEADER, *LINES)
    # Of users that were there in training u alone.
    write_lines(tmp_path / "users.csv", "id,age", "u,30", "silent,old", "young,7", "no\u0308ne,")
    manifest, folder = make(config(tmp_path))

    events = manifest.ledger["events"]
    assert events.dropped == {
        "duplicate": 1, "near_duplicate": 1, "cancelled": 2, "cancellation": 2,
        "cancellation_unmatched": 1, "outside_window": 1, "bot_per_minute": 9,
    }  # fmt: skip
    assert events.quarantined == {"price_out_of_range": 1, "price_unparsable": 1}
    assert (events.rows_read, events.rows_kept) == (len(LINES), 6)
    assert events.warnings == (
        f"cancellation_unmatched removed 1 of {len(LINES)} rows, more than "
        "etl.clean.budgets.cancellation_unmatched.warn_above=0.0 allows",
    )
    assert manifest.ledger["users"].warnings == (
        "age_unparsable: 1 of 4 rows kept have no value in that field",
    )
    # i0 and the view of i3, i3 to i5 more than an hour after them, i6 days later.
    assert manifest.counts["sessions"] == 3
    assert (manifest.counts["valid"], manifest.counts["test"]) == (2, 2)
    assert manifest.fills == {"users": {"age": {"value": 30, "groups": {}}}}
    ages = {row["user_id"]: (row["age"], row["age_was_missing"])
            for row in read_part(folder, "users")}  # fmt: skip
    assert ages == {
        "u": (30, False),
        "young": (7, False),
        "silent": (30, True),
        "n\u00f6ne": (30, True),
    }
    assert sorted(len(row["history_item_idx"]) for row in read_part(folder, "test")) == [4, 5]
    assert "bot" not in ages


def test_a_budget_that_is_overspent_stops_the_run(tmp_path: Path) -> None:
    write_lines(tmp_path / "log/a.csv", HEADER, *LINES)
    write_lines(tmp_path / "users.csv", "id,age", "u,30")
    clean = {**CLEAN, "budgets": {"price_unparsable": {"stop_above": 0.01}}}
    message = r"price_unparsable removed 1 of 25 rows.*stop_above=0\.01.*rows are in .*refused-"
    with pytest.raises(InputError, match=message) as caught:
        make(config(tmp_path, clean=clean))
    assert caught.value.exit_code == 3


def drawn_lines() -> list[str]:
    """Return lines in which many events are of one instant, alike or taken back."""
    draw = random.Random(7)
    return [
        line(f"i{draw.randrange(12)}", draw.randrange(8) * 1800, draw.choice(["1", "2"]),
             draw.choice(["view", "buy"]), draw.choice(["7", "8", "C9"]), draw.choice(["1", "2"]),
             user=f"u{draw.randrange(6)}")
        for _ in range(800)
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["leave_last_n", "random"])
def test_events_of_one_instant_do_not_depend_on_files_and_lines(kind: str, tmp_path: Path) -> None:
    lines, draw = drawn_lines(), random.Random(8)
    made = []
    for number in range(2):
        root = tmp_path / str(number)
        for name in range(number + 2):
            write_lines(root / f"log/{name}.csv", HEADER, *lines[name :: number + 2])
        write_lines(root / "users.csv", "id,age", "u1,30")
        split = {"kind": kind, "num_targets": 2, "cold_items": "drop", "cold_users": "drop"}
        clean = {**CLEAN, "max_events_per_user_minute": None}
        made.append(make(config(root, clean=clean, repeated_items="last", split=split)))
        draw.shuffle(lines)
    (one, folder), (two, _) = made
    assert one.files == two.files
    assert one.counts == two.counts and one.counts["test"] > 10
    assert one.ledger["events"].dropped == two.ledger["events"].dropped
    assert min(one.ledger["events"].dropped.get(reason, 0) for reason in (
        "duplicate", "near_duplicate", "cancelled", "cancellation_unmatched", "repeated_item",
    )) > 3  # fmt: skip
    histories = {row["user_idx"]: row["history_time"] for row in read_part(folder, "histories")}
    assert all(times == sorted(times) for times in histories.values())
