"""Read raw input as text: explicit schemas, each row with the file and line it came from."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from pathlib import Path
from types import MappingProxyType

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from conf.contract import ITEM_ID, USER_ID
from conf.errors import ConfigError, InputError
from conf.runs.inputs.input_files import InputFile
from conf.settings.files import TEXT_FORMATS
from conf.settings.input import ColumnName, Source
from conf.settings.section import why_unusable
from etl.reading.charsets import encoding_warnings
from etl.reading.drift import Place, Places, group_files, warnings_of
from etl.reading.files.copies import as_spark_reads, copy_as_utf8, needs_copy
from etl.reading.files.file_kinds import codec_of_name
from etl.reading.files.first_bytes import TEXT
from etl.reading.files.padding import length_without_padding, without_padding
from etl.reading.files.salvage import salvage, split_damaged
from etl.reading.files.same_content import hash_contents
from etl.reading.layout import REPLACEMENT, read_layouts
from etl.reading.lists import list_warnings
from etl.reading.origin import ORIGIN, PARTITIONS, PATH, Rows, describe_files
from etl.reading.read_columnar import read_columnar, read_table
from etl.reading.read_csv import read_csv, read_damaged, read_sequences
from etl.reading.read_json import read_json_lines
from etl.spark.columns import BROKEN, NOT_DECODED, RAW
from etl.spark.paths import absolute

_FIRST_SPARK_WITH_ZSTD = (4, 1)


def read_rows(
    spark: SparkSession,
    source: Source,
    files: Sequence[InputFile],
    columns: Mapping[str, ColumnName],
    scratch: Path | None = None,
) -> DataFrame:
    """Read the files of one input.

    Args:
        spark: The session.
        source: Format of the files.
        files: The files; among files with the same content only the first by name counts.
        columns: For each column of the result the name, or names, of the file's column that it
            is read from.
        scratch: Folder that all machines see, for copies in UTF-8 and the lines saved from damaged
            files.

    Returns:
        One row per row of the files: the columns of origin, RAW, BROKEN and `columns` as text.

    Raises:
        InputError: When a column is missing or a file cannot be read.
    """
    if source.format == "sequences":
        columns = {USER_ID: USER_ID, ITEM_ID: ITEM_ID}
    sound, damaged = _sorted_out(source, files)
    _require_zstd(spark, files)
    salvaged = {file: salvage(file, _required(scratch), source.encoding) for file in damaged}
    instead = _read_instead(source, sound, scratch)
    source = as_spark_reads(source)
    sound = [replace(file, path=instead[file]) for file in sound]
    read = list(_read_groups(spark, source, sound, columns))
    if salvaged:
        read.append((read_damaged(spark, source, list(salvaged.values())), {}))
    if not read:
        raise InputError(f"no rows in {', '.join(f.name for f in files)}: the input is empty")
    folders = {
        place.names[0] for _, places in read for place in places.values() if place.where == "folder"
    }
    origins = F.broadcast(describe_files(spark, files, {**salvaged, **instead}, damaged, folders))
    frames = [
        rows.frame.join(origins, PATH, "left").select(*_parts(source, rows, places, columns))
        for rows, places in read
    ]
    return reduce(DataFrame.unionByName, frames)


def check_files(
    source: Source,
    files: Sequence[InputFile],
    columns: Mapping[str, ColumnName],
    encodings: Mapping[str, str] = MappingProxyType({}),
) -> list[str]:
    """Check files before the job starts, and return warnings about them.

    Args:
        source: Format of the files.
        files: The files.
        columns: For each of our columns its name, or names, in the files.
        encodings: For each of our columns that becomes a feature the kind of its encoding.

    Raises:
        InputError: When a column is missing or a file cannot be read.
    """
    if source.format == "table":
        return []  # a table can be checked by Spark only
    sound, damaged = _sorted_out(source, files)
    warnings = [
        f"{file.name} {fault}; its lines are in quarantine" for file, fault in damaged.items()
    ]
    if source.format in TEXT_FORMATS:
        warnings += _about_compressed(sound)
        warnings += encoding_warnings(source, sound)
    if source.format == "sequences":
        return warnings
    layouts = read_layouts(source, sound)
    group_files(source, layouts, columns)
    warnings += warnings_of(layouts, columns, source.match_case)
    return [*warnings, *list_warnings(source, layouts, columns, encodings)]


def _about_compressed(files: Sequence[InputFile]) -> Iterator[str]:
    """Yield warnings about zero bytes after files, and about files that are there twice."""
    for file in files:
        size = file.path.stat().st_size
        zeros = size - length_without_padding(file.path, codec_of_name(file.path))
        if zeros:
            yield f"{file.name} has {zeros} zero bytes after its end: they are not read"
    hashes, by_path = hash_contents(files), {file.path: file for file in files}
    for file in files:
        plain = by_path.get(file.path.with_suffix(""))
        is_packed = codec_of_name(file.path) != TEXT
        if is_packed and plain is not None and hashes[plain] != hashes[file]:
            yield f"{plain.name} and {file.name} differ in content: both are read"


def field_columns(source: Source) -> dict[str, ColumnName]:
    """Return for each declared field the name, or names, of its column in the files."""
    return {name: field.column or name for name, field in source.fields.items()}


def _read_groups(
    spark: SparkSession,
    source: Source,
    files: Sequence[InputFile],
    columns: Mapping[str, ColumnName],
) -> Iterator[tuple[Rows, Places]]:
    """Yield, for each group of files of one shape, the rows and where the columns are."""
    if source.format == "table":
        for table in files:
            yield read_table(spark, source, table, columns), {}
        return
    if source.format == "sequences":
        if files:
            yield read_sequences(spark, source, [file.path for file in files]), {}
        return
    readers = {"csv": read_csv, "jsonl": read_json_lines}
    read = readers.get(source.format, read_columnar)
    for group in group_files(source, read_layouts(source, files), columns):
        yield read(spark, source, group), group.places


def _parts(
    source: Source, rows: Rows, places: Places, columns: Mapping[str, ColumnName]
) -> list[Column]:
    """Return the columns of the result."""
    read = {**_of_folders(places), **rows.values}
    values = {**dict.fromkeys(columns, F.lit(None)), **_without_nulls(source, read)}
    broken = rows.broken
    for ours in {USER_ID, ITEM_ID} & rows.values.keys():
        # Bytes that are invalid in the encoding: two ids may have become one.
        garbled = F.contains(rows.values[ours].cast("string"), F.lit(REPLACEMENT))
        broken = broken | F.coalesce(garbled, F.lit(False))
    texts = [value.cast("string").alias(ours) for ours, value in values.items()]
    marks = [broken.alias(BROKEN), _is_not_decoded(rows).alias(NOT_DECODED)]
    return [*map(F.col, ORIGIN), *marks, rows.raw.alias(RAW), *texts]


def _without_nulls(source: Source, values: Mapping[str, Column]) -> dict[str, Column]:
    """Return the values, null where their text means that they are missing."""
    if not source.null_values:
        return dict(values)
    return {
        ours: F.when(~F.trim(value.cast("string")).isin(*source.null_values), value)
        for ours, value in values.items()
    }


def _is_not_decoded(rows: Rows) -> Column:
    """Return whether a column that is read has characters that could not be decoded."""
    texts = [
        F.coalesce(F.contains(value.cast("string"), F.lit(REPLACEMENT)), F.lit(False))
        for value in rows.values.values()
    ]
    return reduce(Column.__or__, texts, F.lit(False))


def _of_folders(places: Mapping[str, Place]) -> dict[str, Column]:
    return {
        ours: F.col(PARTITIONS)[place.names[0]]
        for ours, place in places.items()
        if place.where == "folder"
    }


def _sorted_out(
    source: Source, files: Sequence[InputFile]
) -> tuple[list[InputFile], dict[InputFile, str]]:
    if source.format == "table":
        return list(files), {}
    hidden = [file.name for file in files if file.path.name.startswith(("_", "."))]
    if hidden:
        raise InputError(
            f"{', '.join(hidden)}: Spark skips files whose name begins with "
            "'_' or '.'; rename them or narrow `paths`"
        )
    odd = [file.name for file in files if ":" in file.path.name or why_unusable(str(file.path))]
    if odd:
        raise InputError(
            f"{', '.join(map(ascii, odd))}: Spark cannot read a file whose name contains ':' "
            "or bytes that are not UTF-8, nor one in a folder whose path contains ':' and one of "
            "\\ { } [ ] * ?; rename them"
        )
    return split_damaged(source, files)


def _require_zstd(spark: SparkSession, files: Sequence[InputFile]) -> None:
    packed = [file.name for file in files if file.path.suffix == ".zst"]
    version = tuple(int(part) for part in spark.version.split(".")[:2])
    if packed and version < _FIRST_SPARK_WITH_ZSTD:
        raise ConfigError(
            f"{packed[0]}: Spark {spark.version} cannot read zstd, Spark 4.1 "
            "can; compress the files as .gz or .bz2"
        )


def _read_instead(
    source: Source, files: Sequence[InputFile], scratch: Path | None
) -> dict[InputFile, Path]:
    """Return for each file the path that Spark reads: its own, or that of a copy it can read."""
    paths = {}
    for file in files:
        found = file
        if source.format in TEXT_FORMATS:
            found = without_padding(file, scratch, codec_of_name(file.path))
        if source.format in TEXT_FORMATS and needs_copy(source):
            paths[file] = copy_as_utf8(source, found, _required(scratch))
        elif file.hidden is not None:
            paths[file] = _link(found, _required(scratch))
        else:
            paths[file] = found.path
    return paths


def _link(file: InputFile, folder: Path) -> Path:
    """Return a link to a file that does not have its name, which Spark would log."""
    packed = file.path.suffix if codec_of_name(file.path) != TEXT else ""
    link = folder / f"{file.name}{packed}"
    folder.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():  # else another log reads the same file
        link.symlink_to(absolute(file.path))
    return link


def _required(scratch: Path | None) -> Path:
    assert scratch is not None  # the stage passes one
    return scratch
