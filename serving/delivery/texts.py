"""What a client or a server said, fit for a message: one line, without credentials."""

import re

from conf.masking.origins import passwords_in
from conf.masking.texts import MASK, masked

_LONGEST = 400
_LEAST_CHARS = 4
"""Fewest characters of a password that is masked anywhere; a shorter one would take letters out of
ordinary words, so it is masked in addresses alone."""


def said(error: BaseException, *secrets: str | None) -> str:
    """Return the text of an error as one line, without secrets.

    Args:
        error: The error of a client.
        secrets: Addresses, and credentials themselves.
    """
    text = " ".join(str(error).split()) or type(error).__name__
    hidden = {form for one in secrets if one for form in (one, *passwords_in(one))}
    for one in sorted(hidden, key=len, reverse=True):
        if len(one) >= _LEAST_CHARS:
            text = text.replace(one, MASK)
        else:
            text = re.sub(rf"(:|password=){re.escape(one)}(?=@|$|[&\s])", rf"\1{MASK}", text)
    return masked(text)[:_LONGEST]
