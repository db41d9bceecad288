"""An environment of its own for RecBole, which needs older packages than ours."""

import os
import subprocess
import sys
import venv
from pathlib import Path

PEER = "recbole==1.2.1"
TORCH = "torch==2.13.0"
NEEDED = (
    "numpy==1.26.4", "scipy==1.11.4", "pandas==2.1.4", "tqdm", "colorlog==4.7.2",
    "colorama==0.4.4", "scikit-learn", "pyyaml", "tensorboard", "thop", "tabulate", "plotly",
    "texttable", "psutil",
)  # fmt: skip
"""What it imports, in releases that it works with. It also asks for an old Ray, which only its
tuning and its quick start import."""
NEWEST_PYTHON = (3, 12)
"""These releases have no wheels for a newer one."""


def environment() -> Path:
    """Return the Python of the environment, which is made in the user's cache if it is not there.

    Raises:
        RuntimeError: When this Python is too new for it.
    """
    if sys.version_info[:2] > NEWEST_PYTHON:
        raise RuntimeError(
            f"{PEER} works with releases of NumPy and pandas that have no wheels for this Python "
            f"{sys.version_info[0]}.{sys.version_info[1]}; run the benchmark with Python "
            f"{NEWEST_PYTHON[0]}.{NEWEST_PYTHON[1]} or an older one"
        )
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "headrace-bench" / PEER.replace("==", "-")
    python, ready = folder / "bin" / "python", folder / ".ready"
    if not ready.is_file():
        venv.create(folder, clear=True, with_pip=True)
        _install(python, TORCH)
        _install(python, *NEEDED)
        _install(python, "--no-deps", PEER)
        ready.touch()
    return python


def _install(python: Path, *packages: str) -> None:
    quiet = ("--quiet", "--disable-pip-version-check")
    subprocess.run([python, "-m", "pip", "install", *quiet, *packages], check=True)
