import subprocess
import sys
from pathlib import Path

import pytest

from tests.packaging.checkout import CHECKOUT

STATUS = ("status", "--config", "conf/demo.yaml")


def run(shell: str, *more: str, workspace: Path) -> subprocess.CompletedProcess[str]:
    """Run the status of an empty workspace with its streams as in a line of bash."""
    words = [sys.executable, "-m", "conf.command.cli", *STATUS, *more, f"run.output={workspace}"]
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", f'"$@" {shell}', "bash", *words],
        cwd=CHECKOUT, text=True, capture_output=True,
    )  # fmt: skip


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_a_reader_that_leaves_ends_the_command_without_a_word(
    tmp_path: Path, more: tuple[str, ...]
) -> None:
    done = run("| true", *more, workspace=tmp_path)

    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_a_full_disk_below_stdout_is_one_line(tmp_path: Path, more: tuple[str, ...]) -> None:
    done = run("> /dev/full", *more, workspace=tmp_path)

    assert done.returncode == 74
    assert done.stderr == (
        "headrace: the result cannot be written to stdout: No space left on device; run again\n"
    )


def test_a_stderr_that_cannot_be_written_leaves_the_exit_code(tmp_path: Path) -> None:
    assert run("2> /dev/full", workspace=tmp_path).returncode == 0
    assert run("2> /dev/full", "no.such=1", workspace=tmp_path).returncode == 2
