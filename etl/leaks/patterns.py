"""Read times with patterns in Python, by no code that the dataset was made with."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import cache
from zoneinfo import ZoneInfo

from conf.settings.rules.time_patterns import tokens_of

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_OFFSET = r"(?P<offset>Z|(?:UTC|GMT)?(?:[+-]\d{1,2}(?::?\d{2})?)?)"
_NAMED = {"E": "[a-z]+", "a": "(?P<a>am|pm)", "V": "(?P<zone>[a-z_]+(?:/[a-z_+-]+)*)"}


def parse_pattern(text: str, pattern: str, local: tzinfo = UTC) -> datetime | None:
    """Return the moment of a text, None if the pattern does not fit as Python reads it.

    Args:
        text: The text, without blanks around it.
        pattern: A pattern of Java's DateTimeFormatter. Names of zones such as CET are not read.
        local: Time zone of texts without an offset.

    Raises:
        ValueError: When there is no such time.
    """
    compiled = _compiled(pattern)
    match = None if compiled is None else compiled.fullmatch(text)
    if match is None:
        return None
    found = {name: value for name, value in match.groupdict().items() if value is not None}
    hour = int(found.get("H", found.get("k", 0))) % 24
    if "a" in found:
        hour = int(found.get("h", found.get("K", 0))) % 12 + 12 * (found["a"].lower() == "pm")
    moment = datetime(
        int(found["y"]) if "y" in found else 2000 + int(found["yy"]),
        _month(found.get("M", "1")),
        int(found.get("d", 1)),
        hour,
        int(found.get("m", 0)),
        int(found.get("s", 0)),
        int(found.get("S", "0")[:6].ljust(6, "0")),
    ) + timedelta(int(found.get("D", 1)) - 1)
    return moment.replace(tzinfo=_zone(found, local))


@cache
def _compiled(pattern: str) -> re.Pattern[str] | None:
    try:
        return re.compile("".join(map(_expression, tokens_of(pattern))), re.IGNORECASE)
    except re.error:  # a letter that is there twice
        return None


def _expression(token: str) -> str:
    """Return the regular expression of a part of a pattern."""
    letter, count = token[0].replace("L", "M"), len(token)
    if letter in _NAMED:
        return _NAMED[letter]
    if letter in "zOXxZ":
        return _OFFSET
    if letter == "M" and count > 2:
        return f"(?P<M>(?:{'|'.join(_MONTHS)})[a-z]*)"
    if letter == "S":
        return rf"(?P<S>\d{{1,{count}}})"
    if token == "yy":  # of this century; a single y is the year as it is written
        return r"(?P<yy>\d{2})"
    if letter in "yMdDHhKkms":
        most = {"y": 4, "D": 3}.get(letter, 2)
        return rf"(?P<{letter}>\d{{{count if count > 1 else f'1,{most}'}}})"
    if letter in "[]":
        return "(?:" if letter == "[" else ")?"
    return re.escape(token[1:-1].replace("''", "'") or "'" if letter == "'" else token)


def _month(text: str) -> int:
    return int(text) if text.isdecimal() else _MONTHS.index(text[:3].lower()) + 1


def _zone(found: Mapping[str, str], local: tzinfo) -> tzinfo:
    if "zone" in found:
        return ZoneInfo(found["zone"])
    if "offset" not in found:
        return local
    digits = re.sub(r"[^0-9]", "", found["offset"])
    hours, minutes = (digits[:-2], digits[-2:]) if len(digits) > 2 else (digits, "0")
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes))
    return timezone(-offset if "-" in found["offset"] else offset)
