"""Hashes: of a file, of a structure, and of all that a dataset contains."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from conf.contract import Manifest

# Only what was made: not the configuration, and not the place.
_MADE = {
    "as_of", "columns", "files", "vocabularies", "event_types", "features", "ledger", "fills",
    "counts",
}  # fmt: skip
_CHUNK_BYTES = 1 << 22
_FOOTER_END_BYTES = 8


def with_content(manifest: Manifest) -> Manifest:
    """Return the manifest with the hash of its content; files count by their own hashes."""
    made = manifest.model_dump(mode="json", include=_MADE)
    for account in made["ledger"].values():
        del account["warnings"]  # only texts for people
    return manifest.model_copy(update={"content": canonical_hash(made)})


def canonical_hash(value: Any) -> str:
    """Return the SHA-256 of a value's JSON with sorted keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def hash_footer(path: Path) -> str:
    """Return the SHA-256 of the footer of a Parquet file, with its length and mark."""
    with path.open("rb") as stream:
        end = stream.seek(-_FOOTER_END_BYTES, os.SEEK_END)
        length = int.from_bytes(stream.read(4), "little")
        stream.seek(max(end - length, 0))
        return hashlib.sha256(stream.read()).hexdigest()
