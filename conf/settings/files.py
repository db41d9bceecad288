"""Which files an input reads, and how texts, numbers and times are written in them."""

import codecs
import difflib
from encodings.aliases import aliases
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from conf.settings.section import Section

TEXT_FORMATS = ("csv", "jsonl", "sequences")
_LINE_BREAKS = "\r\n"
# Of Python's text encodings those that are no character set of files.
_NO_CHARACTER_SETS = ("idna", "punycode", "raw_unicode_escape", "undefined", "unicode_escape")


class Files(Section):
    """Files of one shape, or a table of Spark's catalogue."""

    paths: tuple[str, ...] = ()
    """Globs relative to `input.root`; each must match a file. One with a wildcard also matches
    files with .gz, .bz2 or .zst at its end; a plain name is tried with them if there is no such
    file. Links are followed, except links to folders below `**`. A folder named `day=2026-03-01`
    can be read as a column `day`."""
    format: Literal["csv", "jsonl", "parquet", "orc", "avro", "table", "sequences"] = "csv"
    """Format of the files. table: a table of Spark's catalogue instead of files. sequences: one
    user per line, "user item item ...", oldest item first. avro needs Spark's package
    spark-avro."""
    table: str | None = None
    """Name of a table of Spark's catalogue (`database.table`). Only for the format table, which
    needs it and excludes paths."""
    table_version: str | None = None
    """Version of the table, such as a snapshot's id: change it whenever the rows change, or the
    table is not read again. The format table needs it."""
    match_case: bool = True
    """Whether upper and lower case count in column names. false: a name that differs only in case
    matches too, if there is just one."""
    damaged_files: Literal["stop", "quarantine"] = "stop"
    """What happens if a file is cut off or has the wrong type. stop: the run ends. quarantine: its
    readable lines are quarantined; compressed files are read once more to find damage."""
    encoding: str = "UTF-8"
    """Character set of csv, jsonl and sequences files, by any of Python's names: `cp1252`,
    `shift_jis`, `utf-16`. Files in another one than UTF-8, ASCII and ISO-8859-1 are copied as UTF-8
    into the workspace during the run."""
    skip_lines: Annotated[int, Field(ge=0)] = 0
    """Lines at the beginning of each csv, jsonl or sequences file that are left out, before the
    header. Above 0, the files are copied into the workspace during the run."""
    comment: str | None = None
    """Character at the beginning of the lines of a csv, jsonl or sequences file that are left out;
    null: there are none."""
    separator: str = ","
    """Text between the columns of a csv, one or more characters, such as "\\t" or "::"."""
    header: bool = True
    """Whether the first line of each csv file holds the column names."""
    column_names: tuple[str, ...] = ()
    """Names of all columns of a csv without a header line."""
    quote: str = '"'
    """Quote character of a csv; doubled inside quotes it is a normal character. "" for none. A line
    with an odd number of quotes is broken, unless multiline is true."""
    escape: str | None = None
    """Character before a quote inside quotes, and before itself, that makes it a normal character:
    "\\\\". null: the quote is doubled instead."""
    multiline: bool = False
    """Whether a quoted csv field may contain line breaks. Such files are not split."""
    null_values: tuple[str, ...] = ()
    """Texts that mean a missing value, in every column: `\\N`, `null`, `NaN`, `-`. Spaces around
    them do not count, upper and lower case do. An empty text is always missing."""
    decimal: Literal[".", ","] = "."
    """Decimal mark of the value, of times as numbers, and of fields of the types integer and
    number, in texts."""
    thousands: str | None = None
    """Mark between groups of digits of the value, of times as numbers, and of fields of the types
    integer and number, in texts; a space stands for every kind of space. null: there is none."""
    time_format: tuple[str, ...] = ()
    """Patterns of the time column if its unit is iso, and of fields of the type time, such as
    `dd.MM.yyyy HH:mm:ss`: a list, tried in order, of patterns of Java's DateTimeFormatter with
    English names; the word iso stands for ISO 8601. []: ISO 8601."""
    local_time_zone: str | None = None
    """Time zone (`Europe/Berlin`) of texts of times without an offset. A time that the clocks pass
    over is moved forward by the gap; of a time that they show twice, the first is meant. The
    ledger counts both. null: UTC."""

    @field_validator("time_format", mode="before")
    @classmethod
    def _one_format_is_a_list(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("separator")
    @classmethod
    def _tab_by_name(cls, value: str) -> str:
        return "\t" if value == "\\t" else value

    @model_validator(mode="after")
    def _is_read_from_one_place(self) -> "Files":
        if self.format != "table":
            if not self.paths:
                raise ValueError("paths is empty; name the files")
            if self.table is not None:
                raise ValueError(f"table={self.table!r} is only for the format 'table'")
        elif self.paths or not self.table or not self.table_version:
            raise ValueError(
                "the format 'table' needs table and table_version, and paths has to be empty"
            )
        return self

    @model_validator(mode="after")
    def _format_can_use_the_settings(self) -> "Files":
        of_text = ("encoding", "skip_lines", "comment")
        of_csv = ("separator", "header", "column_names", "quote", "escape", "multiline")
        unused = [
            *(of_csv if self.format != "csv" else ()),
            *(of_text if self.format not in TEXT_FORMATS else ()),
        ]
        for name in unused:
            if getattr(self, name) != type(self).model_fields[name].default:
                formats = "csv" if name in of_csv else ", ".join(TEXT_FORMATS)
                raise ValueError(
                    f"{name}={getattr(self, name)!r} is only for the format(s) {formats}, not "
                    f"{self.format!r}; remove it"
                )
        return self

    @model_validator(mode="after")
    def _encoding_is_known(self) -> "Files":
        try:
            name = codecs.lookup(self.encoding).name.replace("-", "_")
            known = bool("\n".encode(self.encoding)) and name not in _NO_CHARACTER_SETS
        except (LookupError, ValueError):
            known = False
        if not known:
            names = sorted({*aliases, *aliases.values()} - set(_NO_CHARACTER_SETS))
            near = difflib.get_close_matches(self.encoding.lower().replace("-", "_"), names, n=1)
            raise ValueError(
                f"encoding={self.encoding!r} is not a known character set; "
                + (f"did you mean {near[0]}?" if near else "use one of Python's names")
            )
        return self

    @model_validator(mode="after")
    def _marks_can_be_told_apart(self) -> "Files":
        """Check the marks of a csv and of its numbers."""
        if self.quote:
            _require_one_character("quote", self.quote, '"" for none')
        for name in ("escape", "comment", "thousands"):
            value = getattr(self, name)
            if value is not None:
                _require_one_character(name, value, "null for none")
        if not self.separator or set(self.separator) & {*_LINE_BREAKS, "\0"}:
            raise ValueError(
                f"separator={self.separator!r} has to be one or more characters other than line "
                "breaks"
            )
        if self.escape is not None and not self.quote:
            raise ValueError("escape needs a quote; set it to null, or quote to a character")
        marks = {"quote": self.quote, "escape": self.escape, "comment": self.comment}
        given = [(name, mark) for name, mark in marks.items() if mark]
        for number, (name, mark) in enumerate(given):
            others = [other for other, same in given[:number] if same == mark]
            others += ["separator"] if mark in self.separator and self.format == "csv" else []
            if others:
                raise ValueError(
                    f"{name}={mark!r} is also in {others[0]}; use another character for one of them"
                )
        return self

    @model_validator(mode="after")
    def _numbers_can_be_read(self) -> "Files":
        mark = self.thousands
        if mark is not None and (mark == self.decimal or mark.isalnum() or mark in "+-\\"):
            raise ValueError(
                f"thousands={mark!r} has to differ from decimal={self.decimal!r}, and to be no "
                "digit, letter, sign or backslash"
            )
        return self


def _require_one_character(name: str, value: str, otherwise: str) -> None:
    if len(value) != 1 or value in ("\r", "\n", "\0"):
        raise ValueError(
            f"{name}={value!r} has to be one character other than a line break, or {otherwise}"
        )
