"""Failures of one target: they do not end the delivery to the others."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa

from conf.errors import (
    ConfigError,
    HeadraceError,
    InputError,
    StorageError,
    TargetDownError,
    VersionError,
)
from conf.workspace.storage import storage_error

FAILURES: Final = (HeadraceError, OSError, pa.ArrowException, duckdb.Error)
"""What a delivery to a target may raise: errors of ours, of disks, and of reading the lists."""
_WORST_FIRST: Final[tuple[type[HeadraceError], ...]] = (
    ConfigError, InputError, VersionError, StorageError,
)  # fmt: skip


def as_ours(error: BaseException, workspace: Path, where: str) -> HeadraceError:
    """Return a failure as an error of ours.

    Args:
        error: One of `FAILURES`.
        workspace: Folder of the workspace.
        where: What messages call the target.
    """
    if isinstance(error, HeadraceError):
        return error
    told = storage_error(error, [workspace])
    if told is not None:
        return told
    text = " ".join(str(error).split()) or type(error).__name__
    kind = StorageError if isinstance(error, OSError) else HeadraceError
    return kind(f"{where}: {text}")


def combined(errors: Mapping[str, HeadraceError], what: str) -> HeadraceError | None:
    """Return one error for those of several targets: that of the kind that a retry helps least.

    Args:
        errors: By target.
        what: What happened, before the names of the targets.
    """
    if not errors:
        return None
    found = errors.values()
    kind = next((one for one in _WORST_FIRST if any(isinstance(e, one) for e in found)), None)
    if kind is None:  # a retry helps only if it may help all
        are_down = all(isinstance(error, TargetDownError) for error in found)
        kind = TargetDownError if are_down else HeadraceError
    each = "; ".join(
        f"{error}" if f"deliver.{name}" in str(error) else f"deliver.{name}: {error}"
        for name, error in errors.items()
    )
    return kind(f"{what} {', '.join(errors)}. {each}")
