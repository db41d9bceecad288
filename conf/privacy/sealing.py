"""Keyed labels and encrypted texts.

Spark ships these functions to machines that do not have Headrace, so nothing of Headrace is
imported here. AESGCM is imported inside the functions, because a Rust class cannot be shipped.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING
from unicodedata import category

from cryptography.exceptions import InvalidTag

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES = 12
_LABEL_CHARS = 32
# Separators, control characters, and format characters such as zero-width spaces.
_INVISIBLE = frozenset({"Zs", "Zl", "Zp", "Cc", "Cf"})


def trimmed(raw_id: str) -> str:
    """Return an id without the characters at its ends that cannot be seen; "" if all are such."""
    start, end = 0, len(raw_id)
    while start < end and _is_invisible(raw_id[start]):
        start += 1
    while start < end and _is_invisible(raw_id[end - 1]):
        end -= 1
    return raw_id[start:end]


def _is_invisible(character: str) -> bool:
    return character.isspace() or category(character) in _INVISIBLE


def pseudonym(key: bytes, tenant: str, domain: str, raw_id: str) -> str:
    """Return 32 hexadecimal digits: the first half of HMAC-SHA256(key, tenant 0 domain 0 id)."""
    message = b"\0".join(text.encode() for text in (tenant, domain, raw_id))
    return hmac.new(key, message, hashlib.sha256).hexdigest()[:_LABEL_CHARS]


def erased_hash(key: bytes, raw_id: str) -> str:
    """Return the keyed hash of an erased user's id: 64 hexadecimal digits."""
    return hmac.new(key, raw_id.encode(), hashlib.sha256).hexdigest()


def cipher_of(key: bytes) -> AESGCM:
    """Return the cipher that encrypts and decrypts texts with a key of 32 bytes."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key)


def seal(cipher: AESGCM, nonce_key: bytes, text: str, context: Iterable[str | None]) -> str:
    """Return an encrypted text: base64 of a nonce and AES-GCM's output.

    The nonce is not random, so every run encrypts a row in the same way. It is computed from the
    text and its context: equal ones give the same nonce, others no more often than random nonces
    would. Source: Rogaway & Shrimpton 2006, the synthetic IV.

    Args:
        cipher: Cipher of the key.
        nonce_key: Key of the nonces, different from the cipher's.
        text: The text.
        context: Further values; equal texts with different ones are encrypted differently.
    """
    message = json.dumps([*context, text]).encode()
    nonce = hmac.new(nonce_key, message, hashlib.sha256).digest()[:_NONCE_BYTES]
    return base64.b64encode(nonce + cipher.encrypt(nonce, text.encode(), None)).decode()


def unseal(cipher: AESGCM, sealed: str) -> str:
    """Return the text that `seal` encrypted.

    Raises:
        ValueError: When it was encrypted with another key, or changed since.
    """
    data = base64.b64decode(sealed)
    try:
        text = cipher.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], None)
    except InvalidTag as error:
        raise ValueError("this text was encrypted with another key, or changed since") from error
    return text.decode()
