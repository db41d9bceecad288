"""Describe a Parquet file for a manifest, and read one that a manifest names."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from conf.contract import DataFile, RowGroup
from conf.errors import VersionError
from conf.workspace.hashes import hash_file, hash_footer
from conf.workspace.json_files import is_there
from conf.workspace.mending import mend
from conf.workspace.storage import raise_storage_failure


def describe_parquet(root: Path, path: Path) -> DataFile:
    """Return the manifest's entry for a file, with rows and bytes of each row group.

    Args:
        root: Folder of the version.
        path: The file, in that folder.
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
        footer_sha256=hash_footer(path),
    )


def read_columns(
    path: Path, columns: Sequence[str], filters: pc.Expression | None = None
) -> pa.Table:
    """Return columns of a version's file; those that it lacks are left out.

    Args:
        path: The file.
        columns: Names of the columns.
        filters: Which rows to return; None: all.

    Raises:
        VersionError: When the file is damaged; only its size was checked before.
    """
    with told_if_damaged(path):
        present = pq.read_schema(path).names
        kept = [name for name in columns if name in present]
        return pq.read_table(path, columns=kept, filters=filters, page_checksum_verification=True)


def read_whole(path: Path) -> pa.Table:
    """Return all columns of a version's file; raises as `read_columns` does."""
    with told_if_damaged(path):
        return pq.read_table(path, page_checksum_verification=True)


def open_parquet(path: Path, metadata: Any = None) -> pq.ParquetFile:
    """Open a file of a version; a page that does not match its checksum is an error when read.

    Without the checksums a flipped bit can pass as another number.
    """
    return pq.ParquetFile(path, metadata=metadata, page_checksum_verification=True)


@contextmanager
def told_if_damaged(path: Path) -> Iterator[None]:
    """Turn a failure to read a file in the block into an error that names the file.

    Pipes, on which a reader would wait, and links out of the file's folder are refused.
    """
    leads_out = path.is_symlink() and not path.resolve().is_relative_to(path.parent.resolve())
    if leads_out or (is_there(path) and not path.is_file()):
        raise VersionError(f"{path} is no plain file; {mend(path)}")
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise_storage_failure(error, path)
        said = " ".join(str(error).split())
        raise VersionError(f"{path} is damaged: {said}; {mend(path)}") from error
