"""Make a dataset from a few lines, and read back what came of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession

from conf.contract import Manifest
from conf.runs.inputs.input_files import fingerprint_inputs
from conf.runs.inputs.request_keys import dataset_request
from conf.settings.config import Config
from conf.workspace.hashes import hash_file
from conf.workspace.versions import read_manifest
from etl.pipeline import run

HEADER = "user_id,item_id,time"
DAY = 86_400


def config_for(root: Path, events: Mapping[str, Any] = {}, **sections: Any) -> Config:
    """Return a configuration with csv events of `root`, in seconds, and changes to it."""
    logs = sections.pop("logs", {"log": {"paths": ["*.csv"], "time_unit": "seconds", **events}})
    tables = {name: sections.pop(name) for name in ("items", "users") if name in sections}
    return Config.model_validate({
        "run": {"name": "tiny", "output": str(root / "workspace"), **sections.pop("run", {})},
        "input": {"root": str(root), "events": logs, **tables},
        "etl": {"event_types": {"view": {}}, **sections.pop("etl", {})},
        "spark": {"shuffle_partitions": 2, **sections.pop("spark", {})},
        "train": {"algorithm": "neural", "max_workers": 1, **sections.pop("train", {})},
        "privacy": sections.pop("privacy", {}),
    })  # fmt: skip


def write_lines(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def make(config: Config, logical_date: str | None = None) -> tuple[Manifest, Path]:
    """Run the stage; return the manifest and the version's folder."""
    inputs = fingerprint_inputs(config)
    request = dataset_request(config, inputs, logical_date)
    version = run(config, logical_date=logical_date, inputs=inputs, request=request)
    workspace = Path(config.run.output)
    manifest = read_manifest(workspace, "datasets", version, Manifest)
    return manifest, workspace / "datasets" / version


def read_part(folder: Path, part: str) -> list[dict[str, Any]]:
    """Return the rows of a part in the order of its files."""
    files = sorted((folder / part).glob("*.parquet"))
    rows: list[dict[str, Any]] = pa.concat_tables(map(pq.read_table, files)).to_pylist()
    return rows


def written_to(workspace: Path) -> tuple[Manifest, dict[str, str]]:
    """Return the manifest of the one dataset, and the hash of every file that it names.

    Those of its identities are there too. The report is left out: logs stand in it in the order
    that they are configured in.
    """
    (path,) = (workspace / "datasets").glob("[!.]*/manifest.json")
    manifest = read_manifest(workspace, "datasets", path.parent.name, Manifest)
    found = [*path.parent.rglob("*"), *(workspace / "identities").rglob("*")]
    files = {
        file.relative_to(workspace).as_posix(): hash_file(file)
        for file in found if file.is_file() and file != path and file.suffix != ".html"
    }  # fmt: skip
    return manifest, files


EVENT = (
    "user_id string, item_id string, time long, event_type int, value double, event_id string, "
    "verdict string, source_file string, block_start long, line_number long"
)
_NO_EVENT = {"user_id": "u", "item_id": "i", "time": 0, "event_type": 0}


def events_of(spark: SparkSession, *rows: Mapping[str, Any]) -> DataFrame:
    """Return events of user u and item i in one file, in the rows' order, as far as not said."""
    names = [part.split()[0] for part in EVENT.split(", ")]
    full = [
        {**_NO_EVENT, "source_file": "f", "block_start": 0, "line_number": line, **row}
        for line, row in enumerate(rows)
    ]
    return frame_of(spark, EVENT, *(tuple(row.get(name) for name in names) for row in full))


def by_line(frame: DataFrame, column: str = "verdict") -> list[Any]:
    """Return a column in the order of the lines."""
    return [row[0] for row in frame.orderBy("source_file", "line_number").select(column).collect()]


def frame_of(spark: SparkSession, schema: str, *rows: tuple[Any, ...]) -> DataFrame:
    return spark.createDataFrame(list(rows), schema)


def tuples(frame: DataFrame, *columns: str) -> list[tuple[Any, ...]]:
    """Return the rows as tuples, sorted."""
    return sorted(map(tuple, frame.select(*columns).collect()), key=repr)
