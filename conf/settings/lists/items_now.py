"""The section `score.items_now`: a table of items that is fresher than the dataset."""

from typing import Annotated, Literal

from pydantic import Field

from conf.settings.section import Name, Section, Share


class NowField(Section):
    """A field of the fresher table."""

    column: str | None = None
    """Name of the column in the files; null: the field's name."""
    type: Literal["text", "integer", "number", "boolean", "time"] = "text"
    """Type of the value, as in `input.items.fields`. A time is ISO 8601; without an offset it is in
    UTC. A boolean is true, false, 1 or 0."""


class ItemsNow(Section):
    """A table of items that changes more often than the dataset, such as stock and prices.

    It is read whenever lists are made, and needs no ETL. Its fields replace fields of the same
    name.
    """

    paths: Annotated[tuple[str, ...], Field(min_length=1)]
    """Globs relative to `input.root`; each must match a file."""
    format: Literal["csv", "jsonl", "parquet"] = "csv"
    """Format of the files: csv with a header line and commas, JSON lines, or Parquet."""
    id_column: str = "item_id"
    """Column of the item's id, as in the log."""
    fields: Annotated[dict[Name, NowField], Field(min_length=1)]
    """Fields that conditions may use, by a name of your own."""
    missing: Literal["leave_out", "keep"] = "leave_out"
    """Items without a row. leave_out: they are in no list. keep: they have the fields of the
    dataset, and null for all others."""
    min_share: Share = 0.5
    """Share of the dataset's items that must have a row; with fewer the run ends with exit code
    3."""
