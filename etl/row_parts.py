"""What every reader returns."""

from collections.abc import Mapping
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame


@dataclass(frozen=True)
class Rows:
    """Rows of some files, and how to take the parts of a row from them."""

    frame: DataFrame
    """With the columns of `etl.origin.with_origin`."""
    broken: Column
    """Whether the line does not have the shape of a row."""
    raw: Column
    """The line, or the row's values as JSON."""
    values: Mapping[str, Column]
    """By our names, as text."""
