"""The folders in which a run writes: its workspace, and the scratch space of Spark and Ray."""

import os
from pathlib import Path

from conf.settings.config import Config
from conf.workspace.storage import storage_error

_TEMPORARY = ("TMPDIR", "TEMP", "TMP")  # where Python looks


def stop_if_storage_failed(error: BaseException, config: Config) -> None:
    """Raise a StorageError if a disk or a file system is the reason of an error.

    Raises:
        StorageError: See `conf.workspace.storage.storage_error`.
    """
    told = storage_error(error, folders_of(config))
    if told is not None:
        raise told from error


def folders_of(config: Config) -> list[Path]:
    """Return the folders that a run of this configuration writes to, the workspace first."""
    temporary = next(filter(None, map(os.environ.get, _TEMPORARY)), "/tmp")
    local = config.spark.conf.get("spark.local.dir") or os.environ.get("SPARK_LOCAL_DIRS")
    named = [
        config.run.output,
        config.ray.storage,
        *(local or "").split(","),
        temporary,
        os.environ.get("RAY_TMPDIR"),
    ]
    return [Path(name) for name in dict.fromkeys(named) if name]
