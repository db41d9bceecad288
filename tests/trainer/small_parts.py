"""Histories written out by hand: as columns in memory, and as a dataset on disk."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

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
    TRAIN_WEIGHT,
    USER_ID,
    USER_IDX,
    Column,
    DataFile,
    Manifest,
    Vocabulary,
)
from conf.workspace.parquet import describe_parquet
from conf.workspace.pointers import publish
from conf.workspace.versions import commit
from trainer.data.columns import Columns, Ragged
from trainer.models.fit_source import UserItems, user_items

Rows = Sequence[Sequence[int]]
Numbers = Sequence[Sequence[float]]
DAY = "2026-01-31"
YAML = """
run: {{name: small, output: "{output}"}}
input: {{root: none, events: {{log: {{paths: [none], time_unit: seconds}}}}}}
etl: {{event_types: {{view: {{}}}}}}
ray: {{num_cpus: 2, object_store_mib: 100}}
train:
  algorithm: neural
  gate: warn
  epochs: 1
  precision: fp32
  cpus_per_worker: 1
  metrics_at: [1, 10]
  model: {{width: 8, blocks: 1, heads: 1, history_length: 6}}
  counting: {{als: {{factors: 4, iterations: 3}}}}
score: {{list_length: 3, reasons: 1}}
"""


def ragged(rows: Rows) -> Ragged:
    values = np.array([item for row in rows for item in row], dtype=np.int32)
    return Ragged(values, np.cumsum([0] + [len(row) for row in rows]).astype(np.int64))


def train_block(rows: Rows, users: Sequence[int] | None = None) -> Columns:
    """Return a row group of `train/`; users are numbered from 2 where they are not given."""
    numbers = range(NUM_RESERVED, NUM_RESERVED + len(rows)) if users is None else users
    return {USER_IDX: np.array(numbers, dtype=np.int64), HISTORY_ITEMS: ragged(rows)}


def sure_block(rows: Rows, sure: Numbers) -> Columns:
    """Return a row group of `train/` whose events have these confidences."""
    values = np.array([one for row in sure for one in row], dtype=np.float32)
    offsets = ragged(rows).offsets
    return {**train_block(rows), HISTORY_WEIGHTS: Ragged(values, offsets)}


def matrix(rows: Rows, catalogue: int) -> UserItems:
    return user_items([train_block(rows)], catalogue)


def checkerboard(users: int = 40, items: int = 12) -> tuple[Rows, list[int]]:
    """Return histories of every second item less one, and the item that each lacks."""
    rows, withheld = [], []
    for user in range(users):
        mine = [NUM_RESERVED + item for item in range(items) if (user + item) % 2 == 0]
        withheld.append(mine.pop(user // 2 % len(mine)))
        rows.append(mine)
    return rows, withheld


def best_unseen(scores: np.ndarray, rows: Rows) -> list[int]:
    """Return the item of highest score for each row among those that it lacks."""
    scores = scores.copy()
    scores[:, :NUM_RESERVED] = -np.inf
    for row, history in enumerate(rows):
        scores[row, list(history)] = -np.inf
    best: list[int] = scores.argmax(1).tolist()
    return best


def write_config(workspace: Path) -> Path:
    workspace.mkdir(parents=True, exist_ok=True)
    path = workspace / "run.yaml"
    path.write_text(YAML.format(output=workspace))
    return path


def write_dataset(
    workspace: Path,
    train: Rows,
    valid: Sequence[int],
    test: Sequence[int],
    *,
    items: int,
    name: str = "small",
    base: Manifest | None = None,
    sure: Numbers | None = None,
) -> Manifest:
    """Write users with a training part and one target each in validation and test.

    With `base`, the items' numbers go on from those of that dataset. `sure` has a confidence for
    each event of each user, in the order of time; there may be more numbers than events.
    """
    folder = workspace / "datasets" / name
    vocabulary = Vocabulary(size=NUM_RESERVED + items, fingerprint="items")
    if base is not None:
        before = base.vocabularies["item"]
        earlier = (*before.earlier, (before.size, before.fingerprint))
        vocabulary = vocabulary.model_copy(
            update={"fingerprint": f"items of {name}", "earlier": earlier}
        )
    users = pa.array(range(NUM_RESERVED, NUM_RESERVED + len(train)), pa.int64())
    with_valid = [[*row, target] for row, target in zip(train, valid, strict=True)]
    whole = [[*row, target] for row, target in zip(with_valid, test, strict=True)]
    counts = np.bincount([item for row in train for item in row], minlength=items + NUM_RESERVED)
    numbers = range(NUM_RESERVED, NUM_RESERVED + items)
    ones = [[1.0] * len(row) for row in train]
    tables = {
        "train": _histories(users, train, ones if sure is None else sure),
        "valid": _histories(users, train, sure).append_column(TARGET_ITEM, _targets(valid)),
        "test": _histories(users, with_valid, sure).append_column(TARGET_ITEM, _targets(test)),
        "histories": _histories(users, whole, sure),
        "users": pa.table({USER_IDX: users, USER_ID: [f"u{user}" for user in range(len(train))]}),
        "items": pa.table({
            ITEM_IDX: pa.array(numbers, pa.int32()),
            ITEM_ID: [f"i{number}" for number in numbers],
            TITLE: pa.nulls(items, pa.string()),
            TRAIN_EVENTS: pa.array(counts[NUM_RESERVED:], pa.int64()),
        }),
    }  # fmt: skip
    columns: dict[str, tuple[Column, ...]] = {}
    if sure is not None:
        found = [(item, sure[u][p]) for u, row in enumerate(train) for p, item in enumerate(row)]
        sums = np.bincount(*map(np.array, zip(*found, strict=True)), minlength=len(counts))
        tables["items"] = tables["items"].append_column(TRAIN_WEIGHT, pa.array(sums[NUM_RESERVED:]))
        weights = Column(name=HISTORY_WEIGHTS, kind="sequence", dtype="list<float>")
        columns = dict.fromkeys(("train", "valid", "test", "histories"), (weights,))
    manifest = Manifest(
        id=name, request=name, logical_date=DAY, as_of=DAY, columns=columns, ledger={},
        files={part: (_write(folder, part, table),) for part, table in tables.items()},
        config={
            "input": {"events": {"log": {"time_unit": "seconds"}}},
            "etl": {
                "windows": "all", "window_length": 50, "repeated_items": "keep",
                "impressions": None,
                "split": {"kind": "leave_one_out"},
                "event_types": {"view": {"weight": 1.0}},
            },
        },
        event_types=("view",), counts={"users": len(train)},
        vocabularies={
            "item": vocabulary,
            "user": Vocabulary(size=NUM_RESERVED + len(train), fingerprint="users"),
        },
    )  # fmt: skip
    commit(workspace, "datasets", manifest)
    publish(workspace, "datasets", name, DAY)
    return manifest


def _histories(users: pa.Array, rows: Rows, sure: Numbers | None) -> pa.Table:
    days = [[86_400_000_000 * place for place in range(len(row))] for row in rows]
    types = [[0] * len(row) for row in rows]
    columns = {
        USER_IDX: users,
        HISTORY_ITEMS: pa.array(rows, pa.list_(pa.int32())),
        HISTORY_TYPES: pa.array(types, pa.list_(pa.int32())),
    }
    if sure is not None:
        weights = [list(row[: len(types[user])]) for user, row in enumerate(sure)]
        columns[HISTORY_WEIGHTS] = pa.array(weights, pa.list_(pa.float32()))
    return pa.table({**columns, HISTORY_TIMES: pa.array(days, pa.list_(pa.int64()))})


def _targets(targets: Sequence[int]) -> pa.Array:
    return pa.array(targets, pa.int32())


def _write(folder: Path, part: str, table: pa.Table) -> DataFile:
    path = folder / part / "part-00000.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=20)
    return describe_parquet(folder, path)
