"""Write the archive of Spark's classes that later runs use: `python -m etl.archive_classes`."""

import argparse
import os
import sys
import tempfile
from importlib.resources import as_file, files
from pathlib import Path

from conf.errors import ConfigError, HeadraceError
from conf.runs.stages import run_etl, run_generate
from conf.settings.load import load_config
from conf.workspace.folders import PRIVATE, own_folder
from etl.spark.class_archive import archive_file, writing_archive

_SHOP = ("generate.num_users=300", "generate.num_items=200", "generate.num_events=20000")


def main() -> Path:
    """Make a dataset of a made-up log in a temporary folder; return the file with its classes.

    Raises:
        ConfigError: When there is no Java, or it wrote no archive.
    """
    file = archive_file()
    if file is None:
        raise ConfigError("there is no Java on the path or in JAVA_HOME; install Java 17 or 21")
    own_folder(file.parent, PRIVATE)
    file.unlink(missing_ok=True)  # Java writes no archive while it uses one
    making = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        _run_once(making)
        if not making.is_file():
            raise ConfigError(f"Java wrote no archive of classes to {file.parent}; is there room?")
        making.replace(file)
    finally:
        making.unlink(missing_ok=True)
    return file


def _run_once(archive: Path) -> None:
    demo = as_file(files("conf") / "demo.yaml")
    with tempfile.TemporaryDirectory(prefix="headrace-classes-") as folder, demo as path:
        overrides = [
            f"input.root={folder}/log",
            f"run.output={folder}/workspace",
            # Spark puts these before the options of the session.
            f"spark.conf={{spark.driver.defaultJavaOptions: '{writing_archive(archive)}'}}",
            *_SHOP,
        ]
        config = load_config(path, overrides)
        run_generate(config)
        run_etl(config)


if __name__ == "__main__":
    argparse.ArgumentParser(prog="python -m etl.archive_classes", description=__doc__).parse_args()
    try:
        print(main())
    except HeadraceError as error:
        print(f"headrace: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
