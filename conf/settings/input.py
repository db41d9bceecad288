"""The configuration's section `input`: which files, and their format."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from conf.settings.files import Files
from conf.settings.section import Folder, Name, Section

ColumnName = str | tuple[str, ...]
"""A column's name, or a list of names; each file must have exactly one of them. A dot leads into an
object (`user.id`), [0] to the first element of a JSON array."""


class Fill(Section):
    """What replaces missing values of a field; fitted on the training part."""

    kind: Literal["constant", "median", "mode"]
    """Replacement. constant: the given value. median: the median; of two middle values the smaller
    one. mode: the most frequent value; of equally frequent ones the smallest."""
    value: float | str | bool | None = None
    """The constant. The kind constant needs it, the others exclude it."""
    group_by: str | None = None
    """Another field of the table: median and mode are computed for each of its values; null: over
    all rows. Excludes the kind constant."""

    @model_validator(mode="after")
    def _fits(self) -> "Fill":
        if (self.kind == "constant") != (self.value is not None):
            raise ValueError("value has to be set if kind is constant, and only then")
        if self.kind == "constant" and self.group_by is not None:
            raise ValueError("group_by has no meaning if kind is constant; set it to null")
        return self


class InputField(Section):
    """A further column that is read."""

    column: ColumnName | None = None
    """Name of the column in the files, or a list of names; null: the field's name."""
    type: Literal["text", "integer", "number", "boolean", "time"] = "text"
    """Type of the value: text, integer (int64), number (double), boolean, or time (ISO 8601, or as
    in `time_format` of the input; stored as microseconds since 1970 UTC)."""
    minimum: float | None = None
    """Smallest allowed value of an integer or number; null: no limit."""
    maximum: float | None = None
    """Largest allowed value of an integer or number; null: no limit."""
    allowed: tuple[str, ...] = ()
    """Allowed texts, written as in the files; []: all."""
    bad: Literal["quarantine", "blank"] = "quarantine"
    """What happens to a value that breaks these rules. quarantine: the whole row is quarantined.
    blank: the field becomes null, with a warning in the ledger. An empty text breaks no rule."""
    fill: Fill | None = None
    """What replaces a missing value; the column NAME_was_missing marks such rows. null: nothing.
    Only for fields of items and users."""

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


class Source(Files):
    """Files of one table."""

    fields: dict[Name, InputField] = {}
    """Further columns to read, by a name of your own."""


class EventColumns(Section):
    """Columns of an event in the files; each may be a list of names."""

    user_id: ColumnName = "user_id"
    """Column of the user's id."""
    item_id: ColumnName = "item_id"
    """Column of the item's id."""
    time: ColumnName | None = "time"
    """Column of the time; null: the order of the lines, and of several such logs their order in the
    configuration. null needs `input.events.NAME.time_unit: order`."""
    event_type: ColumnName | None = None
    """Column of the event's type; null: all events of the files have the type
    `input.events.NAME.event_type`."""
    value: ColumnName | None = None
    """Column of a number of the event, such as its rating, price or quantity; null: none."""
    event_id: ColumnName | None = None
    """Column of the event's id; of events with the same id, user, item and type the earliest is
    kept. Placeholders such as (not set), and ids that several users have, identify no event: such
    rows are compared as with null. null: events are duplicates if user, item, time, type, value and
    all further fields are equal."""


class EventSource(Source):
    """One log of events."""

    columns: EventColumns = EventColumns()
    """Names of the columns."""
    event_type: str | None = None
    """Type of all events of these files if `input.events.NAME.columns.event_type` is null; null:
    the first of `etl.event_types`."""
    part: Literal["train", "valid", "test"] | None = None
    """Part that all events of these files belong to. Needed with `etl.split.kind: given`, and only
    then allowed."""
    time_unit: Literal["seconds", "milliseconds", "microseconds", "iso", "order"]
    """Unit of the time column, counted from 1970 UTC; iso: a text in ISO 8601, or in
    `input.events.NAME.time_format`. order: a number that only orders a user's events; then all logs
    must have it. The format sequences needs order."""
    bad_value: Literal["quarantine", "blank"] = "quarantine"
    """What happens to a value that is no number, or that `etl.clean` does not allow (below zero,
    outside `etl.clean.min_value` and `etl.clean.max_value`). quarantine: the event is quarantined.
    blank: the event is kept without a value, with a warning in the ledger. Needs
    `input.events.NAME.columns.value`."""

    @property
    def is_ordered_by_lines(self) -> bool:
        """Whether the order of the lines is the time, because no column holds it."""
        return self.format == "sequences" or self.columns.time is None

    @model_validator(mode="after")
    def _sequences_have_ids_alone(self) -> "EventSource":
        if self.format != "sequences":
            return self
        if self.time_unit != "order":
            raise ValueError(
                f"time_unit={self.time_unit!r}, but the lines of the format 'sequences' have no "
                "times; set it to order"
            )
        names = ("event_type", "value", "event_id")
        unread = [f"columns.{name}" for name in names if getattr(self.columns, name) is not None]
        unread += [f"fields.{name}" for name in self.fields]
        if unread:
            raise ValueError(
                f"{', '.join(unread)} is set, but a line of the format 'sequences' has only ids; "
                "remove it"
            )
        return self

    @model_validator(mode="after")
    def _time_has_a_source(self) -> "EventSource":
        if self.columns.time is None and self.time_unit != "order":
            raise ValueError(
                "columns.time is null, so the order of the lines is the time; then "
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
    """A table of items or users."""

    id_column: ColumnName
    """Column of the raw id, or a list of names."""
    title_column: ColumnName | None = None
    """Column of the title that people see, or a list of names; null: no titles."""

    @model_validator(mode="after")
    def _has_columns(self) -> "TableSource":
        if self.format == "sequences":
            raise ValueError(
                "format='sequences' is for input.events only, because its lines have no columns; "
                "use csv"
            )
        return self

    @model_validator(mode="after")
    def _fills_fit(self) -> "TableSource":
        for name, field in self.fields.items():
            group = None if field.fill is None else field.fill.group_by
            if group is not None and (group == name or group not in self.fields):
                raise ValueError(
                    f"fields.{name}.fill.group_by={group!r} is not another field; there are "
                    f"{', '.join(sorted(self.fields))}"
                )
            if field.fill is not None and f"{name}_was_missing" in self.fields:
                raise ValueError(
                    f"fields.{name}_was_missing has the name of a column that "
                    f"fields.{name}.fill makes; rename it"
                )
        return self


class Input(Section):
    """The raw log, and the tables of items and users."""

    root: Folder
    """Folder that the paths of `input` and `score` are relative to."""
    events: Annotated[dict[str, EventSource], Field(min_length=1)]
    """The logs, by names of your own. Together they are one log: views here, purchases there. Their
    order counts only if `input.events.NAME.columns.time` is null: then a user's events of one log
    come before those of the next one."""
    items: TableSource | None = None
    """The table of items, with their titles and fields; null: none."""
    users: TableSource | None = None
    """The table of users, with their fields; null: none."""

    @model_validator(mode="after")
    def _one_kind_of_time(self) -> "Input":
        ordered = [name for name, log in self.events.items() if log.time_unit == "order"]
        if ordered and len(ordered) < len(self.events):
            raise ValueError(
                f"events.{ordered[0]}.time_unit is 'order', but other logs have times: "
                "their events have no common order; give all logs times, or none"
            )
        by_lines = [name for name, log in self.events.items() if log.is_ordered_by_lines]
        numbered = [name for name in ordered if name not in by_lines]
        if by_lines and numbered:
            raise ValueError(
                f"events.{by_lines[0]} takes the order of its lines as the time, but "
                f"events.{numbered[0]}.columns.time names a column: their events have no common "
                "order; name such a column for all logs, or for none"
            )
        return self

    @property
    def is_ordered_by_lines(self) -> bool:
        """Whether the order of logs, files and lines is the time."""
        return any(log.is_ordered_by_lines for log in self.events.values())

    @model_validator(mode="after")
    def _one_type_a_field(self) -> "Input":
        types: dict[str, str] = {}
        for name, log in self.events.items():
            for field, spec in log.fields.items():
                if types.setdefault(field, spec.type) != spec.type:
                    raise ValueError(
                        f"events.{name}.fields.{field}.type is {spec.type!r}, in another log it is "
                        f"{types[field]!r}; give the field one type"
                    )
        return self

    @property
    def is_dated(self) -> bool:
        """Whether events have times, not only an order."""
        return all(log.time_unit != "order" for log in self.events.values())
