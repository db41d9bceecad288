"""What an erasure has removed: a journal while it goes on, a signed receipt when it is done."""

import hmac
import json
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from conf.errors import ConfigError
from conf.privacy.erased import erased_folder
from conf.privacy.keys import Keys, sign
from conf.workspace.versions import write_json

_JOURNAL = "journal.json"


class Receipt(BaseModel):
    """Contents of a receipt; users are there as keyed hashes alone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    erased_at: str
    """ISO 8601 in UTC."""
    key_id: str
    users: tuple[str, ...]
    """Hashes of all that were to be erased."""
    found: tuple[str, ...]
    """Hashes of those that some dataset held."""
    removed: dict[str, dict[str, int]]
    """Rows by part, for each folder that they were removed from; for a model, rows zeroed and
    samples cut out of its card; for encoders and fills, values that nobody else had."""
    signature: str = ""
    """HMAC-SHA256 over all of the above."""


class Journal:
    """What is removed so far, kept on disk, so that a repeated run adds to it."""

    def __init__(self, workspace: Path, users: frozenset[str]) -> None:
        """Take up the journal of an interrupted run, or begin one.

        Raises:
            ConfigError: When an erasure of others was interrupted, and is not among this one.
        """
        self.path = erased_folder(workspace) / _JOURNAL
        self.users, self.found = users, set[str]()
        self.removed: dict[str, dict[str, int]] = {}
        if self.path.is_file():
            earlier = json.loads(self.path.read_text())
            if not users.issuperset(earlier["users"]):
                raise ConfigError(
                    f"{self.path}: an erasure of {len(earlier['users'])} users was interrupted; "
                    "run it again with its own file, or with one that names them too"
                )
            self.found, self.removed = set(earlier["found"]), earlier["removed"]
        self._write()

    def add(self, folder: str, rows: dict[str, int]) -> None:
        """Note what is about to be removed; of a part noted twice the larger count stands.

        A run that goes on where one was killed finds less than that had found.
        """
        earlier = self.removed.get(folder, {})
        most = {part: max(count, earlier.get(part, 0)) for part, count in rows.items()}
        self.removed[folder] = {part: count for part, count in most.items() if count}
        self._write()

    def add_found(self, hashes: set[str]) -> None:
        """Note users that some dataset holds."""
        self.found |= hashes
        self._write()

    def close(self, keys: Keys) -> Path:
        """Turn the journal into a receipt and return its path."""
        now = datetime.now(UTC).replace(microsecond=0)
        receipt = Receipt(
            erased_at=now.isoformat().replace("+00:00", "Z"),
            key_id=keys.key_id,
            users=tuple(sorted(self.users)),
            found=tuple(sorted(self.found)),
            removed=self.removed,
        )
        signed = receipt.model_copy(update={"signature": sign(keys, _message(receipt))})
        name = f"receipt-{now:%Y%m%dT%H%M%SZ}-{signed.signature[:8]}.json"
        write_json(self.path.with_name(name), signed.model_dump(mode="json"))
        self.path.unlink()
        return self.path.with_name(name)

    def _write(self) -> None:
        state = {"users": sorted(self.users), "found": sorted(self.found), "removed": self.removed}
        write_json(self.path, state)


def is_genuine(receipt: Path, keys: Keys) -> bool:
    """Return whether a receipt was written with this key and not changed since."""
    found = Receipt.model_validate_json(receipt.read_bytes())
    return hmac.compare_digest(found.signature, sign(keys, _message(found)))


def _message(receipt: Receipt) -> bytes:
    content = receipt.model_dump(mode="json", exclude={"signature"})
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
