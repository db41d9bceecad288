"""The messages that the manual quotes are those of the code."""

import ast
import re

from tests.docs.test_pages import TEXTS
from tests.packaging.checkout import package_files

OF_OTHERS = {"TrainingFailedError", "OutOfMemoryError", "Java heap space", "Py4JNetworkError"}


def texts_of_the_code() -> str:
    """Return all texts of the packages, joined; a value that is filled in is a space."""
    found = []
    for path in package_files("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = (p.value if isinstance(p, ast.Constant) else " " for p in node.values)
                found.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return "\n".join(found)


def quoted() -> set[str]:
    """Return the pieces of messages in the tables of troubleshooting, without the dots."""
    rows = re.findall(r"^\| (.*?) \| [\d, ]+ \|", TEXTS["troubleshooting.md"], flags=re.MULTILINE)
    pieces = {
        piece.strip()
        for row in rows
        for quote in re.findall(r"`([^`]+)`", row)
        for piece in quote.split("...")
    }
    return {piece for piece in pieces if len(piece) > 3} - OF_OTHERS


def test_quoted_messages_are_in_the_code() -> None:
    texts = texts_of_the_code()
    assert len(quoted()) > 60
    assert sorted(piece for piece in quoted() if piece not in texts) == []
