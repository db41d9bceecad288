"""Tables whose ids are those of the log, or hardly any of them."""

from pathlib import Path

import pytest

from conf.ledger import Match
from etl.cleaning.accounting.id_forms import Reason, find_reason, shape_of
from tests.etl.making import HEADER, config_for, make, write_lines

START = 1_772_323_200  # 2026-03-01T00:00:00Z
KEY = "k" * 32


@pytest.mark.parametrize(("of_log", "of_table", "reason"), [
    (["1", "2", "3"], ["1.0", "2.0", "3.0"], ("decimals", "1", "1.0")),
    (["a-1", "B-2"], ["A-1", "B-2x"], ("upper and lower case", "a-1", "A-1")),
    (["7", "12"], ["\u00a07", "12 "], ("white space", "7", "\u00a07")),
    (["7", "12"], ["007", "012"], ("leading zeros", "7", "007")),
    (["1234", "1234567"], ["1,234", "1,234,567"], ("thousands separators", "1234", "1,234")),
    (["7", "8"], ['"7"', "'8'"], ("quotes", "7", '"7"')),
    (["12340000000"], ["1.234E+10"], ("an exponent", "12340000000", "1.234E+10")),
    (["1", "10", "12"], ["item_1", "item_10", "item_12"],
     ("the prefix 'item_' of the table's ids", "1", "item_1")),
    (["sku-7", "sku-8"], ["7", "8"], ("the prefix 'sku-' of the log's ids", "sku-7", "7")),
    (["7", "8"], ["7-de", "8-de"], ("the suffix '-de' of the table's ids", "7", "7-de")),
    ([" A7", "a8"], ["a7.0", "A8.0"],
     ("several of white space, quotes, case, decimals and leading zeros", "a8", "A8.0")),
])  # fmt: skip
def test_the_difference_of_the_ids_is_named(
    of_log: list[str], of_table: list[str], reason: tuple[str, str, str]
) -> None:
    assert find_reason(of_log, of_table) == Reason(*reason)


def test_accents_that_are_composed_in_another_way_are_named() -> None:
    found = find_reason(["caf\u00e9"], ["cafe\u0301"])
    assert found is not None and "id_normal_form: nfc" in found.told


def test_ids_that_have_nothing_in_common_have_no_reason() -> None:
    assert find_reason(["x", "y"], ["1", "2"]) is None
    # 21 and 22 begin with a 2 by chance: the rest of an id of digits is no id.
    assert find_reason(["1", "2", "3", "4"], ["21", "22"]) is None
    # One in twenty is not what keeps them apart.
    assert find_reason([f"x{n}" for n in range(19)] + ["A"], ["a"]) is None


def test_the_shape_of_an_id_tells_how_it_is_written_and_not_whose_it_is() -> None:
    assert shape_of("Bob-0012.0") == "'Aaa-0099.0'"
    assert shape_of(" 7") == "' 9'"


def shop(root: Path, ids: list[str]) -> dict[str, object]:
    write_lines(root / "log.csv", HEADER,
                *(f"User{n % 5},{n % 3 + 1},{START + n}" for n in range(25)))  # fmt: skip
    write_lines(root / "items.txt", "id,name", *(f"{item},t" for item in ids))
    return {"items": {"paths": ["items.txt"], "id_column": "id", "title_column": "name"}}


@pytest.mark.usefixtures("spark")
def test_a_table_with_other_ids_is_told_with_the_likeliest_reason(tmp_path: Path) -> None:
    tables = shop(tmp_path, ["1.0", "2.0", "3.0"])
    write_lines(tmp_path / "users.txt", "id", *(f"user{n}" for n in range(7)))
    tables["users"] = {"paths": ["users.txt"], "id_column": "id"}
    manifest, folder = make(config_for(tmp_path, **tables))

    items, users = manifest.ledger["items"], manifest.ledger["users"]
    assert items.match == Match(log_ids=3, log_ids_matched=0, events=25, events_matched=0,
                                table_ids=3)  # fmt: skip
    assert items.warnings == (
        "only 0 of the 3 items of the log (0 of 25 events) have a row in this table of 3; the "
        "likeliest reason is decimals ('1' in the log, '1.0' here): write the ids alike in both",
    )
    (warning,) = users.warnings
    assert "upper and lower case ('Aaaa0' in the log, 'aaaa0' here)" in warning
    report = (folder / "report.html").read_text()
    assert "Tables and the log" in report and "the likeliest reason is decimals" in report
    assert "User1" not in report + (folder / "manifest.json").read_text()


@pytest.mark.slow
@pytest.mark.usefixtures("spark")
def test_labels_are_opened_to_find_the_reason_and_shown_to_nobody(tmp_path: Path) -> None:
    tables = shop(tmp_path, ["1", "2", "3"])
    write_lines(tmp_path / "users.txt", "id", *(f"user{n}" for n in range(7)))
    tables["users"] = {"paths": ["users.txt"], "id_column": "id"}
    privacy = {"mode": "pseudonymise", "key": KEY}
    manifest, _ = make(config_for(tmp_path, privacy=privacy, **tables))

    assert manifest.ledger["items"].warnings == ()
    (warning,) = manifest.ledger["users"].warnings
    assert warning == (
        "only 0 of the 5 users of the log (0 of 25 events) have a row in this table of 7; the "
        "likeliest reason is upper and lower case: write the ids alike in both"
    )


@pytest.mark.slow
@pytest.mark.usefixtures("spark")
def test_a_table_that_has_most_of_the_log_is_counted_without_a_warning(tmp_path: Path) -> None:
    manifest, _ = make(config_for(tmp_path, **shop(tmp_path, ["1", "2", "8", "9", "10"])))

    items = manifest.ledger["items"]
    # Of 25 events 9, 8 and 8 are of the items 1, 2 and 3.
    assert items.match == Match(log_ids=3, log_ids_matched=2, events=25, events_matched=17,
                                table_ids=5)  # fmt: skip
    assert items.warnings == ()


@pytest.mark.slow
@pytest.mark.usefixtures("spark")
def test_a_constant_event_id_drops_nothing_and_is_told(tmp_path: Path) -> None:
    for name, text in (("words", "(not set)"), ("shared", "web")):
        root = tmp_path / name
        write_lines(root / "log.csv", HEADER + ",id",
                    *(f"u{n % 5},i{n % 7},{START + n},{text}" for n in range(25)))  # fmt: skip
        manifest, _ = make(config_for(root, {"columns": {"event_id": "id"}}))

        events = manifest.ledger["events"]
        assert (events.rows_read, events.rows_kept, events.dropped) == (25, 25, {})
        (warning,) = events.warnings
        if name == "words":
            assert warning == (
                "event_id is a placeholder ('(not set)') in 25 of 25 rows: they are compared by "
                "their content"
            )
        else:
            assert "event_id is that of another user's row too in 25 of 25 rows" in warning


@pytest.mark.slow
@pytest.mark.usefixtures("spark")
def test_an_id_of_visits_is_told(tmp_path: Path) -> None:
    write_lines(tmp_path / "log.csv", HEADER + ",id",
                *(f"u{n % 2},i{n % 2},{START + n},visit-{n % 2}" for n in range(10)))  # fmt: skip
    manifest, _ = make(config_for(tmp_path, {"columns": {"event_id": "id"}}))

    assert manifest.ledger["events"].dropped == {"duplicate": 8}
    warnings = manifest.ledger["events"].warnings
    (warning,) = (text for text in warnings if "event_id" in text.split()[:2])
    assert warning.startswith("event_id made 8 of 10 rows duplicates although their times differ")
