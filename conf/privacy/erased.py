"""Keyed hashes of erased users: if their rows are delivered again, they are dropped."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from conf.errors import ConfigError
from conf.privacy.keys import Keys
from conf.workspace.versions import write_json

FOLDER = "erased"
_NAME = "hashes.json"


def erased_folder(workspace: Path) -> Path:
    """Return the folder of hashes and receipts; create it if necessary."""
    folder = workspace / FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def has_erased(workspace: Path) -> bool:
    """Return whether anybody was erased from this workspace."""
    return (workspace / FOLDER / _NAME).is_file()


def read_erased(workspace: Path, keys: Keys) -> frozenset[str]:
    """Return the hashes of all erased users.

    Raises:
        ConfigError: When the hashes were made with another key.
    """
    if not has_erased(workspace):
        return frozenset()
    path = workspace / FOLDER / _NAME
    stored: dict[str, Any] = json.loads(path.read_text())
    if stored["key_id"] != keys.key_id:
        raise ConfigError(
            f"{path} was made with the key {stored['key_id']!r}, but the configured one is "
            f"{keys.key_id!r}, which cannot recognise the erased users; configure the first key, "
            "or remove the file and erase those users again"
        )
    return frozenset(stored["hashes"])


def add_erased(workspace: Path, keys: Keys, hashes: Iterable[str]) -> None:
    """Add hashes to those of the erased users."""
    together = read_erased(workspace, keys).union(hashes)
    stored = {"key_id": keys.key_id, "hashes": sorted(together)}
    write_json(erased_folder(workspace) / _NAME, stored)
