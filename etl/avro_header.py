"""The schema in an Avro file's header, as an Arrow schema.

Source: Apache Avro specification 1.12, "Object Container Files".
"""

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa

_MAGIC = b"Obj\x01"
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
    with path.open("rb") as stream:
        if stream.read(len(_MAGIC)) != _MAGIC:
            raise ValueError("its first bytes are not those of Avro")
        schema = json.loads(_read_metadata(stream).get("avro.schema", b"null"))
    type_ = _arrow_type(schema)
    if not pa.types.is_struct(type_):
        raise ValueError(f"its rows are no records but {type_}")
    return pa.schema(list(type_))


def _read_metadata(stream: io.BufferedIOBase) -> dict[str, bytes]:
    """Read a map in blocks, each a count and so many keys and values, until a count of 0."""
    found: dict[str, bytes] = {}
    while count := _read_long(stream):
        if count < 0:
            _read_long(stream)  # the block's size in bytes
        for _ in range(abs(count)):
            key = _read_bytes(stream).decode()
            found[key] = _read_bytes(stream)
    return found


def _read_bytes(stream: io.BufferedIOBase) -> bytes:
    length = _read_long(stream)
    data = stream.read(max(length, 0))
    if len(data) != length:
        raise ValueError("its header is cut off")
    return data


def _read_long(stream: io.BufferedIOBase) -> int:
    """Read a number in zigzag coding, seven bits a byte, the lowest first."""
    number = shift = 0
    while True:
        byte = stream.read(1)
        if not byte:
            raise ValueError("its header is cut off")
        number |= (byte[0] & 0x7F) << shift
        shift += 7
        if byte[0] < 0x80:
            return (number >> 1) ^ -(number & 1)


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
