"""Look up one item: its published list of similar items, with the titles.

Only the rows of the item are read, with pyarrow alone: neither Ray nor torch is started.
"""

from collections.abc import Mapping, Sequence
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
from conf.privacy.fitting import warn_of_raw_ids
from conf.privacy.log_ids import forms_in_dataset
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
    warn_of_raw_ids(config, lists_id)
    manifest = read_manifest(workspace, "datasets", lists.dataset_id, Manifest)
    files = [
        workspace / "lists" / lists_id / file.path for file in lists.files.get(SIMILAR_ITEMS, ())
    ]
    if not files:
        raise ConfigError(
            f"lists {lists_id} have no lists of similar items; set score.similar_items, and run "
            "headrace score"
        )
    dataset = workspace / "datasets" / manifest.id
    names = _first(files)
    if item_id != FIRST:
        names = forms_in_dataset(config, manifest, "item", item_id)
    titles = _titles(dataset, manifest, names)
    known = [name for name in names if name in titles]
    if not known:
        raise ConfigError(
            f"item {item_id!r} is not in dataset {manifest.id}; --item first shows one"
        )
    rows = _similar(files, known[-1])
    named = _titles(dataset, manifest, [row[SIMILAR_ID] for row in rows])
    return {
        "stage": "show",
        "item_id": known[-1],
        "title": titles[known[-1]],
        "lists_id": lists_id,
        "similar": [_shown_row(row, named) for row in rows],
    }


def _first(files: Sequence[Path]) -> list[str]:
    """Return the first item that has a list, none if no item has one."""
    for path in files:
        ids: list[str] = read_columns(path, [ITEM_ID])[ITEM_ID][:1].to_pylist()
        if ids:
            return ids
    return []


def _similar(files: Sequence[Path], item_id: str) -> list[dict[str, Any]]:
    """Return the rows of an item's list, best first."""
    columns = [ITEM_ID, POSITION, SIMILAR_ID, SCORE]
    is_it = pc.field(ITEM_ID) == item_id
    rows = pa.concat_tables(read_columns(path, columns, is_it) for path in files)
    found: list[dict[str, Any]] = rows.sort_by(POSITION).to_pylist()
    return found


def _shown_row(row: Mapping[str, Any], titles: Mapping[str, str | None]) -> dict[str, Any]:
    return {
        "position": row[POSITION],
        "item_id": row[SIMILAR_ID],
        "title": titles.get(row[SIMILAR_ID]),
        "score": row[SCORE],
    }


def _titles(dataset: Path, manifest: Manifest, names: list[str]) -> dict[str, str | None]:
    """Return the titles of those of the items that the dataset has."""
    wanted = pc.field(ITEM_ID).isin(pa.array(names, pa.string()))
    found: dict[str, str | None] = {}
    for file in manifest.files["items"]:
        for row in read_columns(dataset / file.path, (ITEM_ID, TITLE), wanted).to_pylist():
            found[row[ITEM_ID]] = row.get(TITLE)
    return found
