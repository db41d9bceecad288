"""What a client or a server said, fit for a message: one line, without credentials."""

from conf.masking.origins import passwords_in
from conf.masking.texts import MASK, masked

_LONGEST = 400


def said(error: BaseException, *secrets: str | None) -> str:
    """Return the text of an error as one line, without secrets, however short they are.

    Args:
        error: The error of a client.
        secrets: Addresses, and credentials themselves.
    """
    text = " ".join(str(error).split()) or type(error).__name__
    hidden = {form for one in secrets if one for form in (one, *passwords_in(one))}
    for one in sorted(hidden, key=len, reverse=True):
        text = text.replace(one, MASK)
    return masked(text)[:_LONGEST]
