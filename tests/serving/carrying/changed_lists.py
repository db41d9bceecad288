"""Earlier lists that somebody has changed, and the lists of a full run to compare with."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from conf.contract import SCORE, ListsManifest
from conf.runs.stages import run_score
from conf.workspace.parquet import describe_parquet
from conf.workspace.versions import commit, read_manifest
from serving.publishing.parts import part_name
from tests.serving.carrying.two_days import Shop


def change_lists(
    workspace: Path,
    version: str,
    change: Callable[[pa.Table], pa.Table],
    parts: Sequence[int] = range(5),
) -> None:
    """Change parts of committed lists, and their manifest with them."""
    folder = workspace / "lists" / version
    manifest = read_manifest(workspace, "lists", version, ListsManifest)
    for path in (folder / part_name(part) for part in parts):
        pq.write_table(change(pq.read_table(path)), path, write_page_checksum=True)
    entries = tuple(describe_parquet(folder, folder / one.path) for one in manifest.files["lists"])
    files = {**manifest.files, "lists": entries}
    commit(workspace, "lists", manifest.model_copy(update={"files": files}))


def other_scores(table: pa.Table) -> pa.Table:
    """Return lists as another arithmetic would have made them."""
    scores = pa.array(table[SCORE].to_numpy() * (1 + 1e-6), pa.float32())
    place = table.schema.get_field_index(SCORE)
    return table.set_column(place, table.schema.field(place), scores)


def full_run(shop: Shop) -> Path:
    """Make the second day's lists of all users in a copy of the workspace; return their folder."""
    other = shop.workspace.with_name("full")
    shutil.copytree(shop.workspace, other)
    made = run_score(shop.config(f"run.output={other}", "score.keep_unchanged=false"))
    return Path(made["folder"])


def files_of(folder: Path) -> dict[str, Any]:
    """Return all files; of the manifest all but the settings that differ in a full run."""
    found: dict[str, Any] = {path.name: path.read_bytes() for path in folder.iterdir()}
    manifest = json.loads(found["lists.json"])
    del manifest["checksum"], manifest["config"]["score"]["keep_unchanged"]
    del manifest["config"]["run"]["output"]
    return {**found, "lists.json": manifest}
