"""One hash for what a dataset holds: the same on any machine, in any folder."""

from conf.contract import Manifest
from conf.fingerprint import canonical_hash

# What was made. Not how, nor where: of the configuration only what it led to is in here.
_MADE = {
    "as_of", "columns", "files", "vocabularies", "event_types", "features", "ledger", "fills",
    "counts",
}  # fmt: skip


def with_content(manifest: Manifest) -> Manifest:
    """Return the manifest with the hash of what it describes, files by their own hashes."""
    made = manifest.model_dump(mode="json", include=_MADE)
    for account in made["ledger"].values():
        del account["warnings"]  # words for people
    return manifest.model_copy(update={"content": canonical_hash(made)})
