"""Describe the columns that a trainer or scorer streams, for each part of a dataset."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from conf.contract import (
    HISTORY_ITEMS,
    HISTORY_TYPES,
    ITEM_IDX,
    PADDING_IDX,
    TARGET_ITEM,
    UNKNOWN_IDX,
    USER_IDX,
    Column,
    Feature,
    Vocabulary,
)
from etl.features import IMPRESSION_PARTS, IMPRESSIONS, ITEM_FEATURES, USER_FEATURES
from etl.history_features import HISTORIES
from etl.impressions import LABEL
from etl.neighbours import ITEM_NEIGHBOURS, NEIGHBOUR_IDX

_FEATURES_OF = {
    ITEM_FEATURES: ITEM_FEATURES,
    USER_FEATURES: USER_FEATURES,
    **dict.fromkeys(IMPRESSION_PARTS, IMPRESSIONS),
    **dict.fromkeys(("train", "valid", "test", HISTORIES), HISTORIES),
}
STREAMED = (*_FEATURES_OF, ITEM_NEIGHBOURS)
_ITEMS = (HISTORY_ITEMS, TARGET_ITEM, ITEM_IDX, NEIGHBOUR_IDX)
_RESERVED = {"padding": PADDING_IDX, "unknown": UNKNOWN_IDX}


def describe_columns(
    root: Path,
    vocabularies: Mapping[str, Vocabulary],
    features: Mapping[str, Sequence[Feature]],
    num_event_types: int,
) -> dict[str, tuple[Column, ...]]:
    """Return for each part that is streamed its columns, as its files have them.

    Args:
        root: Folder of the dataset.
        vocabularies: Those of items and users.
        features: The features by part.
        num_event_types: Event types in use.
    """
    sizes = {
        USER_IDX: vocabularies["user"].size,
        HISTORY_TYPES: num_event_types,
        **dict.fromkeys(_ITEMS, vocabularies["item"].size),
    }
    columns = {}
    for part in STREAMED:
        files = sorted((root / part).glob("*.parquet"))
        if files:
            known = {
                feature.name: feature for feature in features.get(_FEATURES_OF.get(part, ""), ())
            }
            schema = pq.read_schema(files[0])
            columns[part] = tuple(_column(field, sizes, known) for field in schema)
    return columns


def _column(field: pa.Field, sizes: Mapping[str, int], features: Mapping[str, Feature]) -> Column:
    dtype = str(field.type).replace("element: ", "").replace("item: ", "").replace(" not null", "")
    feature = features.get(field.name)
    if feature is not None:
        is_list = pa.types.is_list(field.type) and feature.kind != "vector"
        kind = "sequence" if is_list else feature.kind
        reserved = {} if feature.cardinality is None else _RESERVED
        return Column(name=field.name, kind=kind, dtype=dtype, cardinality=feature.cardinality,
                      reserved_ids=reserved)  # fmt: skip
    is_id = field.name == USER_IDX or field.name in _ITEMS
    return Column(
        name=field.name,
        kind=_kind(field),
        dtype=dtype,
        cardinality=sizes.get(field.name),
        reserved_ids=_RESERVED if is_id else {},
    )


def _kind(field: pa.Field) -> str:
    if field.name == TARGET_ITEM or field.name.startswith(LABEL):
        return "label"
    if pa.types.is_list(field.type):
        return "sequence"
    return "id" if field.name in (USER_IDX, ITEM_IDX, NEIGHBOUR_IDX) else "numeric"
