"""Find which settings go together, in the code that says so.

Two keys go together where one message of a rule names both, or where the description of one key
names the other.
"""

import ast
import re
from collections.abc import Collection, Iterator
from itertools import combinations
from pathlib import Path

import conf.settings

_KEY = re.compile(r"[a-z_]+(?:\.[a-z_*]+)+")


def partners_of(keys: Collection[str]) -> dict[str, set[str]]:
    """Return, for each dotted key, the other keys that it goes with.

    Args:
        keys: All keys; a name of the user's own is `NAME` in them, and `*` in messages.
    """
    found: dict[str, set[str]] = {}
    for text in _messages():
        named = {key for key in map(_clean, _KEY.findall(text)) if key in keys}
        for one, other in combinations(sorted(named), 2):
            if not one.startswith(f"{other}.") and not other.startswith(f"{one}."):
                found.setdefault(one, set()).add(other)
                found.setdefault(other, set()).add(one)
    return found


def _clean(key: str) -> str:
    return key.rstrip(".").replace("*", "NAME")


def _messages() -> Iterator[str]:
    """Yield the texts of all rules, with `{}` where a value is filled in."""
    for path in sorted(Path(next(iter(conf.settings.__path__))).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                yield "".join(
                    str(part.value) if isinstance(part, ast.Constant) else "{}"
                    for part in node.values
                )
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value
