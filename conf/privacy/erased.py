"""Keyed hashes of erased users: if their rows are delivered again, they are dropped.

Without the ids nobody can hash them again with another key. So when the key changes, the hashes of
each key stay next to each other, and the former keys stay configured.
"""

import hmac
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from conf.errors import ConfigError
from conf.privacy.keys import Keys, sign
from conf.workspace.folders import PRIVATE, close_to_others, listed, own_folder
from conf.workspace.hashes import canonical_hash
from conf.workspace.json_files import is_there, read_json, read_record, write_json

FOLDER = "erased"
_NAME = "hashes.json"
RECEIPTS = "receipt-*.json"
JOURNAL = "journal.json"
_LATER = ("anonymity", "learned_from_erased", "targets_gone")
"""Fields that receipts of earlier releases lack: signed only if they are not empty."""


@dataclass(frozen=True, repr=False)  # no key in a traceback
class ErasedUsers:
    """Erased users whose ids were hashed with one key."""

    key: bytes
    hashes: frozenset[str]


class _Entry(BaseModel):
    """Hashes that were made with one key; all of `erased/hashes.json` in earlier releases."""

    model_config = ConfigDict(extra="forbid")

    key_id: str
    key_check: str | None = None
    hashes: tuple[str, ...]


class _Stored(BaseModel):
    """Contents of `erased/hashes.json`."""

    model_config = ConfigDict(extra="forbid")

    keys: tuple[_Entry, ...]


def erased_folder(workspace: Path) -> Path:
    """Return the folder of hashes and receipts; create it if necessary."""
    folder = own_folder(workspace / FOLDER, PRIVATE)
    close_to_others(folder)  # earlier releases left the files in it open
    return folder


def has_erased(workspace: Path) -> bool:
    """Return whether anybody was erased from this workspace."""
    return is_there(workspace / FOLDER / _NAME)


def erasure_is_open(workspace: Path) -> bool:
    """Return whether an erasure was interrupted, or runs now."""
    return is_there(workspace / FOLDER / JOURNAL)


def erased_mark(workspace: Path, *, is_erasure: bool = False) -> str:
    """Return a hash of the set of erased users, 16 hexadecimal digits; "" if nobody was erased.

    While an erasure is open, the hash differs from those before and after it: lists may still have
    its users, so a version that is delivered then is delivered again.

    Args:
        workspace: Folder of the workspace.
        is_erasure: Whether the erasure itself asks; then it is the hash after its end.

    Raises:
        VersionError: When the file of the hashes is damaged.
    """
    entries = _entries(workspace / FOLDER / _NAME)
    hashes = sorted({one for entry in entries for one in entry.hashes})
    is_open = not is_erasure and erasure_is_open(workspace)
    return canonical_hash([hashes, is_open])[:16] if hashes or is_open else ""


def read_erased(workspace: Path, keys: Keys) -> tuple[ErasedUsers, ...]:
    """Return the hashes of all erased users, by the key that made them.

    Raises:
        ConfigError: When hashes were made with a key that is not configured, or by a key that has
            the name of another one.
        VersionError: When the file is damaged: without it, erased users would come back.
    """
    path = workspace / FOLDER / _NAME
    found = []
    for entry in _entries(path):
        key = _key_of(entry, keys, path.parent)
        if entry.key_id == keys.key_id and key is not keys:
            raise ConfigError(
                f"{path} was made with another key that is called {keys.key_id!r} too, so nobody "
                "could tell them apart; give the new key another privacy.key_id (null makes one "
                "from the key), and name the other one in privacy.former_key_files or "
                "privacy.former_keys"
            )
        if key is None:
            raise ConfigError(
                f"{path} was made with the key {entry.key_id!r}, but the configured one is "
                f"{keys.key_id!r}, which cannot recognise the erased users; name the first key in "
                "privacy.former_key_files or privacy.former_keys"
            )
        found.append(ErasedUsers(key.erased, frozenset(entry.hashes)))
    return tuple(found)


def add_erased(workspace: Path, keys: Keys, hashes: Iterable[str]) -> None:
    """Add hashes that were made with the current key to those of the erased users."""
    read_erased(workspace, keys)  # refuses keys that do not fit
    path = erased_folder(workspace) / _NAME
    entries = _entries(path)
    others = [entry.model_dump() for entry in entries if entry.key_id != keys.key_id]
    own = [entry.hashes for entry in entries if entry.key_id == keys.key_id]
    together = sorted(set(hashes).union(*own))
    entry = {"key_id": keys.key_id, "key_check": keys.check, "hashes": together}
    write_json(path, {"keys": [*others, entry]}, private=True)


def _entries(path: Path) -> tuple[_Entry, ...]:
    """Return the hashes by key; a file of an earlier release has those of one key, unchecked."""
    if not is_there(path):
        return ()
    if "keys" in read_json(path):
        return read_record(path, _Stored).keys
    return (read_record(path, _Entry),)


def _key_of(entry: _Entry, keys: Keys, folder: Path) -> Keys | None:
    """Return the configured key that made an entry, or None.

    Earlier releases stored its name alone. Then it is the key that signed the receipts.
    """
    if entry.key_check is not None:
        return next((key for key in keys.all() if key.check == entry.key_check), None)
    receipts = [read_json(path) for path in listed(folder, RECEIPTS)]
    named = [receipt for receipt in receipts if receipt.get("key_id") == entry.key_id]
    for key in keys.all():
        if any(_has_signed(key, receipt) for receipt in named):
            return key
        if not named and key.key_id == entry.key_id:
            return key
    return None


def _has_signed(key: Keys, receipt: dict[str, Any]) -> bool:
    return hmac.compare_digest(str(receipt.get("signature")), sign(key, message_of(receipt)))


def message_of(receipt: Mapping[str, Any]) -> bytes:
    """Return what is signed of a receipt of an erasure: all of it that is not empty or always was.

    Args:
        receipt: As it is in the file.
    """
    content = {
        name: value
        for name, value in receipt.items()
        if name != "signature" and (value or name not in _LATER)
    }
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
