"""What a dataset must have before lists are made of it."""

import logging

from conf.contract import NUM_RESERVED, Manifest, catalogue_size
from conf.errors import InputError, VersionError
from conf.settings.score import Score
from serving.ranking.approximate import require_faiss

log = logging.getLogger(__name__)


def require_scorable(score: Score, manifest: Manifest) -> None:
    """Refuse a dataset that no lists can be made of.

    Raises:
        ConfigError: When a library is missing that the settings need.
        InputError: When the dataset has no users.
        VersionError: When its parts do not fit together.
    """
    if score.index is not None:
        require_faiss()
    items = catalogue_size(manifest) - NUM_RESERVED
    if score.list_length > items:
        log.warning(
            "score: score.list_length=%d, but dataset %s has %d items; no list has more",
            score.list_length,
            manifest.id,
            items,
        )
    groups = {part: manifest.row_groups(part) for part in ("histories", "users")}
    rows = {part: [group.rows for group in found] for part, found in groups.items()}
    if rows["histories"] != rows["users"]:
        raise VersionError(
            f"users/ and histories/ of dataset {manifest.id} have different row "
            "groups; build the dataset again"
        )
    if not sum(rows["users"]):
        raise InputError(
            f"dataset {manifest.id} has no users, so there are no lists to make; "
            "build it again from a log with users"
        )
