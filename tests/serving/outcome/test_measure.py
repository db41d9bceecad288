"""Literal lists and events with answers worked out by hand."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from conf.command.printing.tables import print_result
from conf.contract import ListsManifest
from conf.erasure.lists_and_models import rebuild_lists
from conf.erasure.rows import Target
from conf.errors import InputError
from conf.settings.config import Config
from conf.workspace.versions import commit, read_manifest
from tests.serving.outcome.published_shop import (
    DAYS,
    HOUR,
    START,
    Lists,
    config_of,
    counted,
    list_ids,
    outcome_of,
    publish_history,
    row_of,
    write_lists,
    write_shop,
)

FIRST = Lists(np.array([[0, 1], [2, 3], [4, 5]]))
"""u0 has i2 and i3, u1 has i4 and i5, u2 has i6 and i7."""
SECOND = Lists(np.array([[1, 0], [2, 6], [-1, -1]]))


def shop(workspace: Path, *overrides: str, **more: Any) -> Config:
    write_shop(workspace, 4, 8, **more)
    write_lists(workspace, "first", FIRST)
    write_lists(workspace, "second", SECOND)
    publish_history(workspace, ("first", START, 1), ("second", START + DAYS, 1))
    return config_of(workspace, *overrides)


def test_events_are_joined_with_the_version_that_was_current(tmp_path: Path) -> None:
    config = shop(tmp_path)

    result = counted(config, [
        ("u0", "i2", START + 10, "seen"), ("u0", "i2", START + 20, "buy"),
        ("u0", "i3", START + 10, "seen"),
        ("u1", "i5", START + 10, "seen"),
        ("u0", "i3", START + DAYS + 10, "seen"), ("u0", "i3", START + DAYS + 20, "buy"),
        ("u1", "i8", START + DAYS + 10, "seen"),
    ])  # fmt: skip

    first, second = row_of(result, "first"), row_of(result, "second")
    assert (first["users"], first["shown"], first["acted"], first["rate"]) == (2, 3, 1, 1 / 3)
    assert (second["users"], second["shown"], second["acted"], second["rate"]) == (2, 2, 1, 1 / 2)
    assert {place: one["acted"] for place, one in first["by_position"].items()} == {1: 1, 2: 0}
    assert {place: one["shown"] for place, one in second["by_position"].items()} == {1: 1, 2: 1}
    assert result["days"] == ["2026-02-10", "2026-02-11"]


def test_every_event_is_in_the_ledger(tmp_path: Path) -> None:
    config = shop(tmp_path, "outcome.within_hours=1")

    result = counted(config, [
        ("u0", "i2", START - 10, "seen"),  # nothing was published yet
        ("u0", "i2", START + 10, "seen"), ("u0", "i2", START + 10, "seen"),  # a copy
        ("u0", "i2", START + 30, "seen"),  # once more on the same day
        ("u0", "i9", START + 10, "seen"),  # in another list
        ("u0", "odd", START + 10, "seen"),  # no item of ours
        ("u3", "i2", START + 10, "seen"), ("who", "i2", START + 10, "seen"),  # no list
        ("u2", "i6", START + DAYS + 10, "seen"),  # no list any more
        ("u0", "i2", START + 40, "buy"), ("u0", "i2", START + 40, "buy"),  # and a copy
        ("u0", "i2", START + 10 + HOUR + 1, "buy"),  # too late
        ("u0", "i2", START + 5, "buy"),  # before it was shown
        ("u1", "i4", START + 40, "buy"),  # was not shown
        ("u0", "i2", START + 40, "view"),
    ])  # fmt: skip

    assert result["ledger"] == {
        "events": {"read": 15, "shown": 9, "acts": 5, "other_types": 1},
        "shown": {
            "read": 9, "counted": 1, "shown_again": 1, "duplicates": 1,
            "before_the_first_publication": 1, "user_without_list": 3, "unknown_item": 1,
            "not_in_the_list": 1,
        },
        "acts": {"read": 5, "counted": 1, "nothing_shown_before": 3, "duplicates": 1},
    }  # fmt: skip
    for counts in result["ledger"].values():
        assert sum(counts.values()) == 2 * counts["read"]


def test_days_that_are_asked_for_are_counted_alone(tmp_path: Path) -> None:
    config = shop(tmp_path)
    events = [
        ("u0", "i2", START + 10, "seen"), ("u0", "i2", START + DAYS + 60, "buy"),
        ("u0", "i3", START + DAYS + 10, "seen"), ("u0", "i3", START + 5 * DAYS, "buy"),
    ]  # fmt: skip

    both = counted(config, events)
    first = counted(config, events, days=("2026-02-10", None, None))
    later = counted(config, events, days=(None, "2026-02-11", "2026-02-12"))

    assert [row["shown"] for row in both["versions"]] == [1, 1]
    assert [row["version"] for row in first["versions"]] == ["first"]
    assert first["ledger"]["shown"]["other_days"] == 1
    assert first["days"] == ["2026-02-10", "2026-02-10"]
    assert [row["version"] for row in later["versions"]] == ["second"]
    assert later["ledger"]["acts"] == {
        "read": 2, "counted": 0, "nothing_shown_before": 1, "other_days": 1,
    }  # fmt: skip


def test_without_events_of_showings_whole_lists_count_on_active_days(tmp_path: Path) -> None:
    config = shop(tmp_path, "outcome.shown=null")

    result = counted(config, [
        ("u0", "i9", START + 10, "view"),  # both items of u0 count as shown
        ("u0", "i3", START + 20, "buy"), ("u0", "i2", START + 5, "buy"),
        ("u1", "i4", START + DAYS - 10, "buy"), ("u1", "i4", START + DAYS + 10, "buy"),
        ("u3", "i4", START + 10, "view"),
        ("u2", "i4", START - 10, "view"),
    ])  # fmt: skip

    first, second = row_of(result, "first"), row_of(result, "second")
    assert (first["users"], first["shown"], first["acted"]) == (2, 4, 3)
    assert (second["users"], second["shown"], second["acted"]) == (1, 2, 1)
    assert result["ledger"]["days"] == {
        "read": 5, "counted": 3, "user_without_list": 1, "before_the_first_publication": 1,
    }  # fmt: skip
    assert "outcome.shown is null" in result["notes"][1]


def test_an_act_counts_for_the_last_showing_and_by_its_worth(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = shop(tmp_path, "outcome.acted={buy: 2, view: 0.5}", "outcome.within_hours=48")

    result = counted(config, [
        ("u0", "i3", START + 10, "seen"), ("u0", "i3", START + DAYS + 10, "seen"),
        ("u0", "i3", START + DAYS + 20, "view"), ("u0", "i3", START + DAYS + 30, "buy"),
        ("u1", "i5", START + 10, "seen"), ("u1", "i5", START + 20, "view"),
    ])  # fmt: skip

    assert row_of(result, "first")["rate"] == 0.25
    assert row_of(result, "second")["rate"] == 2
    acted = {"buy": 2, "view": 0.5}
    assert result["counts"] == {"shown": "seen", "acted": acted, "within_hours": 48}
    print_result(result)
    for text in (capsys.readouterr().out, Path(result["page"]).read_text()):
        said = " ".join(text.split())
        for part in (
            "an item of a list with an event of type seen", "buy (worth 2), view (worth 0.5)",
            "at most 48 hours after it was shown", "shown (seen)", "rate (mean worth)",
        ):  # fmt: skip
            assert part in said
    assert result["ledger"]["acts"] == {"read": 3, "counted": 3}


def test_a_column_that_no_file_has_is_refused(tmp_path: Path) -> None:
    shop(tmp_path)
    events = [("u0", "i2", START + 10, "seen")]
    for key in ("list_id", "position"):
        with pytest.raises(InputError, match=f"outcome.{key}='lsit' is a column of none"):
            counted(config_of(tmp_path, f"outcome.{key}=lsit"), events)


def test_list_ids_join_with_just_that_list_even_if_it_is_old(tmp_path: Path) -> None:
    write_shop(tmp_path, 4, 8)
    cart = Lists(np.array([[0, 6], [2, 6], [4, 6]]))
    for name, lists in (("first", FIRST), ("second", SECOND)):
        write_lists(tmp_path, name, lists, scenarios={"cart": cart})
    publish_history(tmp_path, ("first", START, 1), ("second", START + DAYS, 1))
    config = config_of(tmp_path, "outcome.list_id=list", "outcome.position=place")
    ids = {
        scenario: list_ids(tmp_path / "lists/first" / scenario)["u0"] for scenario in ("", "cart")
    }  # fmt: skip
    events = [
        ("u0", "i2", START + 10, "seen"),  # of the cart
        ("u0", "i2", START + 11, "buy"),  # after the cart
        ("u0", "i2", START + 12, "seen"),  # of either
        ("u0", "i8", START + 12, "seen"),  # of the cart alone
        ("u0", "i3", START + DAYS + 10, "seen"),  # of yesterday's list
        ("u0", "i2", START + DAYS + 12, "seen"),  # the place says which list
        ("u0", "i8", START + DAYS + 12, "seen"),  # at another place
        ("u1", "i2", START + 10, "seen"),  # a list of somebody else
        ("u1", "i5", START + 10, "seen"),  # the same, with an item that is not in it
        ("u0", "i2", START + 10, "seen"),  # no such list
        ("u0", "i9", START + DAYS + 10, "seen"),  # not in yesterday's list
        ("u0", "odd", START + DAYS + 10, "seen"),  # the same, and no item of ours
        ("u0", "i2", START + DAYS + 10, "seen"),  # in yesterday's list, at another place
    ]
    given = [ids["cart"], ids["cart"], None, None, ids[""], None, None]
    given += [ids["cart"], ids["cart"], "f" * 16, ids[""], ids[""], ids[""]]
    places = [1, None, None, 2, 2, 2, 1, 1, 1, 1, 1, 1, 2]

    result = counted(config, events, columns={"list": given, "place": pa.array(places)})

    assert result["ledger"]["shown"] == {
        "read": 12, "counted": 3, "counted_of_another_list": 1, "unknown_item": 1,
        "not_in_the_list": 1, "another_place": 2, "in_several_scenarios": 1, "unknown_list": 3,
    }  # fmt: skip
    assert row_of(result, "first", "cart")["acted"] == 1
    assert row_of(result, "first", "cart")["shown"] == 2
    assert row_of(result, "first")["shown"] == 1 and row_of(result, "first")["acted"] == 0
    assert row_of(result, "second")["by_position"][2]["shown"] == 1


def test_channels_and_segments_are_counted_apart(tmp_path: Path) -> None:
    regions = pa.array(["north", "north", None, "south"])
    table = "input.users={paths: [none], id_column: user_id, fields: {region: {}}}"
    write_shop(tmp_path, 4, 8, user_fields={"region": regions})
    bits = np.array([[1, 3], [2, 1], [1, 1]])
    write_lists(tmp_path, "first", FIRST._replace(channels=("als", "popular"), bits=bits))
    publish_history(tmp_path, ("first", START, 1))
    config = config_of(tmp_path, table, "outcome.segment=region")

    result = counted(config, [
        ("u0", "i2", START + 10, "seen"), ("u0", "i3", START + 10, "seen"),
        ("u1", "i4", START + 10, "seen"), ("u2", "i6", START + 10, "seen"),
        ("u0", "i3", START + 12, "buy"),
    ])  # fmt: skip

    [row] = result["versions"]
    shown = {name: (one["shown"], one["acted"]) for name, one in row["by_channel"].items()}
    assert shown == {"model": (4, 1), "als": (3, 1), "popular": (2, 1)}
    segments = {name: (one["shown"], one["users"]) for name, one in row["by_segment"].items()}
    assert segments == {"north": (3, 2), "(none)": (1, 1)}


def test_lists_without_ids_of_an_earlier_release_are_joined_by_user_and_item(
    tmp_path: Path,
) -> None:
    write_shop(tmp_path, 4, 8)
    write_lists(tmp_path, "first", FIRST, without=["list_id"])
    publish_history(tmp_path, ("first", START, 1))

    result = counted(
        config_of(tmp_path, "outcome.list_id=list"),
        [("u0", "i2", START + 10, "seen"), ("u0", "i3", START + 10, "seen")],
        columns={"list": [None, "0123456789abcdef"]},
    )

    assert result["ledger"]["shown"] == {"read": 2, "counted": 1, "unknown_list": 1}


def test_a_version_that_is_gone_is_told_and_the_others_are_counted(tmp_path: Path) -> None:
    config = shop(tmp_path)
    shutil.rmtree(tmp_path / "lists/first")

    result = counted(config, [
        ("u0", "i2", START + 10, "seen"), ("u0", "i3", START + DAYS + 10, "seen"),
        ("u0", "i3", START + DAYS + 20, "buy"),
    ])  # fmt: skip

    assert result["gone"] == ["first"]
    assert result["ledger"]["shown"] == {"read": 2, "counted": 1, "version_gone": 1}
    assert "lists that are gone are not counted: first" in result["notes"]


def test_a_list_that_is_there_is_found_though_the_current_one_is_gone(tmp_path: Path) -> None:
    config = shop(tmp_path, "outcome.list_id=list")
    ids = list_ids(tmp_path / "lists/first")
    write_lists(tmp_path, "third", SECOND)
    names = ("first", "second", "third")
    publish_history(tmp_path, *((name, START + n * DAYS, 1) for n, name in enumerate(names)))
    shutil.rmtree(tmp_path / "lists/second")

    result = counted(
        config,
        [
            ("u0", "i2", START + DAYS + 10, "seen"),  # of yesterday's list
            ("u1", "i9", START + DAYS + 10, "seen"),  # not in it
            ("u1", "i4", START + DAYS + 10, "seen"),  # no such list
            ("u1", "i4", START + DAYS + 10, "seen"),  # of the current list
        ],
        columns={"list": [ids["u0"], ids["u1"], "f" * 16, None]},
    )

    assert result["ledger"]["shown"] == {
        "read": 4, "counted": 0, "counted_of_another_list": 1, "version_gone": 2,
        "not_in_the_list": 1,
    }  # fmt: skip
    assert row_of(result, "first")["shown"] == 1


def test_a_success_is_no_copy_of_an_event_that_is_none(tmp_path: Path) -> None:
    """An order has two lines of an item, with one id for both or with none."""
    config = shop(
        tmp_path, "etl.event_types={buy: {min_value: 10}}", "input.events.log.columns.value=price",
        "input.events.log.columns.event_id=order",
    )  # fmt: skip
    events = [(user, item, START + 10, "seen") for user, item in (("u0", "i2"), ("u1", "i5"))]
    events += [("u0", "i2", START + 20, "buy")] * 3 + [("u1", "i5", START + 20, "buy")] * 4

    result = counted(config, events, columns={
        "price": [0.0, 0.0, 5.0, 20.0, 20.0, 5.0, 20.0, 20.0, 30.0],
        "order": [None, None, "a", "a", "a", None, None, None, None],
    })  # fmt: skip

    assert result["ledger"]["acts"] == {
        "read": 7, "counted": 3, "duplicates": 2, "below_min_value": 2,
    }  # fmt: skip
    assert row_of(result, "first")["acted"] == 2


def test_erased_users_have_no_list_any_more(tmp_path: Path) -> None:
    config = shop(tmp_path)
    folder, beside = tmp_path / "lists/first", tmp_path / "beside"
    beside.mkdir()
    manifest = read_manifest(tmp_path, "lists", "first", ListsManifest)
    gone = frozenset({"u0"})
    left, removed = rebuild_lists(
        manifest, folder, beside, Target(gone, gone, frozenset({2}), ()), [False, False]
    )
    shutil.rmtree(folder)
    beside.rename(folder)
    commit(tmp_path, "lists", left)

    result = counted(config, [
        ("u0", "i2", START + 10, "seen"), ("u1", "i5", START + 10, "seen"),
        ("u1", "i5", START + 20, "buy"),
    ])  # fmt: skip

    assert removed["lists"] == 2
    assert result["ledger"]["shown"] == {"read": 2, "counted": 1, "user_without_list": 1}
    assert row_of(result, "first")["rate"] == 1


def test_the_page_is_written_and_names_no_user(tmp_path: Path) -> None:
    config = shop(tmp_path)

    result = counted(config, [
        ("u0", "i2", START + 10, "seen"), ("u0", "i2", START + 20, "buy"),
        ("u1", "i5", START + 10, "seen"),
    ])  # fmt: skip

    page = Path(result["page"])
    text = page.read_text()
    assert page.parent == tmp_path / "comparisons"
    assert page.name.startswith("outcome-2026-02-10-")
    assert "What was shown" in text and "0.5000" in text and "u0" not in text
    own = tmp_path / "page.html"
    events = tmp_path / "events.parquet"
    assert outcome_of(config, events, output=own)["page"] == str(own)
    assert own.read_text() == text
