"""Texts of cells in tables for people."""

import re
from typing import Any

# Those that are not seen, or that turn the text that follows, could show another than there is.
_CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff"
    r"\U000e0000-\U000e007f]"
)


def printable(value: Any) -> Any:
    """Return a result whose texts are safe in a terminal: control characters are escaped."""
    if isinstance(value, str):
        return _CONTROL.sub(lambda found: repr(found[0])[1:-1], value)
    if isinstance(value, dict):
        return {printable(key): printable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [printable(inner) for inner in value]
    return value


def text_of(value: Any) -> str:
    """Return a value as a cell of a table."""
    if isinstance(value, dict):
        return "\n".join(f"{key}: {text_of(item)}" for key, item in value.items()) or "-"
    if isinstance(value, list | tuple):
        return "\n".join(text_of(item) for item in value) or "-"
    if isinstance(value, float):
        return f"{value:,.4g}"
    if isinstance(value, bool) or not isinstance(value, int):
        return "-" if value is None else str(value)
    return f"{value:,}"
