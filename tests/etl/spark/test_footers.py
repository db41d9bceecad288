"""Footers whose encodings stand in another order than that of their numbers."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from etl.spark.footers import sort_encodings

# As Thrift writes a list of three 32-bit numbers: PLAIN, RLE and RLE_DICTIONARY.
IN_ORDER, REVERSED = bytes([0x35, 0, 6, 16]), bytes([0x35, 16, 6, 0])


def test_encodings_are_sorted_in_every_column_of_every_row_group(tmp_path: Path) -> None:
    columns = {f"c{n}": [n, n, None, 7] for n in range(20)}  # more than a short list has
    nested = {"list": [[1.5], [], None, [2.0, 2.0]], "text": ["ü", "", None, "ü"]}
    table = pa.table({**columns, **nested, "yes": [True, False, None, True]})
    path = tmp_path / "a.parquet"
    pq.write_table(table, path, row_group_size=2)
    written = path.read_bytes()
    sort_encodings(path)
    ordered = path.read_bytes()
    start = len(ordered) - 8 - int.from_bytes(ordered[-8:-4], "little")
    assert ordered.count(IN_ORDER, start) >= 40
    assert ordered[:start] == written[:start]
    path.write_bytes(ordered[:start] + ordered[start:].replace(IN_ORDER, REVERSED))
    kept = pq.read_metadata(path).row_group(1).column(19)
    assert kept.encodings == ("RLE_DICTIONARY", "RLE", "PLAIN")

    sort_encodings(path)

    assert path.read_bytes() == ordered
    assert pq.read_table(path).equals(table)


def test_a_footer_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    footer = bytes([0x00, 0x15, 0x02])  # a structure that ends before the footer does
    path.write_bytes(b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1")
    with pytest.raises(RuntimeError, match="unknown form"):
        sort_encodings(path)
