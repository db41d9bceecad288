"""Which values of a configuration are secrets, by their keys and by where they come from.

A value is a secret if its key is one (`privacy.key`; the address and the keys of a target of
`deliver`; a property of `spark.conf` whose name has a word such as secret or password), if it comes
from an environment variable whose name looks like that of a credential, or if it refers to a secret
key. Other values from the environment, such as paths, stay readable; in `spark.conf` they are
masked in saved configurations.
"""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel

from conf.masking.texts import MASK, masked, remember_secret

_WORDS = "secret|passw(or)?d|passphrase|pwd|token|credentials?"
_CREDENTIAL_NAME = re.compile(
    rf"(^|[^A-Za-z])(({_WORDS})|(api|access|private|secret|account|auth|encryption)?[-_.]?key)s?"
    r"([^A-Za-z]|$)",
    re.IGNORECASE,
)
_NO_SECRET = re.compile(r"(^|[^A-Za-z])(file|path|dir|folder|name|id|ids)$", re.IGNORECASE)
_SECRET_PROPERTY = re.compile(rf"{_WORDS}|(access|account)\.key|\.sas(\.|$)", re.IGNORECASE)
_FROM_VARIABLE = re.compile(r"\$\{oc\.env:\s*(\w+)")
_REFERENCE = re.compile(r"\$\{([A-Za-z_][\w.]*)\}")
_PASSWORD = re.compile(r"password\s*=\s*'?([^'&\s]+)", re.IGNORECASE)
_ALONE = re.compile(r"^\$\{[^${}]*\}$")
_KEY, _FORMER_KEYS, _SPARK = ("privacy", "key"), ("privacy", "former_keys"), ("spark", "conf")
_DELIVER = "deliver"
_OF_TARGETS = ("url", "access_key", "secret_key")

_masked_places: set[tuple[str, ...]] = set()
"""Keys of the configuration that was loaded last whose values are masked where it is saved."""


def is_credential_name(name: str) -> bool:
    """Return whether an environment variable of this name holds a secret itself.

    `SHOP_TOKEN`, `DB_PASSWORD` and `HEADRACE_KEY` do; `HEADRACE_KEY_FILE` and `KEY_ID` do not.
    """
    return bool(_CREDENTIAL_NAME.search(name)) and not _NO_SECRET.search(name)


def is_secret_key(path: tuple[str, ...]) -> bool:
    """Return whether the value of a key is a secret whatever it comes from."""
    if path == _KEY or path[:2] == _FORMER_KEYS:
        return True
    if path[:1] == (_DELIVER,):
        return len(path) > 2 and path[-1] in _OF_TARGETS
    return path[:2] == _SPARK and bool(_SECRET_PROPERTY.search(".".join(path[2:])))


def remember_secrets(written: Any, resolved: Any) -> None:
    """Remember the secrets of a configuration, so that they are masked in all that is written.

    Args:
        written: The keys with their references, as in the file.
        resolved: The same keys with the values that the references lead to.
    """
    leaves, values = dict(_leaves(written)), dict(_leaves(resolved))
    _masked_places.clear()
    for path, text in leaves.items():
        variables = _FROM_VARIABLE.findall(text)
        for name in filter(is_credential_name, variables):
            remember_secret(os.environ.get(name, ""))
        if _is_secret(path, leaves, ()):
            _masked_places.add(path)
            if is_secret_key(path) or _ALONE.match(text):
                remember_secret(values.get(path, ""))
                for password in passwords_in(values.get(path, "")):
                    remember_secret(password)
        elif path[:2] == _SPARK and variables:
            _masked_places.add(path)


def passwords_in(address: str) -> set[str]:
    """Return the passwords in an address, as they are written and as they are meant.

    One with a `/`, `?` or `#` that should have been escaped is found too, whole.
    """
    found = set(_PASSWORD.findall(address))
    found.add(address.partition("://")[2].rpartition("@")[0].partition(":")[2])
    with suppress(ValueError):  # it is no address
        found.add(urlsplit(address).password or "")
    return {form for one in found for form in (one, unquote(one)) if form}


def public_config(config: BaseModel) -> dict[str, Any]:
    """Return a whole `Config` as JSON values, with secrets masked."""
    hidden: dict[str, Any] = _hidden(config.model_dump(mode="json"), ())
    return hidden


def _hidden(node: Any, path: tuple[str, ...]) -> Any:
    if isinstance(node, dict):
        return {key: _hidden(inner, (*path, str(key))) for key, inner in node.items()}
    if isinstance(node, list):
        return [_hidden(inner, (*path, str(place))) for place, inner in enumerate(node)]
    if not isinstance(node, str) or path == _KEY:  # pydantic masks the key
        return node
    return MASK if path in _masked_places or is_secret_key(path) else masked(node)


def _is_secret(
    path: tuple[str, ...], leaves: dict[tuple[str, ...], str], seen: tuple[Any, ...]
) -> bool:
    if is_secret_key(path):
        return True
    text = leaves.get(path, "")
    if any(is_credential_name(name) for name in _FROM_VARIABLE.findall(text)):
        return True
    targets = [tuple(name.split(".")) for name in _REFERENCE.findall(text)]
    return any(one not in seen and _is_secret(one, leaves, (*seen, path)) for one in targets)


def _leaves(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield path and text of every text of a tree."""
    if isinstance(node, dict):
        for key, inner in node.items():
            yield from _leaves(inner, (*path, str(key)))
    elif isinstance(node, list):
        for place, inner in enumerate(node):
            yield from _leaves(inner, (*path, str(place)))
    elif isinstance(node, str):
        yield path, node
