"""Whether a version protects people as the configuration says, before it is published or used."""

import logging
import re
from pathlib import Path
from typing import Any

import pyarrow as pa

from conf.contract import MANIFEST_NAME, MANIFESTS, USER_ID, ListsManifest, Manifest
from conf.errors import VersionError
from conf.privacy.keys import load_keys
from conf.settings.config import Config
from conf.settings.privacy import Privacy
from conf.workspace.json_files import read_checked
from conf.workspace.parquet import read_columns

log = logging.getLogger(__name__)

_LABEL = re.compile(r"[0-9a-f]{32}")
_SAMPLED_ROWS = 1_000


def require_protected(config: Config, kind: str, version: str, to_do: str) -> None:
    """Refuse a version that shows more of people than the configuration allows.

    Lists and models are judged by the ids in them, datasets also by the rules of fields.

    Args:
        config: The run's configuration.
        kind: datasets, models or lists.
        version: Id of a committed version.
        to_do: What else to do, the end of the error message.

    Raises:
        VersionError: When it does; the message names the setting.
    """
    weaker = weaker_setting(config, kind, version)
    if weaker is None:
        return
    key, told = weaker
    raise VersionError(
        f"{kind}/{version} was made {told}; {to_do}, or add {key} to the command if it may be used "
        "and published as it is"
    )


def weaker_setting(config: Config, kind: str, version: str) -> tuple[str, str] | None:
    """Return the override that allows a version, and how the version differs; None: it fits."""
    workspace = Path(config.run.output)
    own = workspace / kind / version / MANIFEST_NAME[kind]
    if not own.is_file():
        return None  # whoever reads the version says so
    manifest = read_checked(own, MANIFESTS[kind])
    path = workspace / "datasets" / manifest.get("dataset_id", version) / MANIFEST_NAME["datasets"]
    origin = read_checked(path, MANIFESTS["datasets"]) if path.is_file() else manifest
    there: dict[str, Any] = origin["config"].get("privacy") or {}
    found = _weaker_ids(config.privacy, there)
    if found is None and kind == "lists" and not path.is_file():
        found = _raw_ids(config.privacy, workspace / kind / version, manifest)
    if found is None and kind == "datasets":
        found = _weaker_fields(config.privacy, there)
    return found


def warn_of_raw_ids(config: Config, lists_id: str) -> None:
    """Warn if lists that are shown have ids that the configuration would replace by labels."""
    weaker = weaker_setting(config, "lists", lists_id)
    if weaker is not None:
        log.warning("show: lists/%s was made %s; run headrace run", lists_id, weaker[1])


def other_key(config: Config, version: str) -> str | None:
    """Return the name of the key that made the labels in lists, if it is not the configured one.

    Args:
        config: The run's configuration.
        version: Id of committed lists; their dataset may be gone.

    Returns:
        None if the key is the same, if there are no labels, or if it is not known.
    """
    workspace, keys = Path(config.run.output), load_keys(config.privacy)
    lists = read_checked(workspace / "lists" / version / MANIFEST_NAME["lists"], ListsManifest)
    path = workspace / "datasets" / lists["dataset_id"] / MANIFEST_NAME["datasets"]
    if keys is None or not path.is_file():
        return None
    report = (read_checked(path, Manifest) or {}).get("privacy")
    if report is None or "users" not in report["ids"] or report["key_id"] is None:
        return None
    is_same = report.get("key_check") in (None, keys.check) and report["key_id"] == keys.key_id
    return None if is_same else str(report["key_id"])


def _weaker_ids(privacy: Privacy, there: dict[str, Any]) -> tuple[str, str] | None:
    if privacy.mode != "pseudonymise":
        return None
    labelled = there.get("ids", ()) if there.get("mode", "none") == "pseudonymise" else ()
    raw = [kind for kind in privacy.ids if kind not in labelled]
    if not raw:
        return None
    if not labelled:
        return "privacy.mode=none", (
            f"with privacy.mode=none and has the ids of {' and '.join(raw)} as they are in the "
            "log, but the configuration says privacy.mode=pseudonymise"
        )
    return f"privacy.ids=[{','.join(labelled)}]", (
        f"with privacy.ids=[{', '.join(labelled)}], but the configuration says "
        f"privacy.ids=[{', '.join(privacy.ids)}]"
    )


def _raw_ids(privacy: Privacy, folder: Path, manifest: dict[str, Any]) -> tuple[str, str] | None:
    """Judge lists whose dataset is gone by their first ids."""
    if privacy.mode != "pseudonymise" or "users" not in privacy.ids:
        return None
    for file in manifest["files"]["lists"][:1]:
        ids = read_columns(folder / file["path"], [USER_ID])[USER_ID].slice(0, _SAMPLED_ROWS)
        if not all(_LABEL.fullmatch(text) for text in ids.cast(pa.string()).to_pylist()):
            return "privacy.mode=none", (
                "from a dataset that is gone and has ids of users that are no labels, but the "
                "configuration says privacy.mode=pseudonymise"
            )
    return None


def _weaker_fields(privacy: Privacy, there: dict[str, Any]) -> tuple[str, str] | None:
    """Return which field had no rule, or which promise about anonymity was not made."""
    for table in ("events", "items", "users"):
        before = (there.get("columns") or {}).get(table) or {}
        for name, rule in getattr(privacy.columns, table).items():
            method = before.get(name, {}).get("method", "keep")
            if rule.method != "keep" and method == "keep":
                return f"privacy.columns.{table}.{name}.method=keep", (
                    f"without a rule for the field {name} of {table}, but the configuration says "
                    f"privacy.columns.{table}.{name}.method={rule.method}"
                )
    unhidden = set(privacy.quasi_identifiers) - set(there.get("quasi_identifiers") or ())
    if unhidden:
        return "privacy.quasi_identifiers=[]", (
            f"without {', '.join(sorted(unhidden))} in privacy.quasi_identifiers, which the "
            "configuration has there"
        )
    for key, least in (("k", 2), ("min_users_per_item", 1)):
        if key == "k" and not privacy.quasi_identifiers:
            continue
        was, now = there.get(key, least), getattr(privacy, key)
        if was < now:
            return f"privacy.{key}={was}", (
                f"with privacy.{key}={was}, but the configuration says privacy.{key}={now}"
            )
    return None
