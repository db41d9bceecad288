"""Make one list of the best users of all parts, read it back, and count what is in it."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from conf.contract import (
    AUDIENCE,
    AUDIENCES,
    POSITION,
    SCORE,
    USER_ID,
    USER_IDX,
    DataFile,
    Manifest,
)
from conf.errors import HeadraceError
from conf.settings.score import Score
from conf.workspace.folders import remove
from conf.workspace.json_files import written_whole
from conf.workspace.parquet import describe_parquet, read_columns
from serving.audiences.worker import PART_SCHEMA, PARTS, best_first
from serving.publishing.parts import part_name

AUDIENCE_SCHEMA = pa.schema(
    [
        pa.field(USER_ID, pa.string(), nullable=False),
        pa.field(POSITION, pa.int32(), nullable=False),
        pa.field(SCORE, pa.float32(), nullable=False),
    ]
)
_FAULTS = ("unknown_ids", "repeated_users", "misplaced_rows", "bad_scores")


def write_audiences(
    folder: Path, manifest: Manifest, score: Score, items: Mapping[str, np.ndarray]
) -> tuple[dict[str, dict[str, int]], dict[str, tuple[DataFile, ...]]]:
    """Write a list of users for each audience; the parts are removed.

    Args:
        folder: Folder of the version.
        manifest: The dataset.
        score: How the lists are made.
        items: Numbers of each audience's items; none: there are no audiences.

    Returns:
        Counts by audience, and the manifest's entries of the files.

    Raises:
        HeadraceError: When a list is wrong, which is a fault of the scorer.
    """
    if not items:
        return {}, {}
    dataset = folder.parent.parent / "datasets" / manifest.id
    parts = folder / AUDIENCES / PARTS
    paths = [parts / part_name(part) for part in range(len(manifest.row_groups("users")))]
    rows = pa.concat_tables(read_columns(path, PART_SCHEMA.names) for path in paths)
    users = pa.concat_tables(
        read_columns(dataset / file.path, [USER_ID]) for file in manifest.files["users"]
    )[USER_ID].cast(pa.string())
    counts, files = {}, []
    for name, audience in score.audiences.items():
        path = folder / AUDIENCES / f"{name}.parquet"
        with written_whole(path) as stream:
            table = _merged(rows.filter(pc.field(AUDIENCE) == name), audience.count)
            pq.write_table(table, stream, write_page_checksum=True)
        found = _counted(read_columns(path, AUDIENCE_SCHEMA.names), users, audience.count)
        _require_right(name, found)
        counts[name] = {"items": len(items[name]), "users": found["rows"]}
        files.append(describe_parquet(folder, path))
    remove(parts)
    return counts, {AUDIENCES: tuple(files)}


def _merged(rows: pa.Table, count: int) -> pa.Table:
    """Return the best users of all parts as rows of `AUDIENCE_SCHEMA`."""
    order = best_first(rows[SCORE].to_numpy(), rows[USER_IDX].to_numpy(), count)
    best = rows.take(pa.array(order))
    places = pa.array(np.arange(len(order)) + 1, pa.int32())
    columns = [best[USER_ID], places, best[SCORE]]
    return pa.Table.from_arrays(columns, schema=AUDIENCE_SCHEMA)


def _counted(rows: pa.Table, users: pa.ChunkedArray, count: int) -> dict[str, int]:
    """Return the counts of rows of `AUDIENCE_SCHEMA`."""
    scores = rows[SCORE].to_numpy()
    is_known = pc.is_in(rows[USER_ID], value_set=users.combine_chunks()).to_numpy()
    times = Counter(rows[USER_ID].to_pylist())
    misplaced = rows[POSITION].to_numpy() != np.arange(len(rows)) + 1
    bad = ~np.isfinite(scores)
    bad[1:] |= scores[1:] > scores[:-1]
    return {
        "rows": len(rows),
        "unknown_ids": int((~is_known).sum()),
        "repeated_users": len(rows) - len(times),
        "misplaced_rows": int(misplaced.sum()) + max(len(rows) - count, 0),
        "bad_scores": int(bad.sum()),
    }


def _require_right(name: str, counts: dict[str, int]) -> None:
    wrong = {fault: counts[fault] for fault in _FAULTS if counts[fault]}
    if wrong:
        told = ", ".join(f"{fault} {number:,}" for fault, number in wrong.items())
        raise HeadraceError(
            f"the audience {name} is wrong and is not published ({told}): this is a fault of the "
            f"scorer; report it, and remove score.audiences.{name} until then"
        )
