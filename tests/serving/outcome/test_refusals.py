"""Wrong inputs end with one message and their exit code; the real command says so too."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from conf.errors import ConfigError, HeadraceError, InputError, VersionError
from conf.settings.config import Config
from conf.settings.load import load_config
from conf.workspace.json_files import write_json
from tests.packaging.checkout import CHECKOUT
from tests.serving.outcome.published_shop import (
    DAYS,
    START,
    TYPED,
    Lists,
    config_of,
    outcome_of,
    publish_history,
    write_events,
    write_lists,
    write_shop,
)
from tests.serving.tiny_shop import write_config

SEEN = ("u0", "i2", START + 10, "seen")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    write_shop(tmp_path, 4, 8)
    write_lists(tmp_path, "first", Lists(np.array([[0, 1], [2, 3], [4, 5]])))
    publish_history(tmp_path, ("first", START, 1))
    write_events(tmp_path / "events.parquet", [SEEN, ("u0", "i2", START + 20, "buy")])
    return tmp_path


def refused(kind: type[HeadraceError], config: Config, *files: Path | str, **more: Any) -> str:
    with pytest.raises(kind) as caught:
        outcome_of(config, *files, **more)
    assert type(caught.value) is kind
    return str(caught.value)


def test_events_of_days_without_published_lists(shop: Path) -> None:
    early = write_events(shop / "early.parquet", [("u0", "i2", START - DAYS, "seen")])

    told = refused(InputError, config_of(shop), early)

    assert "from 2026-02-09 to 2026-02-09 is of a published list" in told
    assert "before_the_first_publication 1" in told
    assert "first publication that is known was on 2026-02-10" in told


def test_days_that_the_events_do_not_reach(shop: Path) -> None:
    told = refused(InputError, config_of(shop), shop / "events.parquet",
                   days=(None, "2026-03-01", None))  # fmt: skip

    assert "events from 2026-02-10 to 2026-02-10" in told and "change --from and --to" in told


def test_a_file_with_unknown_columns(shop: Path) -> None:
    path = shop / "odd.csv"
    path.write_text("person,thing\nu0,i2\n")

    told = refused(InputError, config_of(shop), path)

    assert "has the columns person, thing, but needs those of a log" in told
    assert "log: user_id, item_id, time, type" in told


@pytest.mark.parametrize(
    ("row", "part"),
    [
        (",i2,1770681610,seen,1", "row 1: user_id is missing"),
        ("u0,i2,noon,seen,1", "row 1: time='noon' is no time"),
        ("u0,i2,1770681610,seen,0", "row 1: outcome.position='0' is no position"),
        ("u0,i2,1770681610,seen,a", "row 1: outcome.position='a' is no position"),
        ("u0,i2,1770681610,seen,1e300", "row 1: outcome.position='1e300' is no position"),
    ],
)
def test_a_row_that_is_wrong(shop: Path, row: str, part: str) -> None:
    path = shop / "odd.csv"
    path.write_text(f"user_id,item_id,time,type,place\n{row}\n")

    assert part in refused(InputError, config_of(shop, "outcome.position=place"), path)


def test_files_without_a_single_event(shop: Path) -> None:
    path = shop / "none.csv"
    path.write_text("user_id,item_id,time,type\n")

    told = refused(InputError, config_of(shop, "outcome.shown=null"), path)

    assert "there are no events in the files" in told


def test_numbers_that_are_none_are_missing_values(shop: Path) -> None:
    """Some tools write NaN where a cell is empty."""
    path = write_events(shop / "odd.parquet", [SEEN, ("u1", "i5", START + 10, "seen")],
                        place=pa.array([1.0, np.nan]), list=pa.array([np.nan, np.nan]))  # fmt: skip
    config = config_of(shop, "outcome.position=place", "outcome.list_id=list")

    assert outcome_of(config, path)["ledger"]["shown"] == {"read": 2, "counted": 2}


def test_a_file_that_is_not_there(shop: Path) -> None:
    assert "cannot be read" in refused(InputError, config_of(shop), shop / "none.csv")


def test_no_event_says_what_was_shown(shop: Path) -> None:
    told = refused(InputError, config_of(shop, "outcome.shown=displayed"), shop / "events.parquet")

    assert "outcome.shown='displayed'" in told and "there are buy, seen" in told


def test_a_file_of_one_of_several_logs_has_to_be_named(shop: Path) -> None:
    logs = "input.events.sales={paths: [none], time_unit: seconds, event_type: buy}"
    config = config_of(shop, logs, "input.events.sales.columns.event_type=null")
    sales = shop / "sales.csv"
    sales.write_text(f"user_id,item_id,time\nu0,i2,{START + 20}\n")
    seen = write_events(shop / "seen.parquet", [SEEN])

    told = refused(ConfigError, config, seen)
    assert "the columns of several logs of input.events (log, sales)" in told
    assert f"--events log={seen}" in told

    [row] = outcome_of(config, f"log={seen}", f"sales={sales}")["versions"]
    assert (row["shown"], row["acted"]) == (1, 1)


def test_all_versions_are_gone(shop: Path) -> None:
    write_lists(shop, "second", Lists(np.array([[0, 1]])))
    publish_history(shop, ("first", START, 1), ("second", START + DAYS, 1))
    for path in (shop / "lists/first").iterdir():
        path.unlink()

    told = refused(VersionError, config_of(shop), shop / "events.parquet")

    assert "current from 2026-02-10 to 2026-02-10 are gone (first)" in told


def test_a_part_that_is_damaged(shop: Path) -> None:
    next((shop / "lists/first").glob("part-*")).write_bytes(b"nothing")

    assert "but its manifest says" in refused(
        VersionError, config_of(shop), shop / "events.parquet"
    )


def test_nothing_is_published(tmp_path: Path) -> None:
    write_shop(tmp_path, 4, 8)

    assert "no current version" in refused(VersionError, config_of(tmp_path), "events.csv")


def test_a_pointer_of_an_earlier_release_has_no_history(shop: Path) -> None:
    pointer = {"id": "first", "logical_date": "2026-01-31", "number": 1, "previous": [],
               "withdrawn": []}  # fmt: skip
    write_json(shop / "lists/CURRENT.json", pointer)

    told = refused(VersionError, config_of(shop), shop / "events.parquet")

    assert "an earlier release wrote it" in told


@pytest.mark.parametrize("name", ["none", "../lists/first", ""])
def test_an_unknown_policy(shop: Path, name: str) -> None:
    told = refused(ConfigError, config_of(shop), shop / "events.parquet", policy=name)

    assert f"--policy={name!r} is no version of lists; there are first" in told


def test_a_log_without_times(shop: Path) -> None:
    config = config_of(shop, "input.events.log.time_unit=order")

    assert "outcome needs times" in refused(ConfigError, config, shop / "events.parquet")


def test_options_that_do_not_go_together(shop: Path) -> None:
    config, events = config_of(shop), shop / "events.parquet"

    assert "needs --events FILE" in refused(ConfigError, config)
    days = ("2026-02-10", "2026-02-10", None)
    assert "--date is one day" in refused(ConfigError, config, events, days=days)
    days = (None, "2026-02-10", "2026-02-09")
    assert "--to=2026-02-09 is before" in refused(ConfigError, config, events, days=days)


def test_a_segment_with_too_many_values(tmp_path: Path) -> None:
    write_shop(tmp_path, 200, 8, user_fields={"nick": pa.array([f"n{n}" for n in range(200)])})
    write_lists(tmp_path, "first", Lists(np.zeros((200, 1), dtype=np.int64)))
    publish_history(tmp_path, ("first", START, 1))
    events = write_events(
        tmp_path / "e.parquet", [(f"u{n}", "i2", START + 9, "seen") for n in range(200)]
    )
    table = "input.users={paths: [none], id_column: user_id, fields: {nick: {}}}"
    config = config_of(tmp_path, table, "outcome.segment=nick")

    assert "outcome.segment='nick' has 200 values" in refused(ConfigError, config, events)


@pytest.mark.parametrize(
    ("override", "part"),
    [
        ("outcome.segment=region", "outcome.segment='region' is not in input.users.fields"),
        ("outcome.acted={seen: 1}", "shown='seen' is also in acted"),
        ("outcome.acted={buy: 0}", "outcome.acted.buy=0"),
        ("outcome.acted={buy: 1e308}", "outcome.acted.buy=1e+308"),
        ("outcome.within_hours=0", "outcome.within_hours=0"),
        ("outcome.within_hours=1e300", "outcome.within_hours=1e+300"),
        ("outcome.show=x", "did you mean outcome.shown?"),
    ],
)
def test_settings_that_are_wrong(tmp_path: Path, override: str, part: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config_of(tmp_path, override)

    assert part in str(caught.value)


def test_a_type_that_only_shows_items_is_no_success(tmp_path: Path) -> None:
    shown = "etl={event_types: {view: {shown_only: true}, buy: {}}, impressions: {negatives: logged, labels: {buy: [buy]}}}"  # noqa: E501
    with pytest.raises(ConfigError, match=r"outcome\.acted: view is shown_only"):
        load_config(write_config(tmp_path), [shown, TYPED[0], "outcome.acted={view: 1}"])


def command(workspace: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "conf.command.cli", "outcome", "--config",
         str(workspace / "run.yaml"), *words, *TYPED],
        cwd=CHECKOUT, capture_output=True, text=True,
    )  # fmt: skip


def test_the_command_prints_tables_and_one_json_object(shop: Path) -> None:
    write_config(shop)
    events = ("--events", str(shop / "events.parquet"), "--events", str(shop / "events.parquet"))

    told = command(shop, *events, "--output", str(shop / "page.html"))
    as_json = command(shop, *events, "--json", "--date", "2026-02-10")

    assert told.returncode == 0, told.stderr
    for part in ("lists shown on 2026-02-10", "first", "1.0000", "duplicates 1", "page.html"):
        assert part in told.stdout
    result = json.loads(as_json.stdout)
    assert result["stage"] == "outcome" and result["versions"][0]["rate"] == 1.0
    assert result["ledger"]["events"]["read"] == 4


def test_the_command_ends_with_the_exit_code_of_the_error(shop: Path) -> None:
    write_config(shop)
    events = ("--events", str(shop / "events.parquet"))

    for words, code, part in (
        ((*events, "--policy", "first"), 2, "needs lists with a propensity"),
        ((*events, "--from", "soon"), 2, "--from='soon' is not a date"),
        (("--events", str(shop / "none.csv")), 3, "cannot be read"),
        ((*events, "outcome.shwn=x"), 2, "did you mean outcome.shown?"),
        ((*events, "--output", str(shop / "lists/page.html")), 2, "is in"),
    ):
        done = command(shop, *words)
        assert done.returncode == code, done.stderr
        assert part in " ".join(done.stderr.split()) and "Traceback" not in done.stderr
