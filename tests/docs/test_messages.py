"""The messages that the manual quotes, and their exit codes, are those of the code."""

import ast
import re
from collections.abc import Iterator

import pytest

from conf import errors
from docs.partners import texts_in
from tests.docs.test_pages import TEXTS
from tests.packaging.checkout import package_files

OF_OTHERS = {"TrainingFailedError", "OutOfMemoryError", "Java heap space", "Py4JNetworkError",
             "that of the error"}  # fmt: skip
CODES = {
    name: kind.exit_code
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, errors.HeadraceError)
}
TREES = [ast.parse(path.read_text(encoding="utf-8")) for path in package_files("*.py")]
CODE = "\n".join(text for tree in TREES for text in texts_in(tree))
ERRORS = [
    ("".join(texts_in(call)), CODES[call.func.id])
    for tree in TREES
    for call in ast.walk(tree)
    if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in CODES
]


def rows() -> Iterator[tuple[str, str, set[int]]]:
    """Yield page, quoted pieces and exit codes of the tables `message | code | ...`."""
    is_table: object = False
    for name, text in TEXTS.items():
        for line in text.splitlines():
            is_table = (is_table and line.startswith("|")) or re.match(r"\| .*message.* \|", line)
            row = re.match(r"\| (.*?) \| ([\d, ]+) \|", line)
            if is_table and row and "`" in row[1]:
                yield name, row[1], {int(code) for code in re.findall(r"\d+", row[2])}


def pieces(quotes: str) -> list[str]:
    """Return the parts of quoted messages between the dots."""
    found = [p for quote in re.findall(r"`([^`]+)`", quotes) for p in quote.split("...")]
    return [piece.strip() for piece in found if len(piece.strip()) > 3]


ROWS = list(rows())


def test_there_are_messages_to_check() -> None:
    assert len(ROWS) > 60


@pytest.mark.parametrize(("page", "quotes", "codes"), ROWS, ids=[row[1][:60] for row in ROWS])
def test_quoted_message_is_in_the_code(page: str, quotes: str, codes: set[int]) -> None:
    missing = [p for p in pieces(quotes) if p not in CODE and p not in OF_OTHERS]
    assert missing == []
    for piece in (piece for piece in pieces(quotes) if " " in piece):  # no keys alone
        raised = {code for text, code in ERRORS if piece in text}
        assert not raised or raised & codes, f"{page}: {piece} ends with {raised}, not {codes}"


def test_codes_of_messages_are_found() -> None:
    known = [q for _, q, _ in ROWS if any(p in text for p in pieces(q) for text, _ in ERRORS)]
    assert len(known) > 40
