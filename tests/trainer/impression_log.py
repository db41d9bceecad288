"""Impressions made up in place, in the form that the ETL writes, with a right answer in them."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from conf.contract import (
    HISTORY_ITEMS,
    ITEM_ID,
    ITEM_IDX,
    NUM_RESERVED,
    SAMPLING_PROBABILITY,
    TITLE,
    TRAIN_EVENTS,
    USER_IDX,
    Column,
    Feature,
    Manifest,
    Vocabulary,
)
from conf.settings.config import Config
from conf.workspace.parquet import describe_parquet
from trainer.ranking.task import RankingTask
from trainer.training.job import TrainingJob

USERS, ITEMS, KINDS = 40, 30, 4
PARTS = {"train": 3000, "valid": 700, "test": 700}
GROUP_ROWS = 300
FEATURES = {
    "item_features": (
        Feature(name="item_kind", kind="categorical", encoding="categorical", cardinality=6),
        Feature(name="item_tags", kind="tags", encoding="tags", cardinality=8),
        Feature(name="item_price", kind="numeric", encoding="numeric"),
        Feature(name="item_image", kind="vector", encoding="vector", dimension=3),
        Feature(name="item_same", kind="numeric", encoding="numeric", left_out="constant"),
    ),
    "user_features": (
        Feature(name="user_taste", kind="categorical", encoding="categorical", cardinality=6),
    ),
    "impressions": (
        Feature(name="hour", kind="categorical", encoding="context", cardinality=26),
        Feature(name="item_events_7d", kind="numeric", encoding="as_of"),
    ),
}


def config_for(workspace: Path, ranking: dict[str, Any], **train: Any) -> Config:
    """Return a configuration that trains a ranking model on such impressions."""
    impressions = {"labels": {"liked": ["view"], "stars": ["value"], "bought": ["view"]},
                   **train.pop("impressions", {})}  # fmt: skip
    return Config.model_validate({
        "run": {"name": "tiny", "output": str(workspace)},
        "input": {"root": "none", "events": {
            "log": {"paths": ["none"], "time_unit": "seconds", "columns": {"value": "stars"}}}},
        "etl": {"event_types": {"view": {}}, "impressions": impressions},
        "train": {
            "algorithm": "ranking", "gate": "warn", "metric": "auc", "batch_rows": 64, "epochs": 4,
            "shuffle_block_rows": 1000, "eval_batch_rows": 128,
            "precision": "fp32", "cpus_per_worker": 1,
            "optimizer": {"learning_rate": 0.02, "warmup_steps": 0},
            "ranking": {"width": 4, "hidden": [8], "gate_width": 4, "dropout": 0.0, **ranking},
            **train,
        },
    })  # fmt: skip


def write_impressions(folder: Path, config: Config, seed: int = 1) -> Manifest:
    """Write parts and features; return the manifest.

    Each user likes one kind of items, after noon more; what was liked is bought every other
    time, and gets stars. The last user and the last item are in validation and test alone.
    """
    rng = np.random.default_rng(seed)
    kinds = rng.integers(0, KINDS, ITEMS)
    tables = {
        "item_features": _items(rng, kinds),
        "user_features": pa.table({
            USER_IDX: _numbers(np.arange(USERS) + NUM_RESERVED, pa.int64()),
            "user_taste": _numbers(np.arange(USERS) % KINDS + 2),
        }),
        "items": pa.table({
            ITEM_IDX: _numbers(np.arange(ITEMS) + NUM_RESERVED),
            ITEM_ID: [f"i{number}" for number in range(ITEMS)],
            TITLE: pa.nulls(ITEMS, pa.string()),
            TRAIN_EVENTS: _numbers(rng.integers(1, 50, ITEMS), pa.int64()),
        }),
        **{f"{part}_impressions": _impressions(rng, kinds, rows, is_training=part == "train")
           for part, rows in PARTS.items()},
    }  # fmt: skip
    files, columns = {}, {}
    for part, table in tables.items():
        path = folder / part / "part-00000.parquet"
        path.parent.mkdir(parents=True)
        pq.write_table(table, path, row_group_size=GROUP_ROWS)
        files[part] = (describe_parquet(folder, path),)
        columns[part] = tuple(
            Column(name=field.name, kind="numeric", dtype=str(field.type)) for field in table.schema
        )
    return Manifest(
        id="impressions", request="r", logical_date="2026-01-01", as_of="2026-01-01",
        config=config.model_dump(mode="json"), columns=columns, files=files, features=FEATURES,
        event_types=("view",), ledger={}, counts={},
        vocabularies={
            "item": Vocabulary(size=ITEMS + NUM_RESERVED, fingerprint="items"),
            "user": Vocabulary(size=USERS + NUM_RESERVED, fingerprint="users"),
        },
    )  # fmt: skip


def with_one_class(
    folder: Path, manifest: Manifest, label: float, part: str = "valid_impressions"
) -> Manifest:
    """Give all rows of a part the same label `liked`."""
    path = folder / manifest.files[part][0].path
    table = pq.read_table(path)
    place = table.schema.get_field_index("label_liked")
    same = pa.array(np.full(len(table), label), pa.float32())
    table = table.set_column(place, "label_liked", same)
    pq.write_table(table, path, row_group_size=GROUP_ROWS)
    files = {**manifest.files, part: (describe_parquet(folder, path),)}
    return manifest.model_copy(update={"files": files})


def job_of(config: Config, manifest: Manifest, folder: Path, work: Path) -> TrainingJob:
    """Return the job of a lone worker."""
    return TrainingJob(
        config=config, manifest=manifest, dataset=folder, work=work, rank=0, world_size=1,
        device=torch.device("cpu"), task=RankingTask(),
    )  # fmt: skip


def _items(rng: np.random.Generator, kinds: np.ndarray) -> pa.Table:
    present = rng.random(ITEMS) < 0.8
    return pa.table({
        ITEM_IDX: _numbers(np.arange(ITEMS) + NUM_RESERVED),
        "item_kind": _numbers(kinds + 2),
        "item_tags": pa.array([list(range(2, 2 + n % 4)) for n in range(ITEMS)],
                              pa.list_(pa.int32())),
        "item_price": _numbers(rng.normal(size=ITEMS) * present, pa.float32()),
        "item_price_present": _numbers(present),
        "item_image": pa.array(rng.normal(size=(ITEMS, 3)).tolist(), pa.list_(pa.float32())),
        "item_image_present": _numbers(np.ones(ITEMS)),
    })  # fmt: skip


def _impressions(
    rng: np.random.Generator, kinds: np.ndarray, rows: int, *, is_training: bool
) -> pa.Table:
    users = rng.integers(0, USERS - is_training, rows)
    items = rng.integers(0, ITEMS - is_training, rows)
    hours = rng.integers(0, 24, rows)
    logit = 4.0 * (kinds[items] == users % KINDS) - 3 + 2.0 * (hours >= 12)
    liked = rng.random(rows) < 1 / (1 + np.exp(-logit))
    bought = liked & (rng.random(rows) < 0.5)
    histories = [(rng.integers(0, ITEMS, n) + NUM_RESERVED).tolist()
                 for n in rng.integers(0, 6, rows)]  # fmt: skip
    return pa.table({
        USER_IDX: _numbers(users + NUM_RESERVED, pa.int64()),
        ITEM_IDX: _numbers(items + NUM_RESERVED),
        "label_liked": _numbers(liked, pa.float32()),
        "label_bought": _numbers(bought, pa.float32()),
        "label_stars": _numbers(3 + liked + rng.normal(size=rows) / 4, pa.float32()),
        SAMPLING_PROBABILITY: _numbers(np.where(liked, 1, 1 / ITEMS), pa.float32()),
        HISTORY_ITEMS: pa.array(histories, pa.list_(pa.int32())),
        "hour": _numbers(hours + 2),
        "item_events_7d": _numbers(rng.poisson(5, rows), pa.float32()),
    })  # fmt: skip


def _numbers(values: np.ndarray, kind: pa.DataType | None = None) -> pa.Array:
    kind = kind or pa.int32()
    return pa.array(values.astype(kind.to_pandas_dtype()), kind)
