"""Read the rows in quarantine and decrypt their texts."""

from pathlib import Path

import pyarrow as pa

from conf.contract import SOURCE_FILE, Manifest
from conf.privacy.file_names import names_of_files
from conf.privacy.keys import Keys, key_of
from conf.privacy.sealing import unseal
from conf.workspace.parquet import open_parquet, told_if_damaged
from conf.workspace.versions import read_manifest

SEALED_COLUMNS = ("raw", "time", "event_type", "value")


def read_quarantine(workspace: Path, dataset: str, keys: Keys | None) -> pa.Table:
    """Return a dataset's rows in quarantine as they were read; labels are not turned into ids.

    Raises:
        ConfigError: When the texts are encrypted with another key.
    """
    manifest = read_manifest(workspace, "datasets", dataset, Manifest)
    folder = workspace / "datasets" / dataset
    tables = [_read(folder / file.path) for file in manifest.files["quarantine"]]
    table = pa.concat_tables(tables) if tables else pa.table({})
    report = manifest.privacy
    if report is None or report.mode == "none":
        return table
    cipher = key_of(report, keys, f"the quarantine of {dataset} is").cipher()
    for name in (name for name in SEALED_COLUMNS if name in table.schema.names):
        opened = [None if t is None else unseal(cipher, t) for t in table[name].to_pylist()]
        place = table.schema.get_field_index(name)
        table = table.set_column(place, name, pa.array(opened, pa.string()))
    names = names_of_files(manifest, keys)
    if names and SOURCE_FILE in table.schema.names:
        place, files = table.schema.get_field_index(SOURCE_FILE), table[SOURCE_FILE].to_pylist()
        told = pa.array([names.get(file, file) for file in files], pa.string())
        table = table.set_column(place, SOURCE_FILE, told)
    return table


def _read(path: Path) -> pa.Table:
    with told_if_damaged(path), open_parquet(path) as file:
        return file.read()
