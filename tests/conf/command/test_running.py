"""What every subcommand prints: records of the log, results, and what led to a refusal."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from conf.command.printing.cells import printable
from conf.command.running import run_command
from conf.command.stopping import stoppable
from conf.errors import GateError
from conf.settings.config import Config
from tests.conf.settings.test_load import MINIMAL
from tests.packaging.checkout import CHECKOUT

LEDGER = {"events": {"rows_read": 1234, "rows_kept": 1000, "dropped": {"bot": 234},
                     "quarantined": {}}}  # fmt: skip


def refuse(config: Config) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "figures": {"short_lists": 0.5, "bad_scores": 0.0},
        "gates": {"short_lists": False, "bad_scores": True},
        "warnings": [],
    }
    error = GateError("lists are not published")
    error.made = {
        "stage": "run",
        "status": "refused",
        "etl": {"stage": "etl", "status": "done", "ledger": LEDGER},
        "score": {"stage": "score", "status": "refused", **figures},
    }
    raise error


@pytest.fixture(autouse=True)
def _process_as_it_was() -> Iterator[None]:
    """Put back what the command sets for its whole process."""
    handler, root = signal.getsignal(signal.SIGTERM), logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    signal.signal(signal.SIGTERM, handler)
    root.handlers, root.level = handlers, level
    for package in ("conf", "etl", "trainer", "serving"):
        logging.getLogger(package).setLevel(logging.NOTSET)


@pytest.fixture
def yaml(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(MINIMAL)
    return path


def test_a_refusal_follows_what_was_made(yaml: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended:
        run_command(yaml, None, False, False, refuse)

    out, err = capsys.readouterr()
    assert ended.value.exit_code == 5
    assert "1,234" in out and "bot 234" in out
    (row,) = [line for line in out.splitlines() if "short_lists" in line]
    assert [cell.strip() for cell in row.strip("│").split("│")] == ["short_lists", "0.5", "refused"]
    assert err.splitlines()[-1] == "headrace: lists are not published"


def test_a_refusal_as_json_is_one_object_with_the_error(
    yaml: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as ended:
        run_command(yaml, None, True, False, refuse)

    result = json.loads(capsys.readouterr().out)
    assert ended.value.exit_code == 5
    assert (result["status"], result["error"]) == ("refused", "lists are not published")
    assert result["etl"]["ledger"]["events"]["rows_kept"] == 1000 and "train" not in result


@pytest.mark.parametrize("verbose", [False, True])
def test_a_record_is_one_line_where_nobody_watches(verbose: bool) -> None:
    code = (
        "import logging\n"
        "from conf.command.running import _log_to_stderr\n"
        f"_log_to_stderr({verbose})\n"
        "logging.getLogger('etl').warning('etl: %s\\n  %s', 'word ' * 60, 'of two lines')\n"
        "logging.getLogger('etl').info('[bold] %s', 'x' * 300)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    first, second = done.stderr.splitlines()
    assert first.endswith(f"etl: {'word ' * 60}of two lines")
    assert second.endswith(f"[bold] {'x' * 300}")
    assert ("WARNING" in first) is verbose


def test_the_cause_of_an_error_in_the_log_keeps_its_lines() -> None:
    from conf.command.running import _OneLine

    try:
        raise ValueError("cause")
    except ValueError:
        record = logging.LogRecord("etl", logging.ERROR, "", 0, "a\nb", None, sys.exc_info())
    told = _OneLine("%(message)s").format(record).splitlines()
    assert told[0] == "a b" and told[-1] == "ValueError: cause" and len(told) > 3


def test_nothing_that_is_printed_changes_the_direction_of_the_text() -> None:
    turned = "title\u202egnp.exe\u2066 \u200f\u061c"
    assert printable({turned: [turned]}) == {
        "title\\u202egnp.exe\\u2066 \\u200f\\u061c": ["title\\u202egnp.exe\\u2066 \\u200f\\u061c"]
    }


def test_a_stop_that_a_destructor_swallows_is_not_lost() -> None:
    """Python prints what is raised in a destructor, and goes on."""

    class Interrupted:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            for _ in range(1000):  # the handler runs here
                pass

    with pytest.raises(typer.Exit) as stopped, stoppable():
        one = Interrupted()
        del one
        while True:
            time.sleep(0.01)

    assert stopped.value.exit_code == 128 + signal.SIGTERM
