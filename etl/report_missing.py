"""Missing values of the declared fields: in the tables as delivered, and in the dataset."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from conf.contract import Manifest
from conf.schema import Config
from etl.inputs import Staged
from etl.report_counts import Counts
from etl.report_data import MissingField
from etl.report_profile import read_part


def declared_fields(config: Config, staged: Staged) -> dict[str, list[str]]:
    """Return the declared fields of each table, without those that are not stored."""
    tables = {"items": config.input.items, "users": config.input.users}
    fields = {
        name: [field for field in table.fields if field in staged[name].judged.columns]
        for name, table in tables.items()
        if table is not None
    }
    return {name: names for name, names in fields.items() if names}


def missing_fields(
    fields: Mapping[str, Sequence[str]],
    delivered: Mapping[str, Counts],
    folder: Path,
    manifest: Manifest,
) -> list[MissingField]:
    """Return how often each field says nothing.

    Args:
        fields: Fields of each table.
        delivered: What `missing_by_field` counted in each table.
        folder: Folder of the dataset.
        manifest: Its manifest.
    """
    found = []
    for table, names in fields.items():
        rows, missing = count_missing(folder, manifest, table, names)
        for place, name in enumerate(names, start=1):
            of_table = delivered[table]
            found.append(
                MissingField(
                    table=table, field=name,
                    delivered_rows=of_table[0,], delivered_missing=of_table[place,],
                    published_rows=rows, published_missing=missing[name],
                )
            )  # fmt: skip
    return found


def count_missing(
    folder: Path, manifest: Manifest, part: str, fields: Sequence[str]
) -> tuple[int, dict[str, int]]:
    """Return the rows of a part, and those that say nothing in each field.

    A field that the part does not have is missing in every row.
    """
    rows, missing = 0, dict.fromkeys(fields, 0)
    for batch in read_part(folder, manifest, part, fields):
        rows += batch.num_rows
        for name in fields:
            is_there = name in batch.schema.names
            missing[name] += _num_missing(batch[name]) if is_there else batch.num_rows
    return rows, missing


def _num_missing(values: pa.Array) -> int:
    if not pa.types.is_string(values.type):
        return int(values.null_count)
    says = pc.fill_null(pc.match_substring_regex(values, r"\S"), False)
    return len(values) - int(pc.sum(says, min_count=0).as_py())
