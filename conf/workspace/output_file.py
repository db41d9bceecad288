"""A file that a person names for a result: refused before the work, then written whole or not."""

import os
from pathlib import Path

from conf.contract import MANIFEST_NAME
from conf.errors import ConfigError


def require_place(output: Path, config: Path, workspace: Path) -> None:
    """Refuse a file that cannot be written, before any work.

    Args:
        output: What `--output` names; a regular file that is there is written anew.
        config: The configuration's own file.
        workspace: Folder of the workspace, whose versions never change.

    Raises:
        ConfigError: When it is none.
    """
    if output.is_dir():
        raise ConfigError(f"--output={output} is a folder; name a file in it")
    if not output.absolute().parent.is_dir():
        raise ConfigError(f"--output={output}: its folder does not exist; make it first")
    if output.exists() and not output.is_file():
        raise ConfigError(f"--output={output} is no regular file; name another one")
    if output.exists() and config.exists() and output.samefile(config):
        raise ConfigError(
            f"--output={output} is the configuration itself, whose comments would be lost; name "
            "another file"
        )
    for kind in MANIFEST_NAME:
        if output.resolve().is_relative_to((workspace / kind).resolve()):
            raise ConfigError(
                f"--output={output} lies in {workspace / kind}, whose files are counted in their "
                "versions and never change; name a file elsewhere"
            )
    if not os.access(output.resolve().parent, os.W_OK):
        raise ConfigError(f"--output={output}: its folder cannot be written to")


def write_whole(output: Path, text: str) -> None:
    """Write a file in one step: what was there stays unless all of it could be written.

    Raises:
        ConfigError: When it cannot be written.
    """
    target = output.resolve()  # of a link what it leads to
    temporary = target.with_name(f".{target.name}.new")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(target)
    except OSError as error:
        raise ConfigError(
            f"--output={output} cannot be written: {error.strerror}; name a file elsewhere"
        ) from error
