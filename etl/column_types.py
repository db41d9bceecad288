"""Which types of a file's columns can be read as an id, a time or a number."""

from collections.abc import Callable, Mapping

import pyarrow as pa
from pyarrow import types

from conf.contract import ITEM_ID, USER_ID
from conf.input_schema import EventSource, Source
from etl.columns import EVENT_ID, TIME_TEXT, TYPE_TEXT, VALUE_TEXT

_Test = Callable[[pa.DataType], bool]


def _is_text(type_: pa.DataType) -> bool:
    return bool(
        types.is_string(type_) or types.is_large_string(type_) or types.is_string_view(type_)
        or types.is_binary(type_) or types.is_large_binary(type_) or types.is_null(type_)
    )  # fmt: skip


def _is_moment(type_: pa.DataType) -> bool:
    return bool(types.is_timestamp(type_) or types.is_date(type_))


def _is_number(type_: pa.DataType) -> bool:
    return bool(types.is_integer(type_) or types.is_floating(type_) or types.is_decimal(type_))


def _is_exact(type_: pa.DataType) -> bool:
    return bool(
        types.is_integer(type_) or types.is_decimal(type_) or types.is_boolean(type_)
    )  # fmt: skip


_ID: tuple[tuple[_Test, ...], str] = (
    (_is_text, _is_exact), "text or whole numbers: those that went through a float are not sure"
)  # fmt: skip
_ALLOWED: Mapping[str, tuple[tuple[_Test, ...], str]] = {
    USER_ID: _ID,
    ITEM_ID: _ID,
    EVENT_ID: _ID,
    TYPE_TEXT: _ID,
    VALUE_TEXT: ((_is_text, _is_number, types.is_boolean), "a number or text"),
}
_ISO = ((_is_text, _is_moment), "a time, a date or text, as time_unit is iso")
_COUNTED = ((_is_text, _is_number), "a number or text, by its time_unit")


def why_unreadable(source: Source, ours: str, type_: pa.DataType) -> str | None:
    """Return what a column would have to be, where its type cannot be read as `ours`."""
    allowed = _ALLOWED.get(ours)
    if ours == TIME_TEXT and isinstance(source, EventSource):
        allowed = _ISO if source.time_unit == "iso" else _COUNTED
    if allowed is None:
        return None
    if types.is_dictionary(type_):
        type_ = type_.value_type
    tests, rule = allowed
    return None if any(test(type_) for test in tests) else rule
