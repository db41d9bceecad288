"""Describe a Parquet file for a manifest."""

from pathlib import Path

import pyarrow.parquet as pq

from conf.contract import DataFile, RowGroup
from conf.fingerprint import hash_file


def describe_parquet(root: Path, path: Path) -> DataFile:
    """Return the manifest's entry of a file, with rows and bytes of each row group.

    Args:
        root: Folder of the version.
        path: The file in it.
    """
    footer, relative = pq.read_metadata(path), path.relative_to(root).as_posix()
    groups = [footer.row_group(index) for index in range(footer.num_row_groups)]
    return DataFile(
        path=relative,
        bytes=path.stat().st_size,
        sha256=hash_file(path),
        rows=footer.num_rows,
        row_groups=tuple(
            RowGroup(path=relative, index=index, rows=group.num_rows, bytes=group.total_byte_size)
            for index, group in enumerate(groups)
        ),
    )
