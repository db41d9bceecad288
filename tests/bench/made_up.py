"""Datasets and models made up in place, in the form that the ETL and the trainer write.

Benchmarks with them need no Spark, and no training.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from conf.contract import (
    HISTORY_ITEMS,
    HISTORY_TIMES,
    HISTORY_TYPES,
    HISTORY_WEIGHTS,
    ITEM_ID,
    ITEM_IDX,
    NUM_RESERVED,
    TARGET_ITEM,
    TITLE,
    TRAIN_EVENTS,
    USER_ID,
    USER_IDX,
    DataFile,
    Manifest,
    Vocabulary,
)
from conf.settings.config import Config
from conf.settings.load import load_config
from conf.workspace.parquet import describe_parquet
from conf.workspace.pointers import publish
from conf.workspace.versions import commit
from serving import score
from trainer.models.bundle import Trained, build_model, model_section, save_bundle

HEAD = """
run: {{name: bench, output: "{folder}"}}
input: {{root: none, events: {{log: {{paths: [none], time_unit: seconds}}}}}}
etl: {{event_types: {{view: {{}}}}}}
"""


def write_config(folder: Path, sections: str, name: str = "bench.yaml") -> Path:
    """Write a configuration of a made-up dataset; return its path.

    Args:
        folder: The workspace.
        sections: All sections but run, input and etl, as YAML.
        name: Of the file.
    """
    path = folder / name
    path.write_text(HEAD.format(folder=folder) + sections)
    return path


class BenchModel(NamedTuple):
    """A made-up dataset with a network."""

    path: Path
    """The configuration."""
    manifest: Manifest
    model_id: str

    def config(self, *overrides: str) -> Config:
        return load_config(self.path, overrides)

    def scored(self, letter: str, *overrides: str) -> Path:
        """Make the lists of all users and return their folder; the letter keeps them apart."""
        config = self.config(*overrides)
        given = {"dataset_id": self.manifest.id, "model_id": self.model_id}
        return self.path.parent / "lists" / score.run(config, **given, request=letter * 64)


def bench_model(
    folder: Path,
    sections: str,
    *,
    users: int,
    items: int,
    row_group_rows: int,
    vectors: torch.Tensor | None = None,
) -> BenchModel:
    """Write a dataset, and a network that nobody trained.

    Args:
        folder: The workspace.
        sections: As for `write_config`.
        users: Users of the dataset.
        items: Its items.
        row_group_rows: Users of each part.
        vectors: [items + 2, width] of the items; None: they are drawn.
    """
    path = write_config(folder, sections)
    config = load_config(path)
    manifest = write_dataset(
        folder, users=users, items=items, mean_length=20, row_group_rows=row_group_rows
    )
    torch.manual_seed(1)
    section = model_section(config, manifest)
    weights = build_model(section, items + NUM_RESERVED).state_dict()
    if vectors is not None:
        name = next(key for key, value in weights.items() if value.shape == vectors.shape)
        weights[name] = vectors
    trained = Trained(section, weights, {"test": {}})
    return BenchModel(path, manifest, save_bundle(config, manifest, "b" * 64, trained))


def ragged(values: np.ndarray, offsets: np.ndarray, kind: pa.DataType) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(values, kind))


def write_dataset(
    workspace: Path, *, users: int, items: int, mean_length: int, row_group_rows: int, seed: int = 1
) -> Manifest:
    """Write users with Poisson history lengths over a Zipf catalogue; return the manifest."""
    folder = workspace / "datasets" / "bench"
    rng = np.random.default_rng(seed)
    files: dict[str, tuple[DataFile, ...]] = {"quarantine": ()}
    lengths = np.clip(rng.poisson(mean_length, users), 3, None)
    popularity = 1 / np.arange(1, items + 1)
    popularity /= popularity.sum()
    for split in ("train", "valid", "test", "histories", "users"):
        (folder / split).mkdir(parents=True, exist_ok=True)
        parts = []
        for number, start in enumerate(range(0, users, row_group_rows)):
            part = lengths[start : start + row_group_rows]
            table = _table(split, rng, start, part, popularity)
            path = folder / split / f"part-{number:05d}.parquet"
            pq.write_table(table, path, row_group_size=row_group_rows)
            parts.append(describe_parquet(folder, path))
        files[split] = tuple(parts)
    files["items"] = (_write_items(folder, items, popularity),)
    vocabulary = Vocabulary(size=items + NUM_RESERVED, fingerprint="bench")
    manifest = Manifest(
        id="bench",
        request="bench",
        logical_date="2026-01-01",
        as_of="2026-01-01",
        config={},
        columns={},
        files=files,
        event_types=("view",),
        ledger={},
        counts={"users": users},
        vocabularies={
            "item": vocabulary,
            "user": Vocabulary(size=users + NUM_RESERVED, fingerprint="bench"),
        },
    )
    commit(workspace, "datasets", manifest)
    publish(workspace, "datasets", "bench", "2026-01-01")
    return manifest


def _table(
    split: str, rng: np.random.Generator, first: int, lengths: np.ndarray, popularity: np.ndarray
) -> pa.Table:
    users = np.arange(first, first + len(lengths), dtype=np.int64) + NUM_RESERVED
    if split == "users":
        ids = [f"u{user}" for user in users]
        return pa.table({USER_IDX: users, USER_ID: ids, "num_events": lengths.astype(np.int64)})
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    events = int(offsets[-1])
    drawn = rng.choice(len(popularity), events, p=popularity) + NUM_RESERVED
    columns = {USER_IDX: pa.array(users), HISTORY_ITEMS: ragged(drawn, offsets, pa.int32())}
    if split == "train":
        columns[HISTORY_WEIGHTS] = ragged(np.ones(events), offsets, pa.float32())
    columns[HISTORY_TYPES] = ragged(np.zeros(events, np.int32), offsets, pa.int32())
    columns[HISTORY_TIMES] = ragged(np.arange(events), offsets, pa.int64())
    if split in ("valid", "test"):
        targets = rng.integers(NUM_RESERVED, len(popularity), len(users))
        columns[TARGET_ITEM] = pa.array(targets, pa.int32())
    return pa.table(columns)


def _write_items(folder: Path, items: int, popularity: np.ndarray) -> DataFile:
    (folder / "items").mkdir()
    numbers = np.arange(items) + NUM_RESERVED
    table = pa.table(
        {
            ITEM_IDX: pa.array(numbers, pa.int32()),
            ITEM_ID: [f"i{number}" for number in numbers],
            TITLE: pa.nulls(items, pa.string()),
            TRAIN_EVENTS: pa.array(np.maximum(1, popularity * 1e6).astype(np.int64)),
        }
    )
    path = folder / "items" / "part-00000.parquet"
    pq.write_table(table, path)
    return describe_parquet(folder, path)
