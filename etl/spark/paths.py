"""Paths of files and folders, as Spark takes them and as it gives them back.

Hadoop, through which Spark reads and writes, takes a path literally: it does not decode the escapes
of URLs, so `Path.as_uri` would lead to another folder, `my%20shop` for `my shop`. In a path to read
some characters are a pattern. A path that Spark gives back is a URL with escapes.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

from pyspark.sql import Column
from pyspark.sql import functions as F

_SCHEME = "file://"
_OF_PATTERNS = str.maketrans({char: f"\\{char}" for char in "\\{}[]*?"})


def absolute(path: Path) -> str:
    """Return the absolute path, without `..`, which Hadoop resolves before links are followed."""
    if ".." in path.parts:
        path = path.parent.resolve() / path.name
    # Path.resolve would turn two links to one file into the same path.
    return os.path.abspath(path)  # noqa: PTH100


def target(path: Path) -> str:
    """Return where Spark writes, so that the folder has exactly this path."""
    return _SCHEME + absolute(path)


def locations(paths: Sequence[Path]) -> list[str]:
    """Return what Spark reads: exactly these files or folders, whatever their names contain."""
    return [_SCHEME + absolute(path).translate(_OF_PATTERNS) for path in paths]


def location(path: Path) -> str:
    """Return what Spark reads: exactly this file or folder."""
    return locations([path])[0]


def path_of_row() -> Column:
    """Return the path of the file that a row was read from, as `absolute` returns it."""
    # A plus sign is not escaped in a URL's path, but url_decode turns it into a space.
    escaped = F.replace(F.col("_metadata.file_path"), F.lit("+"), F.lit("%2B"))
    return F.regexp_replace(F.url_decode(escaped), "^file:/+", "/")


def path_in(told: str) -> str:
    """Return the path of a file that Spark names in a message."""
    return unquote(told)
