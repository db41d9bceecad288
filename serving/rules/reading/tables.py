"""The fields of a dataset's items and users, as expressions see them."""

from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from conf.contract import ITEM_ID, ITEM_IDX, NUM_EVENTS, USER_ID, USER_IDX, Manifest
from conf.workspace.parquet import read_columns, told_if_damaged
from conf.workspace.versions import UNDATED
from serving.rules.sql import Fields
from trainer.data.columns import Ragged

_IDS = (ITEM_IDX, ITEM_ID, USER_IDX, USER_ID)


def read_item_fields(dataset: Path, manifest: Manifest) -> pa.Table:
    """Return the fields of all items in the order of their numbers; the reserved ones have no row.

    Times are timestamps.
    """
    files = [dataset / file.path for file in manifest.files["items"]]
    names = _field_names(files[0])
    rows = pa.concat_tables([read_columns(path, [ITEM_IDX, *names]) for path in files])
    return dated(rows.sort_by(ITEM_IDX).combine_chunks().select(names), manifest, "items")


def no_users(dataset: Path, manifest: Manifest) -> pa.Table:
    """Return a table without rows that has the fields of users."""
    return _no_rows(dataset, manifest, "users")


def no_items(dataset: Path, manifest: Manifest) -> pa.Table:
    """Return a table without rows that has the fields of items."""
    return _no_rows(dataset, manifest, "items")


def _no_rows(dataset: Path, manifest: Manifest, table: str) -> pa.Table:
    path = dataset / manifest.files[table][0].path
    with told_if_damaged(path):
        rows = pq.read_schema(path).empty_table().select(_field_names(path))
    return dated(rows, manifest, table)


def dated(rows: pa.Table, manifest: Manifest, table: str) -> pa.Table:
    """Return rows of `items/` or `users/` with times as timestamps.

    Args:
        rows: With times in microseconds since 1970 UTC.
        manifest: The dataset.
        table: `items` or `users`.
    """
    declared = (manifest.config["input"].get(table) or {}).get("fields") or {}
    for place, field in enumerate(rows.schema):
        if declared.get(field.name, {}).get("type") == "time" and pa.types.is_int64(field.type):
            times = rows.column(place).cast(pa.timestamp("us"))
            rows = rows.set_column(place, field.name, times)
    return rows


def fields_of(items: pa.Table, users: pa.Table, logical_date: str) -> Fields:
    """Return what expressions may use.

    Args:
        items: Fields of items; only the schema counts.
        users: Fields of users; only the schema counts.
        logical_date: The day of the dataset, or `UNDATED`.
    """
    return Fields(
        {field.name: field.type for field in items.schema},
        {field.name: field.type for field in users.schema},
        None if logical_date == UNDATED else date.fromisoformat(logical_date),
    )


def _field_names(path: Path) -> list[str]:
    with told_if_damaged(path):
        return [name for name in pq.read_schema(path).names if name not in _IDS]


def with_num_events(users: pa.Table, histories: Ragged) -> pa.Table:
    """Return users whose number of events is the length of these histories.

    Args:
        users: N users, perhaps with the field `num_events`, which is that of the whole log.
        histories: [N]
    """
    if NUM_EVENTS not in users.column_names:
        return users
    at = users.column_names.index(NUM_EVENTS)
    lengths = pa.array(histories.lengths).cast(users.schema.field(at).type)
    return users.set_column(at, NUM_EVENTS, lengths)
