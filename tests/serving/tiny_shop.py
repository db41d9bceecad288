"""A shop of a few users, written by hand as the ETL and the trainer would leave it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from conf.contract import (
    HISTORY_ITEMS,
    HISTORY_TIMES,
    HISTORY_TYPES,
    ITEM_ID,
    ITEM_IDX,
    NUM_RESERVED,
    TITLE,
    TRAIN_EVENTS,
    USER_ID,
    USER_IDX,
    DataFile,
    Manifest,
    Vocabulary,
)
from conf.runs.inputs.request_keys import lists_request
from conf.settings.config import Config
from conf.settings.load import load_config
from conf.workspace.parquet import describe_parquet
from conf.workspace.pointers import publish
from conf.workspace.versions import commit
from tests.packaging.checkout import CHECKOUT
from trainer.models.bundle import Trained, build_model, model_section, save_bundle

DAY = "2026-01-31"
SECOND = 1_000_000
HISTORIES = [[2, 3, 4], [5, 6, 7, 8, 9, 10, 11, 12], [], [3, 3], [2], [12, 2, 9, 9], [1], [4, 11]]
ITEMS = 11
YAML = """
run: {{name: tiny, output: "{output}"}}
input: {{root: none, events: {{log: {{paths: [none], time_unit: seconds}}}}}}
etl: {{event_types: {{view: {{}}, buy: {{}}}}}}
ray: {{num_cpus: 2, object_store_mib: 100}}
train:
  algorithm: neural
  gate: warn
  precision: fp32
  cpus_per_worker: 1
  model: {{width: 8, blocks: 1, heads: 2, history_length: 6}}
score: {{list_length: 4, block_users: {block_users}, block_items: {block_items}, reasons: 2}}
"""


def write_config(workspace: Path, *, block_users: int = 3, block_items: int = 5) -> Path:
    workspace.mkdir(parents=True, exist_ok=True)
    path = workspace / "run.yaml"
    path.write_text(YAML.format(output=workspace, block_users=block_users, block_items=block_items))
    return path


def tiny_config(workspace: Path, *overrides: str) -> Config:
    return load_config(write_config(workspace), overrides)


def write_dataset(
    workspace: Path, histories: Sequence[Sequence[int]], *, items: int, group_rows: int = 3,
    name: str = "tiny-dataset", fingerprint: str = "vocabulary-1",
    earlier: tuple[tuple[int, str], ...] = (),
    item_fields: Mapping[str, pa.Array] = MappingProxyType({}),
    user_fields: Mapping[str, pa.Array] = MappingProxyType({}),
    times: Sequence[Sequence[int]] | None = None,
    **more: Any,
) -> Manifest:  # fmt: skip
    """Write users `u0`, `u1`, ... with histories of item numbers; item n is called `i<n>`.

    Fields of the type timestamp are stored as the ETL stores times.
    """
    folder = workspace / "datasets" / name
    users = range(len(histories))
    if times is None:
        times = [[SECOND * (100 + place) for place in range(len(items))] for items in histories]
    tables = {
        "histories": pa.table(
            {
                USER_IDX: pa.array([NUM_RESERVED + user for user in users], pa.int64()),
                HISTORY_ITEMS: pa.array(histories, pa.list_(pa.int32())),
                HISTORY_TYPES: pa.array(
                    [[place % 2 for place in range(len(h))] for h in histories],
                    pa.list_(pa.int32()),
                ),
                HISTORY_TIMES: pa.array(times, pa.list_(pa.int64())),
            }
        ),
        "users": pa.table(
            {
                USER_IDX: pa.array([NUM_RESERVED + user for user in users], pa.int64()),
                USER_ID: [f"u{user}" for user in users],
                **_stored(user_fields),
            }
        ),
        "items": _items_table(histories, items, item_fields),
    }
    rows = {"histories": group_rows, "users": group_rows, "items": items}
    files = {part: (_write(folder, part, table, rows[part]),) for part, table in tables.items()}
    manifest = Manifest(
        id=name, request=name, logical_date=DAY, as_of=DAY, columns={}, ledger={}, files=files,
        config={
            "input": {
                "events": {"log": {"time_unit": "seconds"}},
                "items": {"fields": _declared(item_fields)},
                "users": {"fields": _declared(user_fields)},
            }
        },
        event_types=("view", "buy"),
        counts={"users": len(histories)},
        vocabularies={
            "item": Vocabulary(
                size=NUM_RESERVED + items, fingerprint=fingerprint, earlier=earlier
            ),
            "user": Vocabulary(
                size=NUM_RESERVED + len(histories), fingerprint=f"{len(histories)} users"
            ),
        },
        **more,
    )  # fmt: skip
    commit(workspace, "datasets", manifest)
    publish(workspace, "datasets", name, DAY)
    return manifest


def write_model(config: Config, manifest: Manifest, *, fill: float | None = None) -> str:
    """Write a model with random weights, or weights all the same, and return its id."""
    torch.manual_seed(1)
    section = model_section(config, manifest)
    model = build_model({**section, "embedding_std": 1.0}, manifest.vocabularies["item"].size)
    weights = model.state_dict()
    if fill is not None:
        weights = {name: torch.full_like(tensor, fill) for name, tensor in weights.items()}
    model_id = save_bundle(config, manifest, "m" * 64, Trained(section, weights, {}))
    publish(Path(config.run.output), "models", model_id, DAY)
    return model_id


def request_of(config: Config, dataset_id: str, model_id: str) -> str:
    return lists_request(config, dataset_id, model_id)


def read_lists(folder: Path) -> list[dict[str, Any]]:
    """Return the rows of all parts in order."""
    tables = [pq.read_table(path) for path in sorted(folder.glob("part-*.parquet"))]
    rows: list[dict[str, Any]] = pa.concat_tables(tables).to_pylist()
    return rows


def start_scoring(config_path: Path, *overrides: str) -> subprocess.Popen[str]:
    """Start the real command."""
    return subprocess.Popen(
        [sys.executable, "-m", "serving", "--config", str(config_path), "--json", *overrides],
        cwd=CHECKOUT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)}, start_new_session=True,
    )  # fmt: skip


def finish(process: subprocess.Popen[str], exit_code: int = 0) -> dict[str, Any]:
    """Wait for a command, check how it ended, and return its result or its complaint."""
    try:
        out, err = process.communicate(timeout=240)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == exit_code, err[-4000:]
    return json.loads(out) if exit_code == 0 else {"stderr": err}


def _declared(fields: Mapping[str, pa.Array]) -> dict[str, Any]:
    """Return fields as the configuration declares them, as far as lists need it."""
    return {
        name: {"type": "time" if pa.types.is_timestamp(values.type) else "text"}
        for name, values in fields.items()
    }


def _stored(fields: Mapping[str, pa.Array]) -> dict[str, pa.Array]:
    """Return fields as the ETL stores them: times in microseconds since 1970."""
    return {
        name: values.cast(pa.int64()) if pa.types.is_timestamp(values.type) else values
        for name, values in fields.items()
    }


def _items_table(
    histories: Sequence[Sequence[int]], items: int, fields: Mapping[str, pa.Array]
) -> pa.Table:
    numbers = range(NUM_RESERVED, NUM_RESERVED + items)
    events = [sum(history.count(n) for history in map(list, histories)) for n in numbers]
    return pa.table(
        {
            ITEM_IDX: pa.array(numbers, pa.int32()),
            ITEM_ID: [f"i{number}" for number in numbers],
            TITLE: [f"Item {number}" if number % 2 else None for number in numbers],
            TRAIN_EVENTS: pa.array(events, pa.int64()),
            **_stored(fields),
        }
    )


def _write(folder: Path, part: str, table: pa.Table, group_rows: int) -> DataFile:
    path = folder / part / "part-00000.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=group_rows, write_page_checksum=True)
    return describe_parquet(folder, path)
