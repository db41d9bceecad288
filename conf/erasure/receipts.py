"""What an erasure has removed: a journal while it runs, a signed receipt at its end."""

import hmac
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from conf.contract import PrivacyReport
from conf.errors import ConfigError, VersionError
from conf.privacy.erased import JOURNAL, erased_folder, erased_mark, message_of
from conf.privacy.keys import Keys, sign
from conf.privacy.learned import Learned
from conf.workspace.json_files import is_there, read_record, write_json


class Receipt(BaseModel):
    """Contents of a receipt; it names users by keyed hashes only."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    erased_at: str
    """Time of the receipt, ISO 8601 in UTC."""
    key_id: str
    users: tuple[str, ...]
    """Hashes of all users that were to be erased."""
    found: tuple[str, ...]
    """Hashes of the users that at least one dataset contained."""
    removed: dict[str, dict[str, int]]
    """Numbers by folder and part: removed rows; for a model, zeroed rows and samples removed from
    its card; for encoders and fills, values that nobody else had; users whose combination of
    quasi-identifiers was emptied, because too few others have it now."""
    anonymity: dict[str, dict[str, int | None]] = {}
    """By dataset that promises anonymity: its figures after the erasure."""
    learned_from_erased: dict[str, Learned] = {}
    """Models whose weights learned from erased users, of this or an earlier erasure, and stay as
    they were: yes, or unknown if the dataset is gone."""
    targets_gone: dict[str, str] = {}
    """Names of targets of lists, by place, that were not reached, as they are gone for good."""
    signature: str = ""
    """HMAC-SHA256 over all of the above."""


class _Noted(BaseModel):
    """Contents of the journal."""

    model_config = ConfigDict(extra="forbid")

    users: tuple[str, ...]
    found: tuple[str, ...]
    removed: dict[str, dict[str, int]]
    anonymity: dict[str, dict[str, int | None]] = {}
    labels: tuple[str, ...] = ()
    """Labels of the users that only tables of identities knew, for targets of lists that were down
    when these tables lost them."""
    targets: dict[str, str] = {}
    """Places that may still hold lists of the users, with the names of the targets; see
    `conf.settings.publishing.places.place_key`."""
    targets_gone: dict[str, str] = {}
    """Those of `targets` that were given up."""
    erased_before: str = ""
    """Mark of the users who had been erased when this erasure began."""


class Journal:
    """What was removed so far, stored on disk, so a repeated run adds to it."""

    def __init__(self, workspace: Path, users: frozenset[str]) -> None:
        """Read the journal of an interrupted run, if there is one; nothing is written yet.

        Raises:
            ConfigError: When an interrupted erasure has users that are missing here.
            VersionError: When the journal is damaged.
        """
        self.path = erased_folder(workspace) / JOURNAL
        self.users, self.found = users, set[str]()
        self.removed: dict[str, dict[str, int]] = {}
        self.anonymity: dict[str, dict[str, int | None]] = {}
        self.labels = set[str]()
        self.targets, self.targets_gone = dict[str, str](), dict[str, str]()
        self.erased_before = erased_mark(workspace, is_erasure=True)
        self.models: dict[str, Learned] = {}
        if is_there(self.path):
            earlier = read_record(self.path, _Noted)
            if not users.issuperset(earlier.users):
                raise ConfigError(
                    f"{self.path}: an erasure of {len(earlier.users)} users was interrupted; "
                    "run it again with its own file and key, or a file that names those users too"
                )
            self.found, self.removed = set(earlier.found), earlier.removed
            self.anonymity, self.labels = earlier.anonymity, set(earlier.labels)
            self.targets, self.targets_gone = earlier.targets, earlier.targets_gone
            self.erased_before = earlier.erased_before

    def begin(self) -> None:
        """Open the erasure: from now on it counts as interrupted until `close`."""
        self._write()

    def add(self, folder: str, rows: dict[str, int]) -> None:
        """Note what is about to be removed; if a part is noted twice, the larger count is kept.

        A run that continues a killed one finds fewer rows than the killed one did.
        """
        earlier = self.removed.get(folder, {})
        most = {part: max(count, earlier.get(part, 0)) for part, count in rows.items()}
        self.removed[folder] = {part: count for part, count in most.items() if count}
        self._write()

    def add_found(self, hashes: set[str]) -> None:
        """Note users that a dataset contains."""
        self.found |= hashes
        self._write()

    def add_labels(self, labels: Iterable[str]) -> None:
        """Note labels of the users, before the tables of identities lose them."""
        self.labels |= set(labels)
        self._write()

    def add_targets(self, places: Mapping[str, str]) -> None:
        """Note places that may hold lists of the users, with the names of the targets."""
        self.targets |= places
        self._write()

    def reached(self, places: Iterable[str]) -> None:
        """Note that places hold no lists of the users any more."""
        for place in places:
            self.targets.pop(place, None)
        self._write()

    def give_up(self, places: Mapping[str, str]) -> None:
        """Note places that no erasure will reach, with the names of the targets."""
        self.targets_gone |= places
        self.reached(places)

    def result(self, status: str) -> dict[str, Any]:
        """Return the result of the erasure so far, with what became of it."""
        return {
            "stage": "erase",
            "status": status,
            "users": len(self.users),
            "found": len(self.found),
            "not_found": len(self.users) - len(self.found),
            "removed": self.removed,
            "anonymity": self.anonymity,
            "learned_from_erased": self.models,
            "targets_gone": self.targets_gone,
        }

    def add_anonymity(self, folder: str, report: PrivacyReport | None) -> None:
        """Note the figures about anonymity of a dataset after the erasure, if it promises any."""
        if report is None:
            return
        found: dict[str, int | None] = {}
        if report.k_asked is not None:
            found |= {"k_asked": report.k_asked, "k_reached": report.k_reached}
        if report.min_users_per_item > 1:
            found["min_users_per_item"] = report.min_users_per_item
            found["items_of_few_users"] = report.items_of_few_users
        if found:
            self.anonymity[folder] = found
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
            anonymity=self.anonymity,
            learned_from_erased=self.models,
            targets_gone=self.targets_gone,
        )
        signed = receipt.model_copy(update={"signature": sign(keys, _message(receipt))})
        name = f"receipt-{now:%Y%m%dT%H%M%SZ}-{signed.signature[:8]}.json"
        # Its signature is its checksum.
        content = signed.model_dump(mode="json")
        write_json(self.path.with_name(name), content, sealed=False, private=True)
        self.path.unlink()
        return self.path.with_name(name)

    def _write(self) -> None:
        state = {
            "users": sorted(self.users),
            "found": sorted(self.found),
            "removed": self.removed,
            "anonymity": self.anonymity,
            "labels": sorted(self.labels),
            "targets": self.targets,
            "targets_gone": self.targets_gone,
            "erased_before": self.erased_before,
        }
        write_json(self.path, state, private=True)


def is_genuine(receipt: Path, keys: Keys) -> bool:
    """Return whether a receipt was written with this key and has not been changed since."""
    try:
        found = read_record(receipt, Receipt)
    except VersionError:
        return False
    return hmac.compare_digest(found.signature.encode(), sign(keys, _message(found)).encode())


def _message(receipt: Receipt) -> bytes:
    return message_of(receipt.model_dump(mode="json"))
