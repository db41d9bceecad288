"""A shop with histories and impressions, in the form that the ETL writes, with tastes in them.

Each item has a kind and a quality. A user clicks on what is shown by the user's taste for the kind
and by the quality; the clicks are the history. Only an item's features show its quality.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from conf.contract import (
    HISTORY_ITEMS,
    ITEM_IDX,
    NUM_BEFORE,
    NUM_RESERVED,
    RANKER,
    SAMPLING_PROBABILITY,
    UNKNOWN_IDX,
    USER_IDX,
    Column,
    Feature,
    Manifest,
)
from conf.runs.roles import role_configs
from conf.settings.config import Config
from conf.settings.features import Categorical
from conf.settings.load import load_config
from conf.workspace.json_files import write_json
from conf.workspace.parquet import describe_parquet
from conf.workspace.pointers import publish
from conf.workspace.versions import commit
from tests.trainer.small_parts import DAY, write_dataset
from trainer.models.bundle import Trained, save_bundle
from trainer.networks.ranking import RankingModel
from trainer.ranking.bundle import with_calibrations
from trainer.ranking.calibration import Calibration
from trainer.ranking.layout import layout_of, section_of

KINDS = 4
FIRST_DEVICE = UNKNOWN_IDX + Categorical(kind="categorical").oov_buckets
YAML = """
run: {{name: shop, output: "{output}"}}
input:
  root: "{output}"
  events:
    log: {{paths: [none], time_unit: seconds, fields: {{device: {{column: device}}}}}}
  items: {{paths: [none], id_column: item_id, fields: {{margin: {{column: margin}}}}}}
  users: {{paths: [none], id_column: user_id, fields: {{country: {{column: country}}}}}}
etl:
  event_types: {{view: {{}}}}
  impressions: {{labels: {{click: [view], buy: [view]}}, negatives: logged}}
  features: {{events: {{encodings: {{device: {{kind: categorical}}}}}}}}
ray: {{num_cpus: 2, object_store_mib: 100}}
train: {{algorithm: item_knn, gate: warn, metrics_at: [1, 10], cpus_per_worker: 1,
  precision: fp32}}
ranker:
  gate: warn
  batch_rows: 256
  epochs: 6
  patience_epochs: 6
  optimizer: {{learning_rate: 0.01, warmup_steps: 0}}
  ranking: {{interaction: dcnv2, width: 8, hidden: [32], dropout: 0.0, baselines: [label_mean]}}
score: {{list_length: 5, reasons: 1, block_users: 16}}
"""
FEATURES = {
    "item_features": (
        Feature(
            name="item_kind", kind="categorical", encoding="categorical", cardinality=KINDS + 2
        ),
        Feature(name="item_quality", kind="numeric", encoding="numeric"),
    ),
    "impressions": (
        Feature(name="hour", kind="categorical", encoding="context", cardinality=26),
        Feature(name=NUM_BEFORE, kind="numeric", encoding="context"),
        Feature(
            name="context_device",
            kind="categorical",
            encoding="categorical",
            cardinality=FIRST_DEVICE + 2,
        ),
    ),
}


def write_config(workspace: Path) -> Path:
    workspace.mkdir(parents=True, exist_ok=True)
    path = workspace / "run.yaml"
    path.write_text(YAML.format(output=workspace))
    return path


def shop_config(workspace: Path, *overrides: str) -> Config:
    return load_config(write_config(workspace), overrides)


def write_shop(
    workspace: Path, *, users: int = 60, items: int = 40, shown: int = 30, seed: int = 1
) -> Manifest:
    """Write the dataset of a shop where each user is shown `shown` items, and publish it."""
    rng = np.random.default_rng(seed)
    kinds, quality = rng.integers(0, KINDS, items), rng.normal(size=items)
    rows, histories = _log(rng, kinds, quality, users, shown)
    parts = [row[:-2] for row in histories]
    manifest = write_dataset(
        workspace, parts, [row[-2] for row in histories], [row[-1] for row in histories],
        items=items, name="shop",
    )  # fmt: skip
    folder = workspace / "datasets" / manifest.id
    tables = {
        "item_features": pa.table({
            ITEM_IDX: pa.array(np.arange(items) + NUM_RESERVED, pa.int32()),
            "item_kind": pa.array(kinds + 2, pa.int32()),
            "item_quality": pa.array(quality, pa.float32()),
            "item_quality_present": pa.array(np.ones(items), pa.int32()),
        }),
        **{f"{part}_impressions": pa.table(table) for part, table in rows.items()},
    }  # fmt: skip
    for name, column, values in (
        ("users", "country", [None if u % 7 == 6 else "ab"[u % 2] for u in range(users)]),
        ("items", "margin", [None if i == 3 else 1.0 + i % 5 for i in range(items)]),
    ):
        path = folder / name / "part-00000.parquet"
        group = pq.ParquetFile(path).metadata.row_group(0).num_rows
        table = pq.read_table(path).append_column(column, pa.array(values))
        pq.write_table(table, path, row_group_size=group, write_page_checksum=True)
    for name, table in tables.items():
        (folder / name).mkdir()
        pq.write_table(table, folder / name / "part-00000.parquet", row_group_size=500)
    (folder / "encoders").mkdir()
    write_json(folder / "encoders/impressions.json", {"device": {"values": ["phone", "desk"]}})
    return _described(folder, manifest, tables)


def _described(folder: Path, manifest: Manifest, tables: dict[str, pa.Table]) -> Manifest:
    files = {
        name: (describe_parquet(folder, folder / name / "part-00000.parquet"),)
        for name in (*manifest.files, *tables)
    }
    columns = {
        name: tuple(Column(name=f.name, kind="numeric", dtype=str(f.type)) for f in table.schema)
        for name, table in tables.items()
    }
    impressions = {"negatives": "logged", "negatives_per_positive": 1, "history_length": 20}
    features = {"events": {"encodings": {"device": {"kind": "categorical"}}}}
    etl = {**manifest.config["etl"], "impressions": impressions, "features": features}
    config = {**manifest.config, "etl": etl}
    changes = {"files": files, "columns": columns, "config": config, "features": FEATURES}
    made = manifest.model_copy(update=changes)
    commit(folder.parents[1], "datasets", made)
    publish(folder.parents[1], "datasets", made.id, DAY)
    return made


def _log(
    rng: np.random.Generator, kinds: np.ndarray, quality: np.ndarray, users: int, shown: int
) -> tuple[dict[str, dict[str, Any]], list[list[int]]]:
    """Return the impressions of each part as columns, and each user's clicks."""
    found: dict[str, list[tuple[Any, ...]]] = {"train": [], "valid": [], "test": []}
    histories = []
    for user in range(users):
        taste, device = user % KINDS, FIRST_DEVICE + user % 2
        order = rng.permutation(len(kinds))[:shown]
        hours = rng.integers(0, 24, len(order))
        logit = 3.0 * (kinds[order] == taste) + 1.5 * quality[order] - 2 + (hours > 11)
        clicks = rng.random(len(order)) < 1 / (1 + np.exp(-logit))
        if clicks.sum() < 3:
            clicks[:3] = True  # everybody has a target in each part
        buys = clicks & (quality[order] > 0)
        places = np.flatnonzero(clicks)
        past: list[int] = []
        for place, item in enumerate(order[: places[-1] + 1]):
            part = "train" if place <= places[-3] else "valid" if place <= places[-2] else "test"
            found[part].append(
                (user + NUM_RESERVED, item + NUM_RESERVED, clicks[place], buys[place],
                 past[-20:], hours[place] + 2, np.log1p(len(past)), device)
            )  # fmt: skip
            if clicks[place]:
                past = [*past, int(item) + NUM_RESERVED]
        histories.append(past)
    return {part: _columns(rows) for part, rows in found.items()}, histories


def _columns(rows: list[tuple[Any, ...]]) -> dict[str, Any]:
    users, items, clicks, buys, past, hours, before, devices = zip(*rows, strict=True)
    return {
        USER_IDX: pa.array(users, pa.int64()),
        ITEM_IDX: pa.array(np.array(items), pa.int32()),
        "label_click": pa.array(np.array(clicks), pa.float32()),
        "label_buy": pa.array(np.array(buys), pa.float32()),
        SAMPLING_PROBABILITY: pa.array(np.ones(len(rows)), pa.float32()),
        HISTORY_ITEMS: pa.array(past, pa.list_(pa.int32())),
        "hour": pa.array(np.array(hours), pa.int32()),
        NUM_BEFORE: pa.array(before, pa.float32()),
        "context_device": pa.array(devices, pa.int32()),
    }


def write_ranker(config: Config, manifest: Manifest, role: str = RANKER, **ranking: Any) -> str:
    """Commit and publish a ranking model with random weights; return its id."""
    own = dict(role_configs(config))[RANKER] if role == RANKER else config
    spec = own.train.ranking.model_copy(update=ranking)
    own = own.model_copy(update={"train": own.train.model_copy(update={"ranking": spec})})
    section = section_of(own, manifest, layout_of(own, manifest))
    section["model"]["embedding_std"] = 0.5
    torch.manual_seed(3)
    weights = RankingModel(**section["model"]).state_dict()
    maps = [Calibration("platt", np.array([0.5, 0.3 * n])) for n in range(len(section["labels"]))]
    section["calibration"] = "platt"
    trained = Trained(section, with_calibrations(weights, maps), {})
    version = save_bundle(own, manifest, role[0] * 64, trained, role=role)
    publish(Path(config.run.output), "models", version, DAY, role=role)
    return version


def item_ids(items: int) -> list[str]:
    return [f"i{number}" for number in range(NUM_RESERVED, NUM_RESERVED + items)]
