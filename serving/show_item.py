"""Look up one item: its published list of similar items, with the titles.

Only the rows of the item are read, with pyarrow alone: neither Ray nor torch is started.
"""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from conf.contract import (
    ITEM_ID,
    POSITION,
    SCORE,
    SIMILAR_ID,
    SIMILAR_ITEMS,
    TITLE,
    ListsManifest,
    Manifest,
)
from conf.errors import ConfigError
from conf.privacy.keys import load_keys
from conf.privacy.sealing import pseudonym
from conf.settings.config import Config
from conf.workspace.parquet import read_columns
from conf.workspace.pointers import current_version
from conf.workspace.versions import read_manifest

FIRST = "first"


def run(config: Config, *, item_id: str) -> dict[str, Any]:
    """Return an item's list of similar items.

    Args:
        config: Names the workspace.
        item_id: The id in the log (this needs the key if labels replace ids of items) or in the
            lists; `first` for the first item with a list.

    Raises:
        ConfigError: When there are no such lists, or the dataset has no such item.
    """
    workspace = Path(config.run.output)
    lists_id = current_version(workspace, "lists")
    lists = read_manifest(workspace, "lists", lists_id, ListsManifest)
    manifest = read_manifest(workspace, "datasets", lists.dataset_id, Manifest)
    files = [
        workspace / "lists" / lists_id / file.path for file in lists.files.get(SIMILAR_ITEMS, ())
    ]
    if not files:
        raise ConfigError(
            f"lists {lists_id} have no lists of similar items; set score.similar_items, and run "
            "headrace score"
        )
    if item_id == FIRST:
        names = [
            row for path in files for row in read_columns(path, [ITEM_ID])[ITEM_ID][:1].to_pylist()
        ]
    else:
        names = _names(config, manifest, item_id)
    titles = _titles(workspace / "datasets" / manifest.id, manifest, names)
    known = [name for name in names if name in titles]
    if not known:
        raise ConfigError(
            f"item {item_id!r} is not in dataset {manifest.id}; --item first shows one"
        )
    own = known[-1] if item_id != FIRST else known[0]
    rows = pa.concat_tables(
        read_columns(path, [ITEM_ID, POSITION, SIMILAR_ID, SCORE], pc.field(ITEM_ID) == own)
        for path in files
    )
    found = rows.sort_by(POSITION).to_pylist()
    named = _titles(
        workspace / "datasets" / manifest.id, manifest, [row[SIMILAR_ID] for row in found]
    )
    return {
        "stage": "show",
        "item_id": own,
        "title": titles[own],
        "lists_id": lists_id,
        "similar": [
            {
                "position": row[POSITION],
                "item_id": row[SIMILAR_ID],
                "title": named.get(row[SIMILAR_ID]),
                "score": row[SCORE],
            }
            for row in found
        ],
    }


def _names(config: Config, manifest: Manifest, item_id: str) -> list[str]:
    """Return the ids that an item may have in a dataset, the most likely one last."""
    keys = load_keys(config.privacy)
    if keys is None or manifest.privacy is None or "items" not in manifest.privacy.ids:
        return [item_id]
    tenant = manifest.privacy.tenant
    labels = [pseudonym(key.label, tenant, "item", item_id) for key in reversed(keys.all())]
    return [item_id, *labels]


def _titles(dataset: Path, manifest: Manifest, names: list[str]) -> dict[str, str | None]:
    """Return the titles of those of the items that the dataset has."""
    wanted = pc.field(ITEM_ID).isin(pa.array(names, pa.string()))
    found: dict[str, str | None] = {}
    for file in manifest.files["items"]:
        for row in read_columns(dataset / file.path, (ITEM_ID, TITLE), wanted).to_pylist():
            found[row[ITEM_ID]] = row.get(TITLE)
    return found
