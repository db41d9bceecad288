"""Credentials of targets come from the environment; a file that holds one itself is refused."""

import re
from collections.abc import Iterator
from typing import Any

_VARIABLE = r"\$\{oc\.env:\s*\w+\s*(,\s*null\s*)?\}"
_REFERENCE = re.compile(rf"{_VARIABLE}|\$\{{[^{{}}:]*\}}")
"""To a variable without a default, or to another key."""
_IN_QUERY = re.compile(r"(?:^|[?&\s])(?:ssl)?password\s*=\s*([^&\s]+)", re.IGNORECASE)


def comes_from_environment(value: Any) -> bool:
    """Return whether a value of the file is a variable, `${oc.env:NAME}`, that has no default.

    A default would be the credential itself.
    """
    return re.fullmatch(_VARIABLE, str(value)) is not None


def written_credentials(tree: Any) -> Iterator[str]:
    """Yield a message for each credential of `deliver` that is written in the configuration itself.

    Args:
        tree: The keys with their references, as in the file.
    """
    targets = tree.get("deliver") if isinstance(tree, dict) else None
    for name, target in targets.items() if isinstance(targets, dict) else ():
        for key in ("access_key", "secret_key"):
            value = target.get(key) if isinstance(target, dict) else None
            if value is not None and not comes_from_environment(value):
                yield (
                    f"deliver.{name}.{key} holds the credential itself, which is not allowed; "
                    "write ${oc.env:NAME} without a default, and put the credential into that "
                    "variable"
                )
        url = target.get("url") if isinstance(target, dict) else None
        if isinstance(url, str) and _has_password(url):
            yield (
                f"deliver.{name}.url holds a password, which is not allowed; write "
                "${oc.env:NAME}, without a default, in its place or for the whole address, and put "
                "it into that variable"
            )


def _has_password(url: str) -> bool:
    """Return whether an address has a password that is not a reference."""
    plain = _REFERENCE.sub("$", url)
    before, at, _ = plain.partition("://")[2].rpartition("@")
    found = [before.partition(":")[2]] if at else []
    found += _IN_QUERY.findall(plain)
    return any(one.strip("$") for one in found)
