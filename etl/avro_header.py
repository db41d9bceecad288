"""The schema in an Avro file's header, as an Arrow schema."""

from pathlib import Path
from typing import Any

import fastavro
import fastavro.schema
import pyarrow as pa

_PRIMITIVES = {
    "null": pa.null(), "boolean": pa.bool_(), "int": pa.int32(), "long": pa.int64(),
    "float": pa.float32(), "double": pa.float64(), "bytes": pa.binary(), "string": pa.string(),
    "enum": pa.string(), "fixed": pa.binary(),
}  # fmt: skip
_LOGICAL = {
    "date": pa.date32(), "decimal": pa.decimal128(38, 9), "uuid": pa.string(),
    "timestamp-millis": pa.timestamp("ms", "UTC"), "timestamp-micros": pa.timestamp("us", "UTC"),
    "local-timestamp-millis": pa.timestamp("ms"), "local-timestamp-micros": pa.timestamp("us"),
}  # fmt: skip


def read_avro_schema(path: Path) -> pa.Schema:
    """Return the columns of an Avro file; a decimal's precision and scale are left open.

    Raises:
        ValueError: When the header is damaged or holds no record.
    """
    try:
        with path.open("rb") as stream:
            schema = fastavro.reader(stream).writer_schema
    except (EOFError, KeyError, fastavro.schema.SchemaParseException) as error:
        raise ValueError(f"its header is cut off or damaged ({error})") from error
    type_ = _arrow_type(schema)
    if not pa.types.is_struct(type_):
        raise ValueError(f"its rows are no records but {type_}")
    return pa.schema(list(type_))


def _arrow_type(schema: Any) -> pa.DataType:
    if isinstance(schema, list):
        return _union(schema)
    if isinstance(schema, str):
        return _PRIMITIVES.get(schema, pa.struct([]))  # else the name of a record above
    if not isinstance(schema, dict):
        raise ValueError("its header holds no schema")
    kind = schema["type"]
    if schema.get("logicalType") in _LOGICAL:
        return _LOGICAL[schema["logicalType"]]
    if kind == "record":
        return pa.struct([(item["name"], _arrow_type(item["type"])) for item in schema["fields"]])
    if kind == "array":
        return pa.list_(_arrow_type(schema["items"]))
    if kind == "map":
        return pa.map_(pa.string(), _arrow_type(schema["values"]))
    return _arrow_type(kind)


def _union(members: list[Any]) -> pa.DataType:
    """Return the type of a value that may be null; of several kinds, one that nothing reads."""
    kinds = [_arrow_type(member) for member in members if member != "null"]
    return kinds[0] if len(kinds) == 1 else pa.struct([])
