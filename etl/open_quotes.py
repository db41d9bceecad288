"""Quotes of a csv that are never closed: what follows would vanish into one value."""

import csv
from functools import cache
from pathlib import Path

from conf.input_schema import Source
from etl.file_kinds import codec_of_name, open_text, unpacked


def why_never_closed(source: Source, path: Path, sha256: str) -> str | None:
    """Return where the last quote of a csv whose fields may hold line breaks stays open, or None.

    Raises:
        UNPACK_ERRORS: When the file is damaged.
    """
    if source.format != "csv" or not source.multiline or not source.quote:
        return None
    return _open_at_the_end(path, sha256, source.separator[:1], source.quote, source.encoding)


@cache
def _open_at_the_end(
    path: Path, _sha256: str, separator: str, quote: str, encoding: str
) -> str | None:
    mark = quote.encode(encoding)
    if sum(chunk.count(mark) for chunk in unpacked(path, codec_of_name(path))) % 2 == 0:
        return None  # all of them have a partner, as in any sound file
    with open_text(path, encoding) as stream:
        rows = csv.reader(stream, delimiter=separator, quotechar=quote)
        first = last = 0
        for _ in rows:
            first, last = last + 1, rows.line_num
    if first >= last:
        return None
    return f"has a quote in line {first} that is never closed, {last - first} lines follow it"
