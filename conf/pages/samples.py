"""Remove users from model cards: the samples that a card shows of them."""

import html
import re
from collections.abc import Collection
from pathlib import Path

# A sample as written by the template `page.html`. Texts are escaped, so none can end a sample.
_SAMPLE = re.compile(r'<article data-user="([^"]*)">.*?</article>\n', flags=re.DOTALL)


def samples_of(card: Path, names: Collection[str]) -> int:
    """Return how many samples of these users a card shows."""
    found = _SAMPLE.findall(card.read_text(encoding="utf-8"))
    return sum(html.unescape(user) in names for user in found)


def copy_without_samples(card: Path, copy: Path, names: Collection[str]) -> int:
    """Write a card without the samples of these users; return how many were removed."""
    removed = 0

    def left(sample: re.Match[str]) -> str:
        nonlocal removed
        is_theirs = html.unescape(sample.group(1)) in names
        removed += is_theirs
        return "" if is_theirs else sample.group()

    copy.write_text(_SAMPLE.sub(left, card.read_text(encoding="utf-8")), encoding="utf-8")
    return removed
