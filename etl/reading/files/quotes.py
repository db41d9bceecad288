"""The quotes of a csv whose fields may contain line breaks, looked at before Spark reads it."""

import csv
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from conf.settings.input import Source
from etl.reading.files.copies import chunks_of, open_after


class LineBreaks(NamedTuple):
    """How the rows of a csv end."""

    separator: str = "\n"
    """The line break between rows; Spark would unify those within quotes if it were not told."""
    is_mixed: bool = False
    """Whether some rows end with a carriage return before that line break."""


class _Scan(NamedTuple):
    line_breaks: frozenset[str]
    is_open: bool
    """Whether the number of quotes is odd."""


def dialect_of(source: Source) -> dict[str, Any]:
    """Return the arguments of Python's csv reader; for separators of one character."""
    return {
        "delimiter": source.separator[:1],
        "quotechar": source.quote or None,
        "quoting": csv.QUOTE_MINIMAL if source.quote else csv.QUOTE_NONE,
        "escapechar": source.escape,
        "doublequote": source.escape is None,
    }


def line_breaks_of(source: Source, path: Path, sha256: str) -> LineBreaks:
    """Return how the rows of a `multiline` csv end.

    Raises:
        UNPACK_ERRORS: When the file is damaged.
    """
    found = _scan(source, path, sha256).line_breaks
    if "\n" in found:
        return LineBreaks("\n", is_mixed="\r\n" in found)
    return LineBreaks(next((mark for mark in ("\r\n", "\r") if mark in found), "\n"))


def why_never_closed(source: Source, path: Path, sha256: str) -> str | None:
    """Return where a quote of a `multiline` csv stays open to the end of the file, or None.

    Raises:
        UNPACK_ERRORS: When the file is damaged.
    """
    if source.format != "csv" or not source.multiline or not source.quote:
        return None
    if not _scan(source, path, sha256).is_open:
        return None  # all quotes are paired, as in any sound file
    with open_after(path, source.encoding, source.skip_lines) as stream:
        rows = csv.reader(stream, **dialect_of(source))
        first = last = 0
        for _ in rows:
            first, last = last + 1, rows.line_num
    if first >= last:
        return None
    first, last = first + source.skip_lines, last + source.skip_lines
    return f"has a quote in line {first} that is never closed; {last - first} lines follow it"


def _scan(source: Source, path: Path, sha256: str) -> _Scan:
    shape = (source.encoding, source.skip_lines, source.quote, source.escape)
    return _scanned(path, sha256, *shape)


@cache
def _scanned(
    path: Path, _sha256: str, encoding: str, skip_lines: int, quote: str, escape: str | None
) -> _Scan:
    found: set[str] = set()
    is_open = False
    chunks = chunks_of(path, encoding, skip_lines)
    for text in _without_escapes(_whole_marks(chunks, escape), escape):
        parts = text.split(quote) if quote else [text]
        for number, part in enumerate(parts):
            is_open ^= number > 0
            if not is_open:
                found.update(re.findall(r"\r\n|\r|\n", part))
    return _Scan(frozenset(found), is_open)


def _whole_marks(chunks: Iterator[str], escape: str | None) -> Iterator[str]:
    """Yield the text cut neither within a line break nor after an escape character."""
    ends = "\r" + (escape or "")
    rest = ""
    for chunk in chunks:
        text = rest + chunk
        kept = text.rstrip(ends)
        rest = text[len(kept) :]
        yield kept
    yield rest


def _without_escapes(texts: Iterator[str], escape: str | None) -> Iterator[str]:
    if escape is None:
        return texts
    escaped = re.compile(re.escape(escape) + ".", re.DOTALL)
    return (escaped.sub("", text) for text in texts)
