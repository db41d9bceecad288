"""What the tests of this folder know about the checkout."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).parents[2]
PACKAGES = ("conf", "etl", "trainer", "serving")
BIN = Path(sys.executable).parent


def project() -> dict[str, Any]:
    return tomllib.loads((CHECKOUT / "pyproject.toml").read_text())


def package_files(pattern: str) -> list[Path]:
    """Return the packages' files that match, without what running them leaves."""
    return sorted(
        path
        for package in PACKAGES
        for path in (CHECKOUT / package).rglob(pattern)
        if path.is_file() and "__pycache__" not in path.parts
    )


def copy_of_checkout(folder: Path) -> Path:
    """Copy what a wheel is built from, so that nothing is written to the checkout."""
    folder.mkdir(exist_ok=True)
    for name in ("pyproject.toml", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE"):
        shutil.copy(CHECKOUT / name, folder)
    for package in (*PACKAGES, "docs"):
        shutil.copytree(
            CHECKOUT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    return folder


def call(
    *command: str | Path, cwd: Path = CHECKOUT, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command outside of any make that runs the tests, and return how it ended."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    return subprocess.run(
        [str(part) for part in command], cwd=cwd, env={**inherited, **environment},
        text=True, capture_output=True, check=False,
    )  # fmt: skip
