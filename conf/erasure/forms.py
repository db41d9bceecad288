"""The forms in which a workspace may have a user's id: with white space at its ends or without."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from unicodedata import normalize

import pyarrow as pa
import pyarrow.compute as pc

from conf.contract import USER_ID
from conf.privacy.identities import IDENTITIES, KIND, RAW_ID
from conf.privacy.sealing import trimmed
from conf.workspace.folders import listed, tables_in
from conf.workspace.parquet import open_parquet, told_if_damaged

_FOLDERS = ("datasets", "lists", IDENTITIES)


def plain_form(raw_id: str) -> str:
    """Return what all forms of an id have in common: trimmed, accents composed."""
    return normalize("NFC", trimmed(raw_id))


def all_forms(workspace: Path, raw_ids: Iterable[str]) -> frozenset[str]:
    """Return all forms of some users' ids.

    `etl.clean.trim_ids` and `id_normal_form` may have changed since a version was made, so the
    forms do not depend on the configuration.

    Args:
        workspace: Folder of the workspace.
        raw_ids: Ids as the log or somebody writes them.

    Returns:
        The ids as they are, trimmed, with their accents composed, and all ids in datasets, lists
        and identities that differ from one of them in nothing else.
    """
    written = frozenset(raw_ids)
    plain = frozenset(map(plain_form, written))
    alike = {name for name in _ids_in(workspace) if plain_form(name) in plain}
    return written | plain | {trimmed(name) for name in written} | alike


def _ids_in(workspace: Path) -> Iterator[str]:
    """Yield the ids of users in a workspace, some more than once."""
    for folder in _FOLDERS:
        versions = listed(workspace / folder, "[!.]*")
        tables = [path for version in versions for path in tables_in(version)]
        for path in (path for path in tables if not path.name.startswith(".")):
            with told_if_damaged(path), open_parquet(path) as file:
                names = file.schema_arrow.names
                column = RAW_ID if RAW_ID in names else USER_ID
                if column not in names:
                    continue
                kind = [KIND] if column == RAW_ID else []
                for batch in file.iter_batches(columns=[column, *kind]):
                    rows = batch.filter(pc.equal(batch[KIND], "user")) if kind else batch
                    yield from filter(None, pc.unique(rows[column].cast(pa.string())).to_pylist())
