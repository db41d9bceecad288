"""The table of identities: the label and the number of each raw id in a dataset."""

from collections.abc import Collection
from pathlib import Path

import pyarrow as pa

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


def labels_of(workspace: Path, dataset: str, raw_ids: Collection[str]) -> dict[str, str]:
    """Return the labels of users in a dataset by raw id, whatever key made them."""
    found: dict[str, str] = {}
    for path in sorted(identities_folder(workspace, dataset).glob("*.parquet")):
        with told_if_damaged(path), open_parquet(path) as file:
            for batch in file.iter_batches(columns=[KIND, RAW_ID, LABEL]):
                rows = zip(*(column.to_pylist() for column in batch.columns), strict=True)
                found |= {
                    raw: label for kind, raw, label in rows if kind == "user" and raw in raw_ids
                }
    return found
