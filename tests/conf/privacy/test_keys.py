import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import SecretStr

from conf.errors import ConfigError
from conf.privacy.keys import load_keys, require_keys
from conf.privacy.sealing import erased_hash, pseudonym, seal, unseal
from conf.settings.privacy import Privacy

KEY = "0123456789abcdef0123456789abcdef"


def test_labels_are_those_of_another_program() -> None:
    r"""As `printf 'shop\0user\0u1' | openssl dgst -sha256 -hmac KEY` begins."""
    key = KEY.encode()
    assert pseudonym(key, "shop", "user", "u1") == "2e6a6fea05f4e24eaae9d45999386ffd"
    assert pseudonym(key, "other", "user", "u1") == "799b8c77c5f27d9187ff4659c6a08e97"
    assert pseudonym(key, "shop", "item", "u1") == "afcc2591ab7470d6b9c3bf3963038dde"
    assert pseudonym(key, "shop", "user", "é") == "29043322fd1d3193f85acdf4e78d703f"


def test_a_sealed_text_opens_with_its_key_alone() -> None:
    ours, theirs = AESGCM(bytes(32)), AESGCM(bytes(31) + b"1")
    sealed = seal(ours, b"nonce", "ü, name@example.com", ["row 1"])
    assert unseal(ours, sealed) == "ü, name@example.com"
    with pytest.raises(ValueError, match="another key"):
        unseal(theirs, sealed)
    changed = ("B" if sealed[-5] == "A" else "A").join((sealed[:-5], sealed[-4:]))
    with pytest.raises(ValueError, match="changed since"):
        unseal(ours, changed)


def test_a_text_is_sealed_alike_in_its_own_row_alone() -> None:
    cipher, text = AESGCM(bytes(32)), "name@example.com"
    contexts = [["a", "b"], ["a", "b"], ["ab"], ["a", None], ["a", "None"], [None, "b"]]
    sealed = [seal(cipher, b"nonce", text, context) for context in contexts]
    assert sealed[0] == sealed[1]
    others = {seal(cipher, b"other", text, ["a", "b"]), seal(cipher, b"nonce", "x", ["a", "b"])}
    nonces = {base64.b64decode(one)[:12] for one in {*sealed, *others}}
    assert len(nonces) == len({*sealed, *others}) == 7


def test_the_key_comes_from_a_file_or_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(f"{KEY}\n")
    by_file = require_keys(Privacy(key_file=str(path)), "this")
    by_text = require_keys(Privacy(key=SecretStr(KEY)), "this")
    assert by_file.label == by_text.label == KEY.encode()
    assert by_file.key_id == by_text.key_id and KEY not in by_file.key_id
    assert require_keys(Privacy(key=SecretStr(KEY), key_id="2026"), "this").key_id == "2026"
    assert load_keys(Privacy()) is None


def test_each_purpose_has_a_key_of_its_own() -> None:
    keys = require_keys(Privacy(key=SecretStr(KEY)), "this")
    purposes = {keys.label, keys.seal, keys.erased, keys.receipt, keys.nonce}
    assert len(purposes) == 5
    assert erased_hash(keys.erased, "u1")[:32] != pseudonym(keys.label, "", "user", "u1")
    assert KEY not in repr(keys)


@pytest.mark.parametrize(
    ("privacy", "message"),
    [
        ({}, r"this needs a key, but privacy\.key and privacy\.key_file are null"),
        ({"key": "short"}, "has 5 characters, but needs at least 32"),
        ({"key_file": "none/such"}, r"privacy\.key_file='none/such' cannot be read"),
        ({"key_file": "a", "key": KEY}, "are both set"),
    ],
)
def test_without_a_usable_key_it_says_what_is_wrong(privacy: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        require_keys(Privacy.model_validate(privacy), "this")
    assert KEY not in str(caught.value) and "short" not in str(caught.value)
