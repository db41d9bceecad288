"""Remove field values that no remaining user has from a dataset's encoders.

The entry of a vocabulary becomes null, so the entries after it keep their numbers. If the value is
delivered again, it is out of the vocabulary. Figures fitted to many values at once (quantiles,
means, medians, modes) stay.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from conf.contract import HISTORY_CONTEXT, DataFile, Manifest
from conf.workspace.hashes import hash_file
from conf.workspace.json_files import read_named, write_json
from conf.workspace.parquet import read_columns

ENCODERS = "encoders"
_IMPRESSIONS = ("train_impressions", "valid_impressions", "test_impressions")
# For each part with values of people: the prefix of its features, and the parts that hold them.
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
    """Blank vocabulary entries of users' and events' fields that no remaining row has.

    If selection left a feature out, no row has its values, so all its entries are blanked.

    Args:
        manifest: Manifest of the dataset before the erasure.
        beside: Folder in which its replacement is built; the encoders there may be links.
        files: Files of the replacement, by part.

    Returns:
        The new manifest entries of the encoders' files, and the number of blanked values.
    """
    entries: list[DataFile] = []
    blanked = 0
    for file in files.get(ENCODERS, ()):
        path = beside / file.path
        if path.stem not in ENCODED_IN:
            entries.append(file)
            continue
        fitted = read_named(path, file)
        numbers = _numbers_in_use(manifest, path.stem, beside, files)
        gone = sum(
            _blank(known["values"], numbers.get(ENCODED_IN[path.stem][0] + field))
            for field, known in fitted.items()
            if "values" in known
        )
        if gone:
            # A new file: the old one may be linked to the old dataset.
            write_json(path, fitted, sealed=False)
            file = file.model_copy(update={"bytes": path.stat().st_size, "sha256": hash_file(path)})
        entries.append(file)
        blanked += gone
    return tuple(entries), blanked


def drop_groups(manifest: Manifest, beside: Path, files: Files) -> tuple[dict[str, Any], int]:
    """Drop the groups of the users' fills that no remaining user is in.

    Returns:
        The new fills of all tables, and the number of dropped groups.
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
    """Return the size of each feature's numbering, and the numbers that occur in rows.

    Features that selection left out are not included: no row has them.
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
    """Blank the entries of a vocabulary whose number no row has; return how many."""
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
    """Return the distinct values of a column; lists count value by value."""
    found: set[Any] = set()
    for file in files:
        values = read_columns(folder / file.path, [column])[column]
        if pa.types.is_list(values.type):
            values = values.combine_chunks().flatten()
        found.update(values.unique().to_pylist())
    return found


def _is_among(text: str, values: set[Any]) -> bool:
    """Return whether Spark writes one of a column's values as `text`."""
    kinds = {type(value) for value in values if value is not None}
    if float in kinds:
        return float(text) in values
    return text in {str(value).lower() if bool in kinds else str(value) for value in values}
