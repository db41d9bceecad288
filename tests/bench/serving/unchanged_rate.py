"""CPU seconds of a nightly run in which few users did something, against a full run.

Everything that a run does for its lists is counted, its checks too, but for the start of Ray.
"""

import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch

from conf.contract import HISTORY_ITEMS, HISTORY_TIMES, HISTORY_TYPES, Manifest
from conf.settings.config import Config
from conf.workspace.parquet import describe_parquet
from conf.workspace.pointers import publish
from conf.workspace.versions import commit
from serving.carrying.earlier import Base, base_of
from serving.kinds.bases import bases
from serving.kinds.prepared import Source, prepared
from serving.publishing.parts import read_item_ids
from serving.score import checked, job_of
from serving.scoring.list_model import load_model
from serving.scoring.worker import PartScorer
from tests.bench.made_up import bench_model, ragged
from tests.bench.runs import ratio_of

USERS, ITEMS, ROW_GROUP_ROWS = 8_000, 100_000, 4_000
SHARES = (0.01, 0.05, 1.0)
SECTIONS = """
train: {{algorithm: neural, model: {{width: 64, blocks: 2, heads: 2}}}}
score: {{reasons: {reasons}, list_length: 20}}
"""


def measure(
    folder: Path,
    *,
    users: int = USERS,
    items: int = ITEMS,
    row_group_rows: int = ROW_GROUP_ROWS,
) -> dict[str, Any]:
    """Return the CPU seconds of both by the share of active users, without reasons and with."""
    found = {}
    for reasons in (0, 2):
        own = folder / str(reasons)
        own.mkdir()
        found[f"reasons_{reasons}"] = _measure(own, reasons, users, items, row_group_rows)
    return found


def _measure(
    folder: Path, reasons: int, users: int, items: int, row_group_rows: int
) -> dict[str, Any]:
    sections = SECTIONS.format(reasons=reasons)
    made = bench_model(folder, sections, users=users, items=items, row_group_rows=row_group_rows)
    config, first, model = made.config(), made.manifest, made.model_id
    _seconds(config, first, model, "first", None)
    publish(folder, "lists", "first", first.logical_date)
    found = {}
    for share in SHARES:
        day = _next_day(folder, first, share)
        full, _ = _seconds(config, day, model, f"full-{share}", None)
        some, kept = _seconds(config, day, model, f"some-{share}", folder)
        for part in (folder / "lists" / f"full-{share}").glob("*.parquet"):
            same = folder / "lists" / f"some-{share}" / part.name
            assert same.read_bytes() == part.read_bytes(), part
        found[f"active_{share:g}"] = {
            "full_cpu_seconds": round(full, 2),
            "cpu_seconds": round(some, 2),
            "kept": kept,
            "ratio": ratio_of(some, full),
        }
    return found


def _next_day(folder: Path, first: Manifest, share: float) -> Manifest:
    """Write a dataset in which a share of the users has one more event."""
    name = f"day-{share}"
    target = folder / "datasets" / name
    shutil.copytree(folder / "datasets" / first.id, target)
    rng, parts = np.random.default_rng(5), []
    for file in first.files["histories"]:
        table = pq.read_table(target / file.path)
        active = rng.random(table.num_rows) < share
        offsets = table[HISTORY_ITEMS].combine_chunks().offsets.to_numpy()
        longer = np.append(offsets, 0)[:-1] + np.concatenate([[0], np.cumsum(active)])
        for column in (HISTORY_ITEMS, HISTORY_TYPES, HISTORY_TIMES):
            values = table[column].combine_chunks().values
            more = np.insert(values.to_numpy(), offsets[1:][active], 2)
            place = table.schema.get_field_index(column)
            table = table.set_column(place, column, ragged(more, longer, values.type))
        pq.write_table(table, target / file.path, row_group_size=table.num_rows)
        parts.append(describe_parquet(target, target / file.path))
    files = {**first.files, "histories": tuple(parts)}
    day = first.model_copy(update={"id": name, "files": files})
    commit(folder, "datasets", day)
    return day


def _seconds(
    config: Config, dataset: Manifest, model_id: str, version: str, workspace: Path | None
) -> tuple[float, int]:
    """Return the CPU seconds of making lists, and how many are kept.

    Args:
        config: The run's configuration.
        dataset: What the lists are made of.
        model_id: The model.
        version: Name of the lists.
        workspace: Where the earlier lists are; None: all lists are made.
    """
    root = Path(config.run.output)
    torch.set_num_threads(1)
    started = time.process_time()
    model = load_model(root, model_id, dataset)
    item_ids = read_item_ids(root / "datasets" / dataset.id, dataset)
    source = Source(config, dataset, model, item_ids, {}, {})
    kinds = prepared(source, (), {})
    basis = bases(source, kinds)
    base: Base | None = None if workspace is None else base_of(workspace, dataset, basis)
    folder = root / "lists" / version
    folder.mkdir(parents=True)
    job = job_of(source, kinds, request="b" * 64, folder=folder, base=base)
    scorer = PartScorer(job)
    kept = sum(scorer.score(part).kept for part in range(len(dataset.row_groups("histories"))))
    commit(root, "lists", checked(source, kinds, job, basis))
    return time.process_time() - started, kept
