"""Ids of items in files of the shop, in the form in which the dataset has them."""

from collections.abc import Callable
from unicodedata import normalize

from conf.contract import Manifest
from conf.privacy.keys import require_keys
from conf.privacy.sealing import pseudonym, trimmed
from conf.settings.config import Config

_DOMAIN = "item"


def has_labels(manifest: Manifest) -> bool:
    """Return whether the dataset has labels in place of the ids of items."""
    privacy = manifest.privacy
    return privacy is not None and privacy.mode == "pseudonymise" and "items" in privacy.ids


def as_in_dataset(config: Config, manifest: Manifest) -> Callable[[str], str]:
    """Return a function that takes an id as in the log and returns it as in the dataset.

    Raises:
        ConfigError: When the dataset has labels, and there is no key.
    """
    clean = (manifest.config.get("etl") or {}).get("clean") or {}
    label = None
    if has_labels(manifest) and manifest.privacy is not None:
        keys = require_keys(config.privacy, "reading ids of items for the rules of lists")
        key, tenant = keys.label, manifest.privacy.tenant

        def label(text: str) -> str:
            return pseudonym(key, tenant, _DOMAIN, text)

    def converted(text: str) -> str:
        if clean.get("trim_ids"):
            text = trimmed(text)
        if clean.get("id_normal_form") == "nfc":
            text = normalize("NFC", text)
        return text if label is None else label(text)

    return converted
