"""What a user can do wrong, through the real command: the message and the exit code."""

import gzip
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from conf.errors import InputError
from conf.runs.stages import run_etl
from conf.settings.load import load_config
from conf.workspace.lock import workspace_lock
from tests.end2end.conftest import headrace

CONFIG = """
run: {{name: bad, output: {folder}/workspace}}
input:
  root: {folder}/log
  events: {{log: {{paths: [events.csv], time_unit: seconds}}}}
etl:
  event_types: {{view: {{}}}}
"""
HEADER = "user_id,item_id,time\n"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "log").mkdir()
    path = tmp_path / "bad.yaml"
    path.write_text(CONFIG.format(folder=tmp_path))
    return path


def refuse(config: Path, text: str | None, *overrides: str, exit_code: int = 3) -> str:
    """Run the ETL on an events file with this text and return its last words."""
    if text is not None:
        (config.parent / "log" / "events.csv").write_text(text)
    done = headrace("etl", "--config", str(config), *overrides, exit_code=exit_code)
    assert "Traceback" not in done.stderr
    assert not (config.parent / "workspace" / "datasets" / "CURRENT.json").exists()
    return done.stderr


def test_a_missing_file_is_named_with_where_it_was_looked_for(config: Path) -> None:
    message = refuse(config, None)

    assert "events.csv" in message and str(config.parent / "log") in message.replace("\n", "")


def test_a_missing_folder_is_named(config: Path) -> None:
    assert "input.root" in refuse(config, None, "input.root=/nowhere/at/all")


@pytest.mark.parametrize(("text", "said"), [("", "events.csv"), (HEADER, "input.events has no")])
def test_an_empty_log_is_refused(spark: SparkSession, config: Path, text: str, said: str) -> None:
    (config.parent / "log" / "events.csv").write_text(text)
    with pytest.raises(InputError, match=said) as raised:
        run_etl(load_config(config))
    assert raised.value.exit_code == 3
    assert not (config.parent / "workspace" / "datasets" / "CURRENT.json").exists()


def test_a_missing_column_is_named_with_those_present(config: Path) -> None:
    message = refuse(config, "uid,item_id,time\n1,2,3\n")

    assert "user_id" in message and "uid" in message


@pytest.mark.slow
def test_a_log_of_bad_rows_alone_is_refused_with_the_reasons(config: Path) -> None:
    message = refuse(config, HEADER + ",i1,1000000000\nu1,,1000000000\nu1,i1,never\n")

    for reason in ("user_missing", "item_missing", "time_unparsable"):
        assert reason in message
    assert "time_unparsable: for example 'never'" in message


@pytest.mark.slow
def test_milliseconds_taken_as_seconds_do_not_pass(config: Path) -> None:
    rows = "".join(f"u{n},i{n},{1_700_000_000_000 + n}\n" for n in range(20))

    assert "time_in_future" in refuse(config, HEADER + rows)


@pytest.mark.slow
def test_a_core_that_leaves_nothing_is_refused(config: Path) -> None:
    rows = "".join(f"u{n},i{n % 3},{1_700_000_000 + n}\n" for n in range(20))

    message = refuse(config, HEADER + rows, "etl.min_events_per_user=5")
    assert "min_events_per_user" in message


@pytest.mark.slow
def test_a_cut_off_gzip_file_is_refused(config: Path) -> None:
    rows = "".join(f"u{n % 50},i{n % 7},{1_700_000_000 + n}\n" for n in range(50_000))
    whole = gzip.compress((HEADER + rows).encode())
    (config.parent / "log" / "events.csv.gz").write_bytes(whole[: len(whole) // 2])

    assert "events.csv.gz" in refuse(config, None)


def test_without_a_java_that_runs_it_says_which_to_install(config: Path) -> None:
    (config.parent / "log" / "events.csv").write_text(HEADER + "u,i,1700000000\n")
    done = headrace("etl", "--config", str(config), exit_code=2, env={"JAVA_HOME": "/nowhere"})

    assert "Java 17 or 21" in done.stderr and "Traceback" not in done.stderr


def test_an_unknown_key_names_the_nearest(config: Path) -> None:
    message = refuse(config, None, "etl.min_event_per_user=2", "train.epochs=x", exit_code=2)

    assert "etl.min_events_per_user" in message and "train.epochs" in message


def test_a_run_beside_one_that_holds_the_lock_leaves_at_once(config: Path) -> None:
    with workspace_lock(config.parent / "workspace", 60):
        message = refuse(config, HEADER + "u,i,1700000000\n", exit_code=75)

    assert "locked by process" in message


def test_training_before_there_is_a_dataset_says_what_to_run(config: Path) -> None:
    done = headrace("train", "--config", str(config), exit_code=6)

    assert "no current version" in done.stderr
