"""Ids as they are in the log, and what stands for them in a dataset."""

from collections.abc import Callable
from typing import Literal
from unicodedata import normalize

from conf.contract import Manifest
from conf.privacy.keys import Keys, load_keys, require_keys
from conf.privacy.sealing import pseudonym, trimmed
from conf.settings.config import Config

Kind = Literal["user", "item"]


def has_labels(manifest: Manifest, kind: Kind) -> bool:
    """Return whether the dataset has labels in place of the ids of users or items."""
    return manifest.privacy is not None and f"{kind}s" in manifest.privacy.ids


def as_in_dataset(
    config: Config, manifest: Manifest, kind: Kind, what: str
) -> Callable[[str], str]:
    """Return a function that takes an id as in the log and returns it as in the dataset.

    Args:
        config: Names the key.
        manifest: The dataset.
        kind: Whose ids.
        what: What is read with it; the beginning of the error message.

    Raises:
        ConfigError: When the dataset has labels, and there is no key.
    """
    keys = require_keys(config.privacy, what) if has_labels(manifest, kind) else None
    clean = (manifest.config.get("etl") or {}).get("clean") or {}

    def converted(text: str) -> str:
        if clean.get("trim_ids"):
            text = trimmed(text)
        if clean.get("id_normal_form") == "nfc":
            text = normalize("NFC", text)
        return text if keys is None else _label(manifest, keys, kind, text)

    return converted


def as_files_name_them(
    config: Config, manifest: Manifest, kind: Kind, what: str
) -> Callable[[str], str]:
    """Return the same as `as_in_dataset`; without a key, files have to name the labels."""
    if has_labels(manifest, kind) and load_keys(config.privacy) is None:
        return str
    return as_in_dataset(config, manifest, kind, what)


def forms_in_dataset(config: Config, manifest: Manifest, kind: Kind, text: str) -> list[str]:
    """Return what may stand for an id in a dataset, the most likely form last.

    It is the text itself, in case it is a label, and the labels of all configured keys.
    """
    keys = load_keys(config.privacy) if has_labels(manifest, kind) else None
    if keys is None:
        return [text]
    return [text, *(_label(manifest, key, kind, text) for key in reversed(keys.all()))]


def _label(manifest: Manifest, key: Keys, kind: Kind, text: str) -> str:
    assert manifest.privacy is not None  # there are labels
    return pseudonym(key.label, manifest.privacy.tenant, kind, text)
