"""The command itself: help, version, completion, and what it imports for them."""

import subprocess
import sys
from pathlib import Path

import pytest

import conf
from conf.command.manual import manual_address
from tests.packaging.checkout import BIN, CHECKOUT, call

HEAVY = {"conf.settings.config", "conf.runs", "omegaconf", "pyarrow", "numpy", "ray", "torch"}
GROUPS = {
    "The pipeline, from the log to the lists": {"etl", "train", "score", "run"},
    "Look at results": {"show", "status", "evaluate", "outcome", "predict", "card"},
    "Choose a model": {"advise", "compare", "tune"},
    "Manage the workspace": {"deliver", "promote", "rollback", "gc", "erase", "generate"},
}


def imported_by(*args: str) -> set[str]:
    code = (
        "import sys\n"
        "from conf.command.cli import app\n"
        f"app({list(args)}, standalone_mode=False)\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    return set(done.stderr.split())


@pytest.mark.parametrize("args", [("--help",), ("etl", "--help"), ("--version",)])
def test_help_and_version_import_nothing_heavy(args: tuple[str, ...]) -> None:
    assert imported_by(*args) & HEAVY == set()


def test_status_starts_no_engine(tmp_path: Path) -> None:
    arguments = ("status", "--config", "conf/demo.yaml", f"run.output={tmp_path}")
    assert imported_by(*arguments) & {"ray", "torch", "pyspark", "petastorm"} == set()


def test_help_has_the_subcommands_in_groups_and_ends_with_the_manual() -> None:
    lines = call(BIN / "headrace", "--help", COLUMNS="300", NO_COLOR="1").stdout.splitlines()
    found: dict[str, set[str]] = {}
    group = ""
    for line in lines:
        if line.startswith("╭"):
            group = line.strip("╭╮─ ")
        elif line.startswith("│") and group in GROUPS:
            found.setdefault(group, set()).add(line.strip("│ ").split()[0])
    assert found == GROUPS
    assert [line for line in lines if line.strip()][-1].strip() == f"Manual: {manual_address()}"
    assert Path(manual_address()).is_file()


def test_version_is_that_of_the_package() -> None:
    assert call(BIN / "headrace", "--version").stdout == f"headrace {conf.__version__}\n"


def test_the_shell_completes_subcommands_and_flags() -> None:
    def completed(words: str, number: int) -> set[str]:
        done = call(
            BIN / "headrace",
            _HEADRACE_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=str(number),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return set(done.stdout.split())

    assert completed("headrace ", 1) == set().union(*GROUPS.values())
    assert completed("headrace e", 1) == {"etl", "evaluate", "erase"}
    assert {"--config", "--date", "--json"} <= completed("headrace etl --", 2)


def test_an_unknown_subcommand_is_wrong_usage() -> None:
    done = call(BIN / "headrace", "elt", NO_COLOR="1")
    assert done.returncode == 2
    assert "elt" in done.stderr
