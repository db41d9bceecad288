"""Read texts of times by the patterns of `time_format`, as the ETL does, without Spark."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from conf.settings.rules.time_patterns import ISO, tokens_of, without_weekday

_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip
_WEEKDAY = re.compile(
    r"\b(?:mon|tues?|wed(?:nes)?|thu(?:rs?)?|fri|sat(?:ur)?|sun)(?:day)?\b", re.IGNORECASE
)
_OFFSET = re.compile(r"(?:UTC|GMT)?([+-])(\d{1,2})(?::?(\d{2}))?(?::?(\d{2}))?")
_ZONE = r"Z|(?:UTC|GMT)?[+-]\d{1,2}(?::?\d{2}){0,2}|[A-Za-z_]+(?:/[A-Za-z0-9_+-]+)*"
_ZONES, _NUMBERS = frozenset("VzOXxZ"), frozenset("dHhKkms")


class _Reader(NamedTuple):
    """A pattern as a regular expression, whose groups are named by the letters."""

    texts: re.Pattern[str]
    has_weekday: bool


def moment_of(text: str, patterns: Sequence[str]) -> datetime:
    """Return the time that a text says; without an offset in the text it has no time zone.

    Args:
        text: The text; every kind of space counts as a plain one.
        patterns: Of `time_format`, tried in order; the word iso means ISO 8601.

    Raises:
        ValueError: When no pattern fits.
    """
    text = " ".join(text.split())
    for pattern in patterns:
        try:
            return datetime.fromisoformat(text) if pattern == ISO else _read(text, pattern)
        except (ValueError, KeyError):
            continue
    raise ValueError(text)


def _read(text: str, pattern: str) -> datetime:
    reader = _reader(pattern)
    if reader.has_weekday:
        text = _WEEKDAY.sub("", text)
    match = reader.texts.fullmatch(text)
    if match is None:
        raise ValueError(text)
    found: dict[str, str] = {}
    for name, part in match.groupdict().items():
        if part and found.setdefault(name.rstrip("0123456789"), part) != part:
            raise ValueError(text)  # a letter that is there twice, with two values
    return _moment(found)


def _moment(found: Mapping[str, str]) -> datetime:
    year = int(found["y"]) if "y" in found else 2000 + int(found["yy"])
    zone = _zone(found["zone"]) if "zone" in found else None
    time = (_hour(found), int(found.get("m", 0)), int(found.get("s", 0)))
    micros = int(found.get("S", "0").ljust(6, "0")[:6])
    if "D" in found:
        day = datetime(year, 1, 1) + timedelta(days=int(found["D"]) - 1)
        if day.year != year:
            raise ValueError(found["D"])
        return datetime(year, day.month, day.day, *time, micros, zone)
    return datetime(year, _month(found["M"]), int(found["d"]), *time, micros, zone)


def _month(text: str) -> int:
    if text.isdigit():
        return int(text)
    return next(n for n, name in enumerate(_MONTHS, 1) if name[:3].lower() == text[:3].lower())


def _hour(found: Mapping[str, str]) -> int:
    """Return the hour from 0 to 23.

    Raises:
        ValueError: When the letter does not have this hour.
    """
    for letter, first, hours in (("H", 0, 24), ("k", 1, 24), ("h", 1, 12), ("K", 0, 12)):
        if letter in found:
            hour = int(found[letter])
            if not first <= hour < first + hours:
                raise ValueError(found[letter])
            is_late = hours == 12 and found["a"].upper() == "PM"
            return hour % hours + 12 * is_late
    return 0


def _zone(text: str) -> tzinfo:
    if text.upper() in ("Z", "UTC", "GMT"):
        return UTC
    match = _OFFSET.fullmatch(text)
    if match is None:
        return ZoneInfo(text)
    sign, *parts = match.groups()
    hours, minutes, seconds = (int(part or 0) for part in parts)
    offset = timedelta(hours=hours, minutes=minutes, seconds=seconds)
    return timezone(-offset if sign == "-" else offset)


@lru_cache(maxsize=64)
def _reader(pattern: str) -> _Reader:
    plain = without_weekday(" ".join(pattern.split()))
    parts = (
        re.sub(r"\(\?P<(\w+)>", rf"(?P<\g<1>{place}>", _part(token))
        for place, token in enumerate(tokens_of(plain))
    )
    texts = "".join(parts)
    return _Reader(re.compile(texts, re.IGNORECASE), plain != pattern)


def _part(token: str) -> str:
    """Return the regular expression of a part of a pattern."""
    letter, count = token[0], len(token)
    if token in ("[", "]"):
        return "(?:" if token == "[" else ")?"
    if letter == "'":
        return re.escape("'" if token == "''" else token[1:-1].replace("''", "'"))
    if token == "yy":  # of this century; a single y is the year as it is written
        return r"(?P<yy>\d{2})"
    if letter == "y":
        return rf"(?P<y>\d{{{count}}})" if count > 1 else r"(?P<y>\d{1,4})"
    if letter in "ML" and count > 2:
        names = (name if count == 4 else name[:3] for name in _MONTHS)
        return f"(?P<M>{'|'.join(names)})"
    if letter in "ML":
        return r"(?P<M>\d{1,2})" if count == 1 else r"(?P<M>\d{2})"
    if letter in _NUMBERS:
        return rf"(?P<{letter}>\d{{1,2}})" if count == 1 else rf"(?P<{letter}>\d{{2}})"
    if letter == "D":
        return rf"(?P<D>\d{{{count},3}})"
    if letter == "S":
        return rf"(?P<S>\d{{1,{count}}})"
    if letter == "a":
        return "(?P<a>AM|PM)"
    return f"(?P<zone>{_ZONE})" if letter in _ZONES else re.escape(token)
