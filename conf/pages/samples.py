"""Take users out of the model cards: the sample that a card shows of each."""

import html
import re
from collections.abc import Collection
from pathlib import Path

# As the template `page.html` writes a sample. Texts are escaped, so none of them ends one.
_SAMPLE = re.compile(r'<article data-user="([^"]*)">.*?</article>\n', flags=re.DOTALL)


def samples_of(card: Path, names: Collection[str]) -> int:
    """Return how many samples of these users a card shows."""
    found = _SAMPLE.findall(card.read_text(encoding="utf-8"))
    return sum(html.unescape(user) in names for user in found)


def copy_without_samples(card: Path, copy: Path, names: Collection[str]) -> int:
    """Write a card without the samples of these users, and return how many these were."""
    removed = 0

    def left(sample: re.Match[str]) -> str:
        nonlocal removed
        is_theirs = html.unescape(sample.group(1)) in names
        removed += is_theirs
        return "" if is_theirs else sample.group()

    copy.write_text(_SAMPLE.sub(left, card.read_text(encoding="utf-8")), encoding="utf-8")
    return removed
