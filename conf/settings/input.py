"""The configuration's section `input`: which files, in which shape."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from conf.settings.section import Name, Section

ColumnName = str | tuple[str, ...]
"""A column's name, or several of which each file holds exactly one. A dot leads into an object
(`user.id`), [0] to the first element of a JSON array."""


class Fill(Section):
    kind: Literal["constant", "median", "mode"]
    """Of an even number of values the median is the lower one of the two in the middle; the
    mode is the most frequent value, the smaller one of two."""
    value: float | str | bool | None = None
    """The constant."""
    group_by: str | None = None
    """Another field of the table: median and mode are those of the rows with the same text or
    number in it; null: of all rows."""

    @model_validator(mode="after")
    def _fits(self) -> "Fill":
        if (self.kind == "constant") != (self.value is not None):
            raise ValueError("value has to be set where kind is constant, and only there")
        if self.kind == "constant" and self.group_by is not None:
            raise ValueError("group_by has no meaning where kind is constant; set it to null")
        return self


class InputField(Section):
    column: ColumnName | None = None
    """Its name in the files, or several; null: the one that it has here."""
    type: Literal["text", "integer", "number", "boolean", "time"] = "text"
    """What its text has to say. All but a text are kept as such: integer as int64, number as
    double, time (ISO 8601) as microseconds since 1970 UTC."""
    minimum: float | None = None
    """Smallest right value of an integer or number."""
    maximum: float | None = None
    """Largest right value of an integer or number."""
    allowed: tuple[str, ...] = ()
    """Texts that are right, as they stand in the files; empty: all."""
    bad: Literal["quarantine", "blank"] = "quarantine"
    """What is done about a wrong text: quarantine takes the whole row out, blank makes this
    field null and counts that as a warning. An empty text is no wrong one."""
    fill: Fill | None = None
    """What stands in for a missing value, beside a column `..._was_missing`; null: nothing."""

    @model_validator(mode="after")
    def _fits(self) -> "InputField":
        has_range = self.minimum is not None or self.maximum is not None
        if has_range and self.type not in ("integer", "number"):
            raise ValueError(f"minimum and maximum are for integers and numbers, not {self.type}")
        kind = None if self.fill is None else self.fill.kind
        if kind == "median" and self.type in ("text", "boolean"):
            raise ValueError(f"a {self.type} has no median; use mode, or type integer or number")
        if self.fill is not None and kind == "constant" and not self._can_hold(self.fill.value):
            raise ValueError(f"fill.value={self.fill.value!r} is not of the type {self.type}")
        return self

    def _can_hold(self, value: float | str | bool | None) -> bool:
        if isinstance(value, bool) or self.type == "boolean":
            return isinstance(value, bool) and self.type == "boolean"
        if self.type == "integer":
            return isinstance(value, float) and value.is_integer()
        return isinstance(value, float if self.type == "number" else str)


class Source(Section):
    """Files of one table."""

    paths: tuple[str, ...] = ()
    """Globs relative to `input.root`, each of which has to match a file. One that matches
    none is tried again with .gz, .bz2 and .zst behind it. Links to files are followed, links to
    folders too, but for those that `**` would lead into. Of folders named `day=2026-03-01` the
    value can be read as a column `day`."""
    format: Literal["csv", "jsonl", "parquet", "orc", "avro", "table", "sequences"] = "csv"
    """`table`: one of Spark's catalogue, see `table`. `sequences`: one user a line,
    "user item item ...", oldest item first. `avro` needs Spark's package spark-avro."""
    table: str | None = None
    """Name of a table of Spark's catalogue (`database.table`), in place of `paths`."""
    table_version: str | None = None
    """Text that changes whenever the table's rows do, such as a snapshot's id: the table is
    read again only under another text."""
    match_case: bool = True
    """Whether upper and lower case count in the names of columns. If not, a column whose name
    differs in case only is taken, where there is just one."""
    damaged_files: Literal["stop", "quarantine"] = "stop"
    """What becomes of a file that is cut off or not what its name says: `stop` ends the run,
    `quarantine` sets all lines of it that can be read aside, for which compressed files are
    read once more."""
    separator: str = ","
    """Between the columns of a csv, one or more characters ("\\t", "::")."""
    header: bool = True
    """Whether the first line of each csv file holds the column names."""
    column_names: tuple[str, ...] = ()
    """Names of a csv's columns where it has no header line."""
    encoding: str = "UTF-8"
    """Character set of csv and jsonl files."""
    quote: str = '"'
    """Quote character of a csv; doubled inside quotes it stands for itself; "" for none. A line
    with an odd number of them is broken, unless `multiline` is set."""
    multiline: bool = False
    """Whether a quoted csv field may hold line breaks (such a file is not split)."""
    fields: dict[Name, InputField] = {}
    """Further columns that are kept, by the name that they get."""

    @model_validator(mode="after")
    def _is_read_from_one_place(self) -> "Source":
        if self.format != "table":
            if not self.paths:
                raise ValueError("paths is empty; name the files")
            if self.table is not None:
                raise ValueError(f"table={self.table!r} belongs to the format 'table' alone")
        elif self.paths or not self.table or not self.table_version:
            raise ValueError(
                "the format 'table' needs table and table_version, and paths has to be empty"
            )
        return self

    @model_validator(mode="after")
    def _lines_can_be_told_apart(self) -> "Source":
        try:
            line_break = "\n".encode(self.encoding)
        except LookupError:
            raise ValueError(f"encoding={self.encoding!r} is no character set") from None
        if line_break != b"\n" and not (self.format == "csv" and self.multiline):
            raise ValueError(
                f"encoding={self.encoding!r} writes a line break in several bytes, which only a "
                "csv with multiline: true may have; convert the files to UTF-8"
            )
        return self


class EventColumns(Section):
    """Names, in the source, of what an event is made of; each may be a list of names."""

    user_id: ColumnName = "user_id"
    item_id: ColumnName = "item_id"
    time: ColumnName | None = "time"
    """null where the order of the lines is the time."""
    event_type: ColumnName | None = None
    """null: all events of the files have one type, see `event_type` beside `columns`."""
    value: ColumnName | None = None
    """A number of the event, such as its rating or price."""
    event_id: ColumnName | None = None
    """null: two rows equal in all of the above are the same event."""


class EventSource(Source):
    columns: EventColumns = EventColumns()
    event_type: str | None = None
    """Type of all events of these files where columns.event_type is null; null: the first of
    `etl.event_types`."""
    part: Literal["train", "valid", "test"] | None = None
    """Part that all events of these files belong to, where `etl.split.kind` is given."""
    time_unit: Literal["seconds", "milliseconds", "microseconds", "iso", "order"]
    """Unit of the time column; `order`: a number that only orders a user's events."""

    @model_validator(mode="after")
    def _time_has_a_source(self) -> "EventSource":
        if self.columns.time is None and self.time_unit != "order":
            raise ValueError(
                "columns.time is null: then the order of lines is the time, and "
                "time_unit has to be 'order'"
            )
        if self.columns.time is None and self.format == "table":
            raise ValueError("columns.time is null, but the rows of a table have no order")
        return self

    @model_validator(mode="after")
    def _events_are_not_filled(self) -> "EventSource":
        filled = [name for name, field in self.fields.items() if field.fill is not None]
        if filled:
            raise ValueError(f"fields.{filled[0]}.fill is for tables of items and users only")
        return self


class TableSource(Source):
    id_column: ColumnName
    """Column that holds the raw id, or several names of it."""
    title_column: ColumnName | None = None
    """Column that is shown to people."""

    @model_validator(mode="after")
    def _fills_fit(self) -> "TableSource":
        for name, field in self.fields.items():
            group = None if field.fill is None else field.fill.group_by
            if group is not None and (group == name or group not in self.fields):
                raise ValueError(
                    f"fields.{name}.fill.group_by={group!r} is no other field; there are "
                    f"{', '.join(sorted(self.fields))}"
                )
            if field.fill is not None and f"{name}_was_missing" in self.fields:
                raise ValueError(
                    f"fields.{name}_was_missing: rename it, fields.{name}.fill makes "
                    "a column of that name"
                )
        return self


class Input(Section):
    root: str
    """Folder that all paths start from."""
    events: Annotated[dict[str, EventSource], Field(min_length=1)]
    """Logs of any names, which together are one: views here, purchases there."""
    items: TableSource | None = None
    users: TableSource | None = None

    @model_validator(mode="after")
    def _one_kind_of_time(self) -> "Input":
        ordered = [name for name, log in self.events.items() if log.time_unit == "order"]
        if ordered and len(ordered) < len(self.events):
            raise ValueError(
                f"events.{ordered[0]}.time_unit is 'order', those of other logs are not: "
                "their events have no common order"
            )
        return self

    @model_validator(mode="after")
    def _one_type_a_field(self) -> "Input":
        types: dict[str, str] = {}
        for name, log in self.events.items():
            for field, spec in log.fields.items():
                if types.setdefault(field, spec.type) != spec.type:
                    raise ValueError(
                        f"events.{name}.fields.{field}.type is {spec.type!r}, in another log it is "
                        f"{types[field]!r}; a field has one type"
                    )
        return self

    @property
    def is_dated(self) -> bool:
        """Whether events have times and not just an order."""
        return all(log.time_unit != "order" for log in self.events.values())
