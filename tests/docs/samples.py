"""The code samples of the manual, with what the pages say about how to check them.

A comment on the line before a fence directs the check: `<!-- sample: with KEY=VALUE -->` adds
overrides, `<!-- sample: over conf/NAME.yaml -->` chooses what a fragment changes, and
`<!-- sample: other -->` marks a block that is not ours.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.packaging.checkout import CHECKOUT

PAGES = [
    CHECKOUT / "README.md",
    CHECKOUT / "CONTRIBUTING.md",
    CHECKOUT / "CHANGELOG.md",
    *sorted((CHECKOUT / "docs").glob("*.md")),
]
_BLOCK = re.compile(
    r"(?:^<!-- sample: (?P<how>.*?) -->\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$",
    flags=re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Sample:
    """One block of code."""

    page: Path
    line: int
    language: str
    text: str
    how: str
    """The direction before it; empty: none."""

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"

    @property
    def is_whole(self) -> bool:
        """Whether it is a whole configuration and no fragment."""
        return re.search(r"^run:", self.text, re.M) is not None and "\ninput:" in self.text

    @property
    def overrides(self) -> list[str]:
        """Overrides that the fragment needs."""
        return self.how.removeprefix("with ").split() if self.how.startswith("with ") else []


def samples_of(page: Path, *languages: str) -> Iterator[Sample]:
    """Yield the blocks of a page in some languages."""
    text = page.read_text(encoding="utf-8")
    for match in _BLOCK.finditer(text):
        if match["language"] in languages:
            line = text.count("\n", 0, match.start("text"))
            yield Sample(page, line, match["language"], match["text"], match["how"] or "")


def shop_yaml() -> str:
    """Return the configuration that fragments change unless their page has one."""
    return next(s.text for s in samples_of(CHECKOUT / "README.md", "yaml") if s.is_whole)


def all_samples(*languages: str) -> list[Sample]:
    """Return the blocks of all pages."""
    return [sample for page in PAGES for sample in samples_of(page, *languages)]
