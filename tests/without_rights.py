"""Run Python as somebody for whom the mode bits of files count, which they do not for root."""

import os
import shutil
import subprocess
import sys

import pytest

from tests.packaging.checkout import CHECKOUT

_SETPRIV = ["setpriv", "--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all",
            "--no-new-privs"]  # fmt: skip


def run_without_rights(code: str, *arguments: str) -> str:
    """Return what a program prints; fail if it fails."""
    is_root = os.geteuid() == 0
    if is_root and shutil.which("setpriv") is None:
        pytest.skip("root without setpriv reads everything")
    done = subprocess.run(
        [*(_SETPRIV if is_root else []), sys.executable, "-c", code, *arguments],
        cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout
