"""Secrets that this process knows, and texts in which they are masked.

A configuration says what is a secret (`conf.masking.origins`); whatever is written or
printed passes through here.
"""

import html
import json
from typing import Any

MASK = "***"
LEAST_CHARS = 8
"""Fewest characters of a secret that is masked in the middle of a text; shorter ones would hide
ordinary words, so they are masked only at their keys in saved configurations."""

_known: set[str] = set()


def remember_secret(text: str) -> None:
    """Mask a text from now on, wherever this process writes it."""
    if len(text) >= LEAST_CHARS:
        forms = {text, repr(text)[1:-1], json.dumps(text)[1:-1], html.escape(text)}
        _known.update(forms | {form.strip() for form in forms})


def forget_secrets() -> None:
    """Forget all secrets; for tests."""
    _known.clear()


def masked(text: str) -> str:
    """Return a text without the secrets in it."""
    for secret in sorted(_known, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text


def masked_result(value: Any) -> Any:
    """Return a result, of any depth, without the secrets in its texts."""
    if not _known:
        return value
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, dict):
        return {masked_result(key): masked_result(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [masked_result(inner) for inner in value]
    return value
