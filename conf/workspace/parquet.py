"""Describe a Parquet file for a manifest, and read one that a manifest names."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from conf.contract import DataFile, RowGroup
from conf.errors import VersionError
from conf.workspace.hashes import hash_file


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


def read_columns(
    path: Path, columns: Sequence[str], filters: pc.Expression | None = None
) -> pa.Table:
    """Return those of some columns that a version's file has.

    Args:
        path: The file.
        columns: Their names.
        filters: Which rows; None: all.

    Raises:
        VersionError: When it is no Parquet file any more: sizes are checked, not contents.
    """
    with told_if_damaged(path):
        present = pq.read_schema(path).names
        kept = [name for name in columns if name in present]
        return pq.read_table(path, columns=kept, filters=filters)


@contextmanager
def told_if_damaged(path: Path) -> Iterator[None]:
    """Say which file it is that the block cannot read."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise VersionError(
            f"{path} is damaged: {error}; remove that version's folder and run again"
        ) from error
