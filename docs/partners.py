"""Find which settings go together, in the code that says so.

Two keys go together if one message of a rule names both, or if the description of one key names
the other. A rule whose keys are in a table gives its message for each of them.
"""

import ast
import re
from collections.abc import Collection, Iterator, Mapping
from itertools import combinations
from pathlib import Path

import conf.settings

_KEY = re.compile(r"[a-z_]+(?:\.(?:[a-z_]+|NAME|\*))+")


def partners_of(descriptions: Mapping[str, str]) -> dict[str, set[str]]:
    """Return, for each dotted key, the other keys that it goes with.

    Args:
        descriptions: By key, all keys; a name of the user's own is `NAME` in them.
    """
    found: dict[str, set[str]] = {}
    pairs = {(key, other) for key, text in descriptions.items() for other in _keys(text)}
    for text in _messages():
        pairs.update(combinations(sorted(_keys(text)), 2))
    for one, other in pairs:
        known = one in descriptions and other in descriptions and one != other
        if known and not one.startswith(f"{other}.") and not other.startswith(f"{one}."):
            found.setdefault(one, set()).add(other)
            found.setdefault(other, set()).add(one)
    return found


def _keys(text: str) -> Collection[str]:
    return {key.replace("*", "NAME") for key in _KEY.findall(text)}


def _messages() -> Iterator[str]:
    """Yield the messages of all rules."""
    for path in sorted(Path(next(iter(conf.settings.__path__))).rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        yield from texts_in(tree)
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef):
                yield from _of_tables(function)


def texts_in(tree: ast.AST) -> Iterator[str]:
    """Yield the texts of some code but for docstrings; a filled-in value is a space."""
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = (p.value if isinstance(p, ast.Constant) else " " for p in node.values)
            yield "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and id(node) not in docstrings:
            yield str(node.value)


def _of_tables(function: ast.FunctionDef) -> Iterator[str]:
    """Yield the messages `f"{key} ..."` of a function with each key of its tables filled in."""
    tables = [node for node in ast.walk(function) if isinstance(node, ast.Dict)]
    keys = [str(k.value) for table in tables for k in table.keys if isinstance(k, ast.Constant)]
    for node in ast.walk(function):
        if isinstance(node, ast.JoinedStr) and ast.unparse(node).startswith(("f'{key}", 'f"{key}')):
            rest = " ".join(texts_in(node))
            yield from (key + rest for key in keys)
