"""Names of input files: they may hold ids of users, as in `user=ID/part.csv`.

With pseudonyms, a name in all that a run writes is `file-`, the number of the file in the order of
their names, and a keyed hash. Whoever has the key can find a file by its hash, and open the
encrypted names in a dataset's manifest.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping

from conf.contract import Manifest
from conf.privacy.keys import Keys, key_of, require_keys
from conf.privacy.sealing import pseudonym, seal, unseal
from conf.settings.privacy import Privacy

_DOMAIN, _HASH_CHARS, _LEAST_DIGITS = "file", 16, 6
_ERASED_NAME = re.compile(r"erased-(\d+)")


def hiding_keys(privacy: Privacy) -> Keys | None:
    """Return the keys that hide the names of files, None if they are not hidden.

    Raises:
        ConfigError: When they are hidden and there is no key.
    """
    if privacy.mode != "pseudonymise":
        return None
    return require_keys(privacy, f"privacy.mode={privacy.mode!r}")


def hidden_name(name: str, keys: Keys) -> str:
    """Return what stands for the name of a file that has no number."""
    return f"file-{_hashed(name, keys)}"


def hidden_names(names: Iterable[str], keys: Keys) -> dict[str, str]:
    """Return what stands for each name; the order stays, because it can be a part of time."""
    ordered = sorted(set(names))
    digits = max(_LEAST_DIGITS, len(str(len(ordered))))
    return {
        name: f"file-{number:0{digits}d}-{_hashed(name, keys)}"
        for number, name in enumerate(ordered, start=1)
    }


def sealed_names(names: Mapping[str, str], keys: Keys) -> dict[str, str]:
    """Return the names of files, encrypted.

    Args:
        names: The names by what stands for them.
        keys: The keys.
    """
    cipher = keys.cipher()
    return {
        hidden: seal(cipher, keys.nonce, name, (_DOMAIN, hidden))
        for hidden, name in sorted(names.items())
    }


def names_of_files(manifest: Manifest, keys: Keys | None) -> dict[str, str]:
    """Return the names of a dataset's input files by what stands for them; {} if nothing does.

    Raises:
        ConfigError: When they are encrypted with another key.
    """
    report = manifest.privacy
    if report is None or not report.file_names:
        return {}
    cipher = key_of(report, keys, f"the names of files in {manifest.id} are").cipher()
    return {hidden: unseal(cipher, sealed) for hidden, sealed in report.file_names.items()}


def erased_names(names: Collection[str], is_held: Callable[[str], bool]) -> dict[str, str]:
    """Return new names for the files whose names hold an erased id.

    Args:
        names: The names of all files.
        is_held: Whether a name holds one of the ids.
    """
    used = [int(found[1]) for found in map(_ERASED_NAME.fullmatch, names) if found is not None]
    held = sorted(filter(is_held, names))
    return {name: f"erased-{n}" for n, name in enumerate(held, start=max(used, default=0) + 1)}


def _hashed(name: str, keys: Keys) -> str:
    return pseudonym(keys.label, keys.tenant, _DOMAIN, name)[:_HASH_CHARS]
