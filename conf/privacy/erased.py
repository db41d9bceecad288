"""Keyed hashes of erased users: if their rows are delivered again, they are dropped."""

from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from conf.errors import ConfigError
from conf.privacy.keys import Keys
from conf.workspace.folders import PRIVATE, close_to_others, own_folder
from conf.workspace.json_files import is_there, read_record, write_json

FOLDER = "erased"
_NAME = "hashes.json"


class _Stored(BaseModel):
    """Contents of `erased/hashes.json`."""

    model_config = ConfigDict(extra="forbid")

    key_id: str
    hashes: tuple[str, ...]


def erased_folder(workspace: Path) -> Path:
    """Return the folder of hashes and receipts; create it if necessary."""
    folder = own_folder(workspace / FOLDER, PRIVATE)
    close_to_others(folder)  # earlier releases left the files in it open
    return folder


def has_erased(workspace: Path) -> bool:
    """Return whether anybody was erased from this workspace."""
    return is_there(workspace / FOLDER / _NAME)


def read_erased(workspace: Path, keys: Keys) -> frozenset[str]:
    """Return the hashes of all erased users.

    Raises:
        ConfigError: When the hashes were made with another key.
        VersionError: When the file is damaged: without it, erased users would come back.
    """
    if not has_erased(workspace):
        return frozenset()
    path = workspace / FOLDER / _NAME
    stored = read_record(path, _Stored)
    if stored.key_id != keys.key_id:
        raise ConfigError(
            f"{path} was made with the key {stored.key_id!r}, but the configured one is "
            f"{keys.key_id!r}, which cannot recognise the erased users; configure the first key, "
            "or remove the file and erase those users again"
        )
    return frozenset(stored.hashes)


def add_erased(workspace: Path, keys: Keys, hashes: Iterable[str]) -> None:
    """Add hashes to those of the erased users."""
    together = read_erased(workspace, keys).union(hashes)
    stored = {"key_id": keys.key_id, "hashes": sorted(together)}
    write_json(erased_folder(workspace) / _NAME, stored, private=True)
