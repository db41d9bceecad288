"""The key of a workspace, from a file or the environment, and the keys derived from it."""

import hashlib
import hmac
import re
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from conf.errors import ConfigError
from conf.privacy.sealing import cipher_of
from conf.settings.privacy import Privacy

_LEAST_CHARS = 32
_LOOKS_LIKE_A_KEY = re.compile(rf"[A-Za-z0-9+=_-][A-Za-z0-9+/=_-]{{{_LEAST_CHARS - 1},}}")
_PURPOSES = ("seal", "erased", "receipt", "nonce")
_HOW = (
    "set privacy.key_file, or privacy.key: ${oc.env:NAME} (`openssl rand -hex 32` makes a good one)"
)


@dataclass(frozen=True, repr=False)  # no key in a traceback
class Keys:
    """One key per purpose; none of them reveals another."""

    key_id: str
    tenant: str
    label: bytes
    """Key of pseudonyms: the given key itself, so others can make the same labels."""
    seal: bytes
    """Key of AES-GCM, 32 bytes."""
    erased: bytes
    """Key of the hashes of erased users' ids."""
    receipt: bytes
    """Key of the receipts' signatures."""
    nonce: bytes
    """Key of the nonces of AES-GCM."""

    def cipher(self) -> AESGCM:
        """Return the cipher that encrypts and decrypts texts."""
        return cipher_of(self.seal)


def load_keys(privacy: Privacy) -> Keys | None:
    """Return the configured keys, or None if there are none.

    Raises:
        ConfigError: When the key is too short, its file cannot be read, or both are set.
    """
    if privacy.key is not None and privacy.key_file is not None:
        raise ConfigError("privacy.key and privacy.key_file are both set; leave one of them null")
    if privacy.key is not None:
        text = privacy.key.get_secret_value().strip()
    elif privacy.key_file is not None:
        text = _read(Path(privacy.key_file))
    else:
        return None
    if len(text) < _LEAST_CHARS:
        raise ConfigError(
            f"the key of the section privacy has {len(text)} characters, but needs at least "
            f"{_LEAST_CHARS}; {_HOW}"
        )
    key = text.encode()
    derived = {name: _derive(key, name) for name in ("key_id", *_PURPOSES)}
    key_id = privacy.key_id or derived["key_id"].hex()[:12]
    return Keys(key_id, privacy.tenant, key, *(derived[name] for name in _PURPOSES))


def require_keys(privacy: Privacy, why: str) -> Keys:
    """Return the configured keys.

    Args:
        privacy: Section of the configuration.
        why: What needs them; the beginning of the error message.

    Raises:
        ConfigError: When there are none.
    """
    keys = load_keys(privacy)
    if keys is None:
        raise ConfigError(
            f"{why} needs a key, but privacy.key and privacy.key_file are null; {_HOW}"
        )
    return keys


def sign(keys: Keys, message: bytes) -> str:
    """Return the signature of a receipt: HMAC-SHA256 as hexadecimal digits."""
    return hmac.new(keys.receipt, message, hashlib.sha256).hexdigest()


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not a text file"
        # Somebody may have written the key itself there.
        shown = "***" if _LOOKS_LIKE_A_KEY.fullmatch(str(path)) else repr(str(path))
        raise ConfigError(
            f"privacy.key_file={shown} cannot be read: {reason}; name a file that holds the key"
        ) from error


def _derive(key: bytes, purpose: str) -> bytes:
    """Derive the key of one purpose. Source: RFC 5869 (HKDF)."""
    hkdf = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"headrace " + purpose.encode())
    return hkdf.derive(key)
