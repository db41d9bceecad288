"""Make a dataset forget the values of fields that nobody who is left has.

An entry of a vocabulary becomes null in its place, so that the numbers behind it stay what they
were. Its value is out of the vocabulary from then on, should it be delivered again. What is fitted
of many values at once (quantiles, means, medians, modes) stays.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from conf.contract import HISTORY_CONTEXT, DataFile, Manifest
from conf.workspace.hashes import hash_file
from conf.workspace.versions import write_json

ENCODERS = "encoders"
_IMPRESSIONS = ("train_impressions", "valid_impressions", "test_impressions")
# For each part with values of people the first part of its features' names, and where they are.
ENCODED_IN = {
    "user_features": ("user_", ("user_features",)),
    "impressions": ("context_", _IMPRESSIONS),
    "histories": (HISTORY_CONTEXT, ("histories",)),
}
_WITH_VOCABULARY = ("categorical", "tags")
Files = Mapping[str, Sequence[DataFile]]


def blank_vocabularies(
    manifest: Manifest, beside: Path, files: Files
) -> tuple[tuple[DataFile, ...], int]:
    """Blank the entries of the vocabularies of users' and events' fields that no row left has.

    Of a feature that selection left out no row tells, so all of its entries are.

    Args:
        manifest: Of the dataset as it was.
        beside: Where its replacement is built; the encoders there may be links.
        files: Those of the replacement by part.

    Returns:
        The new entries of the encoders' files, and how many values were blanked.
    """
    entries: list[DataFile] = []
    blanked = 0
    for file in files.get(ENCODERS, ()):
        path = beside / file.path
        if path.stem not in ENCODED_IN:
            entries.append(file)
            continue
        fitted = json.loads(path.read_bytes())
        numbers = _numbers_in_use(manifest, path.stem, beside, files)
        gone = sum(
            _blank(known["values"], numbers.get(ENCODED_IN[path.stem][0] + field))
            for field, known in fitted.items()
            if "values" in known
        )
        if gone:
            write_json(path, fitted)  # a new file: the one there is the old dataset's too
            file = file.model_copy(update={"bytes": path.stat().st_size, "sha256": hash_file(path)})
        entries.append(file)
        blanked += gone
    return tuple(entries), blanked


def drop_groups(manifest: Manifest, beside: Path, files: Files) -> tuple[dict[str, Any], int]:
    """Drop the groups of the users' fills that no user left is in.

    Returns:
        The new fills of all tables, and how many groups were dropped.
    """
    fills = dict(manifest.fills)
    source = manifest.config.get("input", {}).get("users") or {}
    dropped = 0
    for field, filled in fills.get("users", {}).items():
        if not filled["groups"]:
            continue
        group_by = source["fields"][field]["fill"]["group_by"]
        left = _values(beside, files.get("users", ()), group_by)
        groups = {text: value for text, value in filled["groups"].items() if _is_among(text, left)}
        dropped += len(filled["groups"]) - len(groups)
        fills["users"] = {**fills["users"], field: {**filled, "groups": groups}}
    return fills, dropped


def _numbers_in_use(
    manifest: Manifest, part: str, beside: Path, files: Files
) -> dict[str, tuple[int, set[int]]]:
    """Return for each feature how many numbers it can have, and those that rows have.

    One that selection left out is missing: no row tells of it.
    """
    entries = [file for member in ENCODED_IN[part][1] for file in files.get(member, ())]
    return {
        feature.name: (feature.cardinality, _values(beside, entries, feature.name))
        for feature in manifest.features.get(part, ())
        if feature.encoding in _WITH_VOCABULARY
        and feature.left_out is None
        and feature.cardinality is not None
    }


def _blank(values: list[str | None], in_use: tuple[int, set[int]] | None) -> int:
    """Blank a vocabulary's entries whose number no row has; return how many were there."""
    size, numbers = in_use or (0, set())
    first = size - len(values)
    gone = [
        index
        for index, value in enumerate(values)
        if value is not None and first + index not in numbers
    ]
    for index in gone:
        values[index] = None
    return len(gone)


def _values(folder: Path, files: Iterable[DataFile], column: str) -> set[Any]:
    """Return the distinct values of a column, those within lists one by one."""
    found: set[Any] = set()
    for file in files:
        values = pq.read_table(folder / file.path, columns=[column])[column]
        if pa.types.is_list(values.type):
            values = values.combine_chunks().flatten()
        found.update(values.unique().to_pylist())
    return found


def _is_among(text: str, values: set[Any]) -> bool:
    """Return whether one of a column's values is what Spark wrote as `text`."""
    kinds = {type(value) for value in values if value is not None}
    if float in kinds:
        return float(text) in values
    return text in {str(value).lower() if bool in kinds else str(value) for value in values}
