"""How a run protects people: its keys, the erased users, its part in a dataset's request."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conf.contract import Manifest
from conf.errors import ConfigError
from conf.privacy.erased import ErasedUsers, has_erased, read_erased
from conf.privacy.keys import Keys, load_keys, require_keys
from conf.settings.config import Config
from conf.settings.privacy import Privacy
from conf.workspace.folders import manifests_of
from conf.workspace.json_files import read_record

_NOT_THE_KEY = {"key", "key_file", "key_id", "former_keys", "former_key_files"}


@dataclass(frozen=True)
class Protection:
    """How the ETL protects the people in a log."""

    privacy: Privacy
    keys: Keys | None = None
    erased: tuple[ErasedUsers, ...] = ()
    """Keyed hashes of erased users, by key; their rows are dropped."""

    @property
    def has_pseudonyms(self) -> bool:
        """Whether labels replace ids, and texts in quarantine are encrypted."""
        return self.privacy.mode == "pseudonymise"

    @property
    def hides_texts(self) -> bool:
        """Whether no text of an event may be shown as the log has it."""
        return self.has_pseudonyms or bool(self.privacy.columns.events)


UNPROTECTED = Protection(Privacy())


def protection_of(config: Config) -> Protection:
    """Return how a run protects people.

    Raises:
        ConfigError: When it needs a key and there is none, or another one than before.
    """
    privacy, workspace = config.privacy, Path(config.run.output)
    if has_erased(workspace):
        keys = require_keys(privacy, f"recognising the users that were erased from {workspace}")
        return Protection(privacy, keys, read_erased(workspace, keys))
    if privacy.needs_key:
        why = f"privacy.mode={privacy.mode!r} or a method pseudonym or encrypt in privacy.columns"
        return Protection(privacy, require_keys(privacy, why))
    return Protection(privacy, load_keys(privacy))


def request_part(config: Config) -> list[Any]:
    """Return the part of a dataset's request that is about privacy; empty without protection."""
    section = config.privacy.model_dump(mode="json", exclude=_NOT_THE_KEY)
    protection = protection_of(config)
    if section == Privacy().model_dump(mode="json", exclude=_NOT_THE_KEY) and not protection.erased:
        return []
    key_id = protection.keys.key_id if protection.keys is not None else None
    erased = sorted(text for users in protection.erased for text in users.hashes)
    return [section, key_id, erased]


def require_own_key_id(workspace: Path, keys: Keys | None) -> None:
    """Refuse a key that has the name of another one, which made a dataset of the workspace.

    Raises:
        ConfigError: When there is such a dataset.
    """
    if keys is None:
        return
    for path in manifests_of(workspace, "datasets"):
        report = read_record(path, Manifest).privacy
        if report is None or report.key_id != keys.key_id:
            continue
        if report.key_check not in (None, keys.check):
            raise ConfigError(
                f"privacy.key_id={keys.key_id!r} is the name of another key, which made the "
                f"dataset {path.parent.name}; give the new key another privacy.key_id (null makes "
                "one from the key)"
            )
