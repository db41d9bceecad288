"""Read a file of item ids, as the shop writes it."""

from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from conf.contract import ITEM_ID
from conf.errors import InputError


def read_item_list(key: str, path: Path) -> list[str]:
    """Return the ids in a file, in its order: one a line, or the column `item_id` of a csv.

    Args:
        key: Key of the configuration, for errors.
        path: The file.

    Raises:
        InputError: When it is not UTF-8, or a csv of several columns without that one.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        told = f"{key}: {path} is not UTF-8 ({error.reason}); write it as UTF-8"
        raise InputError(told) from None
    names = [name.strip().strip('"') for name in lines[0].split(",")] if lines else []
    if ITEM_ID not in names and len(names) > 1 and path.suffix == ".csv":
        raise InputError(
            f"{key}: {path} has the columns {', '.join(names)}; name the one of the items "
            f"{ITEM_ID}, or write one id a line into a file that does not end in .csv"
        )
    if ITEM_ID not in names:
        return [line.strip() for line in lines if line.strip()]
    rows = pa.csv.read_csv(
        path,
        convert_options=pa.csv.ConvertOptions(
            include_columns=[ITEM_ID], column_types={ITEM_ID: pa.string()}
        ),
    )
    return [text for text in rows.column(0).to_pylist() if text and text.strip()]
