"""The configuration's section `input`: which files, in which shape."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from conf.section import Section


class InputField(Section):
    column: str | None = None
    """Its name in the files; null: the one that it has here."""


class Source(Section):
    """Files of one table."""

    paths: Annotated[tuple[str, ...], Field(min_length=1)]
    """Globs relative to `input.root`, each of which has to match a file. One that matches
    none is tried again with .gz behind it."""
    format: Literal["csv", "jsonl", "parquet", "sequences"] = "csv"
    """`sequences`: one user a line, "user item item ...", oldest item first."""
    separator: str = ","
    """Between the columns of a csv, one or more characters ("\\t", "::")."""
    header: bool = True
    """Whether the first line of each csv file holds the column names."""
    column_names: tuple[str, ...] = ()
    """Names of a csv's columns where it has no header line."""
    encoding: str = "UTF-8"
    """Character set of csv and jsonl files."""
    quote: str = '"'
    """Quote character of a csv; doubled inside quotes it stands for itself; "" for none."""
    multiline: bool = False
    """Whether a quoted csv field may hold line breaks (such a file is not split)."""
    fields: dict[str, InputField] = {}
    """Further columns that are kept, by the name that they get."""


class EventColumns(Section):
    """Names, in the source, of what an event is made of."""

    user_id: str = "user_id"
    item_id: str = "item_id"
    time: str | None = "time"
    """null where the order of the lines is the time."""
    event_type: str | None = None
    """null: all events of the files have one type, see `event_type` beside `columns`."""
    value: str | None = None
    """A number of the event, such as its rating or price."""
    event_id: str | None = None
    """null: two rows equal in all of the above are the same event."""


class EventSource(Source):
    columns: EventColumns = EventColumns()
    event_type: str | None = None
    """Type of all events of these files where columns.event_type is null; null: the first of
    `etl.event_types`."""
    time_unit: Literal["seconds", "milliseconds", "microseconds", "iso", "order"]
    """Unit of the time column; `order`: a number that only orders a user's events."""

    @model_validator(mode="after")
    def _time_has_a_source(self) -> "EventSource":
        if self.columns.time is None and self.time_unit != "order":
            raise ValueError(
                "columns.time is null: then the order of lines is the time, and "
                "time_unit has to be 'order'"
            )
        return self


class TableSource(Source):
    id_column: str
    """Column that holds the raw id."""
    title_column: str | None = None
    """Column that is shown to people."""


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

    @property
    def is_dated(self) -> bool:
        """Whether events have times and not just an order."""
        return all(log.time_unit != "order" for log in self.events.values())
