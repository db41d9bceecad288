"""Find each column in each file, and report how files differ: harmlessly, or against the contract.

User id, item id and time must be in every file. Any other column must be in at least one file;
in the others it is null, with a warning.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import pyarrow as pa
from pyarrow import types

from conf.contract import ITEM_ID, USER_ID
from conf.errors import InputError
from conf.runs.inputs.input_files import InputFile
from conf.settings.input import ColumnName, EventSource, Source
from conf.settings.rules.time_patterns import ISO
from etl.reading.header_hints import header_hint
from etl.reading.layout import SAMPLED_LINES, Layout
from etl.reading.typed import is_time
from etl.spark.columns import EVENT_ID, TIME_TEXT, TYPE_TEXT, VALUE_TEXT

_ALWAYS = (USER_ID, ITEM_ID, TIME_TEXT)
_NAMED_FILES = 3
_MOST_NAMES, _MOST_CHARACTERS = 30, 60
_Test = Callable[[pa.DataType], bool]


class Place(NamedTuple):
    """Where a file has a column."""

    where: Literal["file", "folder", "nowhere"]
    names: tuple[str, ...]
    """Its name there; if it is nowhere, the names that were looked for."""


Places = Mapping[str, Place]


@dataclass(frozen=True)
class Group:
    """Files of one shape."""

    layout: Layout
    """Layout of the first file."""
    places: Places
    """Where each of our columns is."""
    files: Sequence[InputFile]


def names_of(column: ColumnName) -> tuple[str, ...]:
    """Return a column's name or names as a tuple."""
    return (column,) if isinstance(column, str) else column


def group_files(
    source: Source, layouts: Sequence[Layout], columns: Mapping[str, ColumnName]
) -> list[Group]:
    """Return the files grouped by their shape.

    Args:
        source: Their format, and whether case counts.
        layouts: The columns of each file.
        columns: For each of our columns its name, or names, in the files.

    Raises:
        InputError: Listing all columns that are missing, ambiguous, or of a type that cannot be
            read.
    """
    places = [find_columns(layout, columns, source.match_case) for layout in layouts]
    _require_sound(source, layouts, places)
    groups: dict[str, Group] = {}
    for layout, found in zip(layouts, places, strict=True):
        types = [str(type_) for type_ in layout.types.values()]
        names = () if layout.is_sampled else layout.names
        ways = [layout.paths.get(place.names[0]) for place in found.values()]
        key = repr((names, layout.line_breaks, types, sorted(found.items()), ways))
        group = groups.setdefault(key, Group(layout, found, []))
        groups[key] = Group(group.layout, group.places, [*group.files, layout.file])
    return list(groups.values())


def find_columns(layout: Layout, columns: Mapping[str, ColumnName], match_case: bool) -> Places:
    """Return where a file has each column; if several names are given, all that it has."""
    places = {}
    for ours, column in columns.items():
        names = names_of(column)
        inside = _found(names, layout.names, match_case)
        outside = _found(names, tuple(layout.partitions), match_case)
        if inside:
            places[ours] = Place("file", inside)
        else:
            places[ours] = Place("folder", outside) if outside else Place("nowhere", names)
    return places


def warnings_of(
    layouts: Sequence[Layout], columns: Mapping[str, ColumnName], match_case: bool
) -> list[str]:
    """Return the harmless differences between the files."""
    layouts = [layout for layout in layouts if layout.is_known()]
    places = [find_columns(layout, columns, match_case) for layout in layouts]
    warnings: list[str] = []
    declared: set[str] = set()
    for ours, column in columns.items():
        lacking = [
            layout.file.name
            for layout, found in zip(layouts, places, strict=True)
            if found[ours].where == "nowhere"
        ]
        if lacking:
            among = f" among the first {SAMPLED_LINES} lines" if layouts[0].is_sampled else ""
            warnings.append(
                f"column {_any_of(names_of(column))} is not in {listed(lacking)}{among}: null there"
            )
        declared.update(*(found[ours].names for found in places))
        warnings += _unequal_types(layouts, [found[ours] for found in places])
    return [*warnings, *_undeclared(layouts, declared)]


def _found(names: Sequence[str], present: Sequence[str], match_case: bool) -> tuple[str, ...]:
    """Return the names that are present, repeated if present more than once."""
    exact = tuple(name for name in present if name in names)
    if exact or match_case:
        return exact
    folded = {name.casefold() for name in names}
    return tuple(name for name in present if name.casefold() in folded)


def _require_sound(source: Source, layouts: Sequence[Layout], places: Sequence[Places]) -> None:
    known = [pair for pair in zip(layouts, places, strict=True) if pair[0].is_known()]
    needed = {
        ours
        for ours in (known[0][1] if known else ())
        if ours in _ALWAYS or all(found[ours].where == "nowhere" for _, found in known)
    }
    files_of: dict[str, list[str]] = {}
    for layout, found in known:
        for problem in _problems(source, layout, found, needed):
            files_of.setdefault(problem, []).append(layout.file.name)
    if files_of:
        told = [f"{listed(files)}: {problem}" for problem, files in files_of.items()]
        raise InputError(
            "\n".join(
                [
                    *told,
                    "correct the names in the input section (upper and lower case count unless "
                    "match_case is false), or have the files delivered as before",
                ]
            )
        )


def _told(names: Sequence[str]) -> str:
    """Return the first names, long ones cut and control characters escaped."""
    shown = [name if name.isprintable() else ascii(name)[1:-1] for name in names[:_MOST_NAMES]]
    cut = [f"{n[:_MOST_CHARACTERS]}..." if len(n) > _MOST_CHARACTERS else n for n in shown]
    more = len(names) - len(cut)
    return ", ".join([*cut, *([f"and {more} more"] if more > 0 else [])])


def _problems(
    source: Source, layout: Layout, places: Places, needed: Collection[str]
) -> Iterable[str]:
    missing = [
        _any_of(place.names)
        for ours, place in places.items()
        if ours in needed and place.where == "nowhere"
    ]
    if missing:
        present = _told([*layout.names, *(f"{name} (folder)" for name in layout.partitions)])
        hint = header_hint(source, layout.names, missing)
        yield f"column(s) {', '.join(missing)} missing; present are {present or 'none'}{hint}"
    for ours, place in places.items():
        if place.where == "nowhere":
            continue
        if len(set(place.names)) > 1:
            yield f"columns {', '.join(place.names)} could each be {ours}; remove one of them"
        elif len(place.names) > 1:
            yield f"column(s) {place.names[0]} named more than once"
        type_ = layout.types.get(place.names[0]) if place.where == "file" else None
        rule = None if type_ is None else why_unreadable(source, ours, type_)
        if rule is not None:
            yield f"column {place.names[0]} is {type_}, but {ours} must be {rule}"


def _unequal_types(layouts: Sequence[Layout], places: Sequence[Place]) -> list[str]:
    files_of: dict[str, list[str]] = {}
    for layout, place in zip(layouts, places, strict=True):
        type_ = layout.types.get(place.names[0]) if place.where == "file" else None
        if type_ is not None:
            files_of.setdefault(str(type_), []).append(layout.file.name)
    if len(files_of) < 2:
        return []
    told = ", ".join(f"{type_} in {listed(files)}" for type_, files in sorted(files_of.items()))
    name = next(place.names[0] for place in places if place.where == "file")
    return [f"column {name} is {told}: read as text"]


def _undeclared(layouts: Sequence[Layout], declared: Collection[str]) -> list[str]:
    """Return a warning for each unused column that only some files have; JSON keys may vary."""
    files_with: dict[str, list[str]] = {}
    fixed = [layout for layout in layouts if not layout.is_sampled]
    for layout in fixed:
        for name in dict.fromkeys(layout.names):
            files_with.setdefault(name, []).append(layout.file.name)
    return [
        f"{f'column {name}' if name else 'a column without a name'}, which is not used, is only in "
        f"{listed(files)}"
        for name, files in files_with.items()
        if len(files) < len(fixed) and name not in declared
    ]


def _any_of(names: Sequence[str]) -> str:
    return " or ".join(names)


def listed(files: Sequence[str]) -> str:
    """Return the names of the first files, and how many more there are."""
    more = len(files) - _NAMED_FILES
    return ", ".join(files[:_NAMED_FILES]) + (f" and {more} more" if more > 0 else "")


def _is_text(type_: pa.DataType) -> bool:
    return bool(
        types.is_string(type_)
        or types.is_large_string(type_)
        or types.is_string_view(type_)
        or types.is_binary(type_)
        or types.is_large_binary(type_)
        or types.is_null(type_)
    )


def _is_moment(type_: pa.DataType) -> bool:
    return bool(types.is_timestamp(type_) or types.is_date(type_))


def _is_number(type_: pa.DataType) -> bool:
    return bool(types.is_integer(type_) or types.is_floating(type_) or types.is_decimal(type_))


def _is_exact(type_: pa.DataType) -> bool:
    return bool(types.is_integer(type_) or types.is_decimal(type_) or types.is_boolean(type_))


_ID: tuple[tuple[_Test, ...], str] = (
    (_is_text, _is_exact), "text or whole numbers; an id stored as a float may have lost digits"
)  # fmt: skip
_ALLOWED: Mapping[str, tuple[tuple[_Test, ...], str]] = {
    USER_ID: _ID,
    ITEM_ID: _ID,
    EVENT_ID: _ID,
    TYPE_TEXT: _ID,
    VALUE_TEXT: ((_is_text, _is_number, types.is_boolean), "a number or text"),
}
_ISO = ((_is_text, _is_moment), "a time, a date or text, because time_unit is iso")
_PATTERNED = (_is_text,), "text, because time_format is set; add iso to it for typed columns"
_COUNTED = ((_is_text, _is_number), "a number or text, because time_unit is not iso")


def why_unreadable(source: Source, ours: str, type_: pa.DataType) -> str | None:
    """Return what type a column must have if its own cannot be read as `ours`, else None."""
    allowed = _ALLOWED.get(ours)
    if ours == TIME_TEXT and isinstance(source, EventSource):
        allowed = _ISO if source.time_unit == "iso" else _COUNTED
    if is_time(source, ours) and source.time_format and ISO not in source.time_format:
        allowed = _PATTERNED
    if allowed is None:
        return None
    if types.is_dictionary(type_):
        type_ = type_.value_type
    tests, rule = allowed
    return None if any(test(type_) for test in tests) else rule
