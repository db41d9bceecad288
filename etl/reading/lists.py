"""Warn about lists where one value is expected, and of which only the first element is read."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice

import pyarrow as pa

from conf.settings.input import ColumnName, Source
from etl.reading.drift import find_columns
from etl.reading.files.copies import open_after
from etl.reading.files.file_kinds import UNPACK_ERRORS
from etl.reading.files.quotes import dialect_of
from etl.reading.layout import SAMPLED_LINES, Layout


def list_warnings(
    source: Source,
    layouts: Sequence[Layout],
    columns: Mapping[str, ColumnName],
    encodings: Mapping[str, str],
) -> Iterator[str]:
    """Yield the warnings about columns that hold lists.

    Args:
        source: The input.
        layouts: The columns of each file.
        columns: For each of our columns its name, or names, in the files.
        encodings: For each of our columns that becomes a feature the kind of its encoding.
    """
    yield from _about_encodings(source, layouts, columns, encodings)
    for ours, column in columns.items():
        yield from _about_further_elements(source, layouts, ours, column)


def _about_further_elements(
    source: Source, layouts: Sequence[Layout], ours: str, column: ColumnName
) -> Iterator[str]:
    """Yield a warning if a column is the first element of lists that have more elements."""
    names, num_rows, num_longer = set[str](), 0, 0
    for layout in layouts:
        place = find_columns(layout, {ours: column}, source.match_case)[ours]
        way = layout.paths.get(place.names[0], ()) if place.where == "file" else ()
        lists = [way[: end + 1] for end, step in enumerate(way) if step == 0]
        # The lists of one column are within each other, so a row may count in several of them.
        most = max((layout.longer.get(path, 0) for path in lists), default=0)
        names |= {place.names[0]} if most else set()
        num_rows += layout.num_sampled if lists else 0
        num_longer += most
    if num_longer:
        yield (
            f"column {' or '.join(sorted(names))} reads the first element alone: in a sample of "
            f"{num_rows} rows, {num_longer} have more, which are not read; to read them all, write "
            "each element on a line of its own"
        )


def _about_encodings(
    source: Source,
    layouts: Sequence[Layout],
    columns: Mapping[str, ColumnName],
    encodings: Mapping[str, str],
) -> Iterator[str]:
    """Yield a warning for each column whose encoding does not fit its lists or objects.

    Types tell in Parquet, ORC and Avro; in csv and JSON lines the first lines do.
    """
    for ours, kind in encodings.items():
        if kind in ("vector", "text") or ours not in columns:
            continue
        for layout in layouts:
            place = find_columns(layout, {ours: columns[ours]}, source.match_case)[ours]
            holds = _holds(source, layout, place.names[0]) if place.where == "file" else ""
            if holds == "lists" and kind != "tags":
                yield (
                    f"column {place.names[0]} of {layout.file.name} holds lists, and the encoding "
                    f"{kind} takes each list as one value; kind: tags takes the elements"
                )
                break
            if holds == "objects":
                yield (
                    f"column {place.names[0]} of {layout.file.name} holds objects, and the "
                    f"encoding {kind} takes the JSON text of each as one value; name a column "
                    "within them"
                )
                break


def _holds(source: Source, layout: Layout, name: str) -> str:
    """Return whether a column holds `lists` or `objects`; empty if neither or not known."""
    type_ = layout.types.get(name)
    if type_ is not None:
        return _of_type(type_)
    if source.format == "jsonl":
        if any(other.startswith((f"{name}.", f"{name}[0].")) for other in layout.paths):
            return "objects"
        return "lists" if f"{name}[0]" in layout.paths else ""
    if source.format != "csv" or len(source.separator) != 1:
        return ""
    texts = list(_csv_texts(source, layout, layout.names.index(name)))
    with_brackets = sum(text.startswith("[") and text.endswith("]") for text in texts)
    return "lists" if with_brackets > len(texts) / 2 else ""


def _of_type(type_: pa.DataType) -> str:
    is_list = pa.types.is_list(type_) or pa.types.is_large_list(type_)
    if is_list or pa.types.is_fixed_size_list(type_):
        return _of_type(type_.value_type) or "lists"
    return "objects" if pa.types.is_nested(type_) else ""


def _csv_texts(source: Source, layout: Layout, place: int) -> Iterator[str]:
    """Yield the texts of a column in the first rows, without empty ones."""
    path = layout.file.path
    with (
        suppress(*UNPACK_ERRORS, csv.Error),
        open_after(path, source.encoding, source.skip_lines) as lines,
    ):
        rows = csv.reader(lines, **dialect_of(source))
        for row in islice(rows, int(source.header), SAMPLED_LINES):
            text = row[place].strip() if place < len(row) else ""
            if text:
                yield text
