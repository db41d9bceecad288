"""The key of a workspace, from a file or the environment, and the keys derived from it."""

import hashlib
import hmac
import re
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from conf.contract import PrivacyReport
from conf.errors import ConfigError
from conf.privacy.sealing import cipher_of
from conf.settings.privacy import Privacy

_LEAST_CHARS = 32
_CURRENT = "the section privacy"
_ID_CHARS, _CHECK_CHARS = 12, 16
_LOOKS_LIKE_A_KEY = re.compile(rf"[A-Za-z0-9+=_-][A-Za-z0-9+/=_-]{{{_LEAST_CHARS - 1},}}")
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
    check: str
    """Hexadecimal digits derived from the key: two keys of one name differ in them."""
    former: tuple["Keys", ...]
    """Earlier keys, each with the name that is derived from it."""

    def all(self) -> tuple["Keys", ...]:
        """Return the current key, then the former ones."""
        return (self, *self.former)

    def cipher(self) -> AESGCM:
        """Return the cipher that encrypts and decrypts texts."""
        return cipher_of(self.seal)


def load_keys(privacy: Privacy) -> Keys | None:
    """Return the configured keys, or None if there are none.

    Raises:
        ConfigError: When a key is too short, its file cannot be read, or both are set.
    """
    if privacy.key is not None and privacy.key_file is not None:
        raise ConfigError("privacy.key and privacy.key_file are both set; leave one of them null")
    if privacy.key is not None:
        text = privacy.key.get_secret_value().strip()
    elif privacy.key_file is not None:
        text = _read("key_file", Path(privacy.key_file))
    else:
        return None
    former = [
        *(
            ("former_key_files", _read("former_key_files", Path(p)))
            for p in privacy.former_key_files
        ),
        *(("former_keys", key.get_secret_value().strip()) for key in privacy.former_keys if key),
    ]
    before = tuple(_keys_from(text, f"privacy.{where}", privacy.tenant) for where, text in former)
    return _keys_from(text, _CURRENT, privacy.tenant, privacy.key_id, before)


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


def key_of(report: PrivacyReport, keys: Keys | None, what: str) -> Keys:
    """Return the key that a dataset was made with, of the current and the former ones.

    Args:
        report: The dataset's report; those of earlier releases have the name of the key alone.
        keys: The configured keys.
        what: What is encrypted with it; the beginning of the error message.

    Raises:
        ConfigError: When that key is not configured.
    """
    for key in keys.all() if keys is not None else ():
        is_same = key.check == report.key_check
        if is_same or (report.key_check is None and key.key_id == report.key_id):
            return key
    raise ConfigError(
        f"{what} encrypted with the key {report.key_id!r}; configure that key in the section "
        "privacy, as key or as a former one"
    )


def sign(keys: Keys, message: bytes) -> str:
    """Return the signature of a receipt: HMAC-SHA256 as hexadecimal digits."""
    return hmac.new(keys.receipt, message, hashlib.sha256).hexdigest()


def _keys_from(
    text: str,
    where: str,
    tenant: str,
    key_id: str | None = None,
    former: tuple[Keys, ...] = (),
) -> Keys:
    """Return the keys of a text; without a `key_id` the name is derived from the key.

    Raises:
        ConfigError: When the text is too short.
    """
    if len(text) < _LEAST_CHARS:
        raise ConfigError(
            f"the key of {where} has {len(text)} characters, but needs at least "
            f"{_LEAST_CHARS}; {_HOW if where == _CURRENT else 'give the key as it was then'}"
        )
    key = text.encode()
    return Keys(
        key_id=key_id or _derive(key, "key_id").hex()[:_ID_CHARS],
        tenant=tenant,
        label=key,
        seal=_derive(key, "seal"),
        erased=_derive(key, "erased"),
        receipt=_derive(key, "receipt"),
        nonce=_derive(key, "nonce"),
        check=_derive(key, "check").hex()[:_CHECK_CHARS],
        former=former,
    )


def _read(setting: str, path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not a text file"
        # Somebody may have written the key itself there.
        shown = "***" if _LOOKS_LIKE_A_KEY.fullmatch(str(path)) else repr(str(path))
        raise ConfigError(
            f"privacy.{setting}={shown} cannot be read: {reason}; name a file that holds the key"
        ) from error


def _derive(key: bytes, purpose: str) -> bytes:
    """Derive the key of one purpose. Source: RFC 5869 (HKDF)."""
    hkdf = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"headrace " + purpose.encode())
    return hkdf.derive(key)
