"""One flipped bit in a file of a version: it is told, or it changes nothing."""

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conf.contract import DataFile
from conf.errors import VersionError
from conf.workspace.parquet import describe_parquet, read_columns
from conf.workspace.versions import require_files

COLUMNS = ["user_id", "score", "items"]
FLIPS = 400


class _Manifest:
    """A version with one file."""

    def __init__(self, file: DataFile) -> None:
        self.files = {"part": (file,)}


@pytest.mark.parametrize("compression", ["snappy", "none"])
def test_no_flipped_bit_is_read_as_another_value(tmp_path: Path, compression: str) -> None:
    path = tmp_path / "part-0.parquet"
    table = pa.table({
        "user_id": [f"u{n // 7}" for n in range(900)],
        "score": [n * 0.5 for n in range(900)],
        "items": [[n, n + 1, n % 13] for n in range(900)],
    })  # fmt: skip
    pq.write_table(table, path, compression=compression, write_page_checksum=True,
                   row_group_size=300)  # fmt: skip
    sound = path.read_bytes()
    manifest = _Manifest(describe_parquet(tmp_path, path))
    draw, told = random.Random(5), 0
    for _ in range(FLIPS):
        damaged = bytearray(sound)
        damaged[draw.randrange(len(sound))] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged)
        try:
            require_files(tmp_path, manifest)  # type: ignore[arg-type]
            read = read_columns(path, COLUMNS)
        except VersionError as error:
            assert str(path) in str(error)
            told += 1
        else:
            assert read.equals(table)
    assert told > 0.9 * FLIPS
