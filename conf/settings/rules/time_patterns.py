"""Patterns of times in the letters of Java's DateTimeFormatter: what Spark can read with them."""

import re
from collections.abc import Iterator

ISO = "iso"
"""Stands for ISO 8601 in a list of patterns."""
# How often each letter may be repeated.
_COUNTS = {
    "y": (1, 2, 4), "M": range(1, 5), "L": range(1, 5), "d": (1, 2), "D": range(1, 4),
    "E": range(1, 5), "a": (1,), "H": (1, 2), "h": (1, 2), "K": (1, 2), "k": (1, 2), "m": (1, 2),
    "s": (1, 2), "S": range(1, 10), "V": (2,), "z": range(1, 5), "O": (1, 4), "X": range(1, 6),
    "x": range(1, 6), "Z": range(1, 6),
}  # fmt: skip
_ZONES = frozenset("VzOXxZ")
_HALF_DAYS = frozenset("hK")
# A quoted text, a run of one letter, or a single character.
_TOKEN = re.compile(r"'(?:[^']|'')*'|([A-Za-z])\1*|.", re.DOTALL)


def why_unusable(pattern: str) -> str | None:
    """Return why times cannot be read with a pattern, or None."""
    tokens = list(tokens_of(pattern))
    letters = {token[0] for token in tokens if token[0].isascii() and token[0].isalpha()}
    for token, after in zip(tokens, [*tokens[1:], ""], strict=True):
        if token == "'":
            return "a quote is never closed"
        if token in ("{", "}", "#"):
            return f"{token} has to be in single quotes"
        if token[0] in letters and len(token) not in _COUNTS.get(token[0], ()):
            return _why_not_a_letter(token)
        if token[0] == "s" and after[:1] == "S":
            return "a fraction S needs a mark between it and the seconds"
    if not _is_balanced(tokens):
        return "a bracket has no partner"
    if "y" not in letters or not ("D" in letters or ("d" in letters and letters & {"M", "L"})):
        return "it needs a year (y), a month (M) and a day (d), or a year and the day in it (D)"
    if letters & _HALF_DAYS and "a" not in letters:
        return "the hours h and K need AM or PM (a); H is the hour from 0 to 23"
    return None


def has_offset(pattern: str) -> bool:
    """Return whether texts of a pattern have an offset from UTC or a time zone."""
    return any(token[0] in _ZONES for token in tokens_of(pattern))


def has_optional_offset(pattern: str) -> bool:
    """Return whether an offset or time zone is within brackets, so that texts may lack it."""
    depth = 0
    for token in tokens_of(pattern):
        depth += (token == "[") - (token == "]")
        if depth and token[0] in _ZONES:
            return True
    return False


def without_weekday(pattern: str) -> str:
    """Return a pattern without the day of the week, which Spark cannot read."""
    return "".join(token for token in tokens_of(pattern) if token[0] != "E")


def tokens_of(pattern: str) -> Iterator[str]:
    """Yield the parts of a pattern: quoted texts, runs of one letter, and single characters."""
    return (match[0] for match in _TOKEN.finditer(pattern))


def _is_balanced(tokens: list[str]) -> bool:
    depth = 0
    for token in tokens:
        depth += (token == "[") - (token == "]")
        if depth < 0:
            return False
    return depth == 0


def _why_not_a_letter(token: str) -> str:
    counts = _COUNTS.get(token[0])
    if counts is None:
        hint = "; the year is y, the day of the month d" if token[0] in "uYe" else ""
        return (
            f"{token} is no letter of a time that can be read{hint}, and text is in single quotes"
        )
    return f"{token[0]} can be repeated {' or '.join(map(str, counts))} times, not {len(token)}"
