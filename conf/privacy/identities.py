"""The table of identities: the label and the number of each raw id in a dataset."""

from collections.abc import Collection
from pathlib import Path

import pyarrow as pa

from conf.workspace.folders import listed
from conf.workspace.parquet import open_parquet, told_if_damaged

IDENTITIES = "identities"
"""Folder in the workspace with one folder per dataset; only the owner may open them."""

KIND = "kind"  # user or item
RAW_ID = "raw_id"
LABEL = "pseudonym"
NUMBER = "number"
SCHEMA = pa.schema(
    [
        pa.field(KIND, pa.string(), nullable=False),
        pa.field(RAW_ID, pa.string(), nullable=False),
        pa.field(LABEL, pa.string(), nullable=False),
        pa.field(NUMBER, pa.int64(), nullable=False),
    ]
)


def identities_folder(workspace: Path, dataset: str) -> Path:
    """Return the folder of a dataset's table of identities."""
    return workspace / IDENTITIES / dataset


def _rows(path: Path) -> list[tuple[str, str, str]]:
    """Return kind, raw id and label of each row of a table of identities.

    Raises:
        VersionError: When the file is damaged, or another table.
    """
    with told_if_damaged(path), open_parquet(path) as file:
        if not file.schema_arrow.equals(SCHEMA):
            raise pa.ArrowInvalid("it is no table of identities")
        columns = file.read(columns=[KIND, RAW_ID, LABEL]).to_pydict()
        return list(zip(columns[KIND], columns[RAW_ID], columns[LABEL], strict=True))


def labels_of(workspace: Path, dataset: str, raw_ids: Collection[str]) -> dict[str, str]:
    """Return the labels of users in a dataset by raw id, whatever key made them."""
    found: dict[str, str] = {}
    for path in listed(identities_folder(workspace, dataset), "*.parquet"):
        for kind, raw, label in _rows(path):
            if kind == "user" and raw in raw_ids:
                found[raw] = label
    return found
