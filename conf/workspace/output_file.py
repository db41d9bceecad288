"""An output file named by the user: checked before the work, then written in one step."""

import errno
import os
from contextlib import suppress
from pathlib import Path

from conf.contract import MANIFEST_NAME
from conf.errors import ConfigError
from conf.workspace.storage import raise_storage_failure


def require_place(output: Path, config: Path, workspace: Path) -> None:
    """Refuse an output file that cannot be written, before any work.

    Args:
        output: The file of `--output`; an existing regular file will be replaced.
        config: The configuration's own file.
        workspace: Folder of the workspace, whose versions never change.

    Raises:
        ConfigError: When it cannot be written, or must not be.
    """
    if output.is_dir():
        raise ConfigError(f"--output={output} is a folder; name a file in it")
    if not output.absolute().parent.is_dir():
        raise ConfigError(f"--output={output}: its folder does not exist; create it first")
    if output.exists() and not output.is_file():
        raise ConfigError(f"--output={output} is not a regular file; name another one")
    if output.exists() and config.exists() and output.samefile(config):
        raise ConfigError(
            f"--output={output} is the configuration itself, and its comments would be lost; name "
            "another file"
        )
    for kind in MANIFEST_NAME:
        if output.resolve().is_relative_to((workspace / kind).resolve()):
            raise ConfigError(
                f"--output={output} is in {workspace / kind}, where files belong to versions and "
                "never change; name a file elsewhere"
            )
    if not os.access(output.resolve().parent, os.W_OK):
        raise ConfigError(f"--output={output}: its folder is not writable; name a file elsewhere")


def write_whole(output: Path, text: str) -> None:
    """Write a file in one step: if that fails, the old file stays.

    Raises:
        ConfigError: When it cannot be written.
    """
    target = output.resolve()  # follows a link
    temporary = target.with_name(f".{target.name}.new")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(target)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise_storage_failure(error, target)
        raise ConfigError(
            f"--output={output} cannot be written: {error.strerror}; name a file elsewhere"
        ) from error
