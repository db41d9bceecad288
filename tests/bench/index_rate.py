"""Lists from an index of the catalogue against exact ones: speed, memory and recall.

`python -m tests.bench.index_rate --users 1000000 --items 1000000` scores made-up users with a
network whose item vectors lie in groups, as those of trained models do, and prints one JSON object.
Recall is the share of the exact lists of some users that the written lists have.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch

from conf.contract import NUM_RESERVED, POSITION, USER_ID, Manifest
from conf.settings.load import load_config
from serving import score
from serving.ranking.topk import top_k
from serving.rules.history import Seen
from serving.scoring.list_model import load_model
from tests.bench.made_up import write_dataset
from tests.bench.score_rate import _PeakMemory
from trainer.data.batches import histories_of
from trainer.data.stream import read_row_groups
from trainer.models.bundle import Trained, build_model, model_section, save_bundle
from trainer.models.scorer import ModelScorer

CORES, ROW_GROUP_ROWS, EVENTS, SAMPLE, GROUP_SIZE, SPREAD = 2, 50_000, 20, 500, 500, 1.0
YAML = """
run: {{name: bench, output: "{folder}"}}
input: {{root: none, events: {{log: {{paths: [none], time_unit: seconds}}}}}}
etl: {{event_types: {{view: {{}}}}}}
ray: {{num_cpus: 2, object_store_mib: 150}}
train: {{algorithm: neural, model: {{width: 64, encoder: mean, history_length: 5}}}}
score: {{workers: 2, list_length: 100, reasons: 0, drop_seen: true, index: {index}}}
"""


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--probes", type=int, default=None)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(Path(folder), asked.users, asked.items, asked.probes), indent=1))


def measure(folder: Path, users: int, items: int, probes: int | None) -> dict[str, Any]:
    """Return speed, memory and recall of lists that an index finds."""
    index = {"probes": "null" if probes is None else probes}
    path = folder / "bench.yaml"
    path.write_text(YAML.format(folder=folder, index=json.dumps(index).replace('"', "")))
    config = load_config(path)
    manifest = write_dataset(
        folder, users=users, items=items, mean_length=EVENTS, row_group_rows=ROW_GROUP_ROWS
    )
    torch.manual_seed(1)
    section = model_section(config, manifest)
    model = build_model(section, items + NUM_RESERVED)
    weights = model.state_dict()
    name = next(key for key, value in weights.items() if value.shape == (items + NUM_RESERVED, 64))
    weights[name] = _grouped(items + NUM_RESERVED)
    model_id = save_bundle(config, manifest, "b" * 64, Trained(section, weights, {"test": {}}))
    started = time.monotonic()
    with _PeakMemory("PartScorer") as peak:
        version = score.run(config, dataset_id=manifest.id, model_id=model_id, request="c" * 64)
    seconds = time.monotonic() - started
    recall, exact = _recall(folder, manifest, model_id, folder / "lists" / version)
    return {
        "users": users,
        "items": items,
        "seconds": round(seconds),
        "users_per_second": round(users / seconds),
        "core_hours_per_million_users": round(CORES * seconds / users * 1e6 / 3600, 2),
        "core_hours_of_exact_lists": round(exact * 1e6 / 3600, 2),
        "recall_at_100": round(recall, 3),
        "scorer_peak_mib": round(peak.bytes / 2**20),
    }


def _grouped(rows: int) -> torch.Tensor:
    rng = np.random.default_rng(1)
    centres = rng.standard_normal((max(rows // GROUP_SIZE, 2), 64), dtype=np.float32)
    found = centres[rng.integers(0, len(centres), rows)]
    found += SPREAD * rng.standard_normal((rows, 64), dtype=np.float32)
    return torch.from_numpy(found)


def _recall(
    workspace: Path, manifest: Manifest, model_id: str, version: Path
) -> tuple[float, float]:
    """Return the recall of some users' lists, and the CPU seconds that an exact list takes."""
    scorer = load_model(workspace, model_id, manifest).scorer
    assert isinstance(scorer, ModelScorer)
    group = manifest.row_groups("histories")[0]
    columns = ["user_idx", "history_item_idx", "history_event_type", "history_time"]
    _, found = next(read_row_groups(workspace / "datasets" / "bench", [group], columns, threads=1))
    histories, rows = histories_of(found), np.arange(min(SAMPLE, group.rows))
    ends = histories.offsets[len(rows)]
    owner = np.repeat(rows, np.diff(histories.offsets[: len(rows) + 1]))
    seen = Seen(torch.from_numpy(owner), torch.from_numpy(histories.values[:ends].astype(np.int64)))
    torch.set_num_threads(1)
    with torch.no_grad():
        vectors, users = scorer.item_vectors, scorer.model.encode(scorer.batch(histories, rows))
        started = time.process_time()
        best = top_k(users, vectors, k=100, seen=seen, block_items=16_384).item_idx.numpy()
    exact = (time.process_time() - started) / len(rows)
    lists = pq.read_table(version / "part-00000.parquet").to_pandas()
    assert (lists[POSITION] <= 100).all()
    written = lists.groupby(USER_ID)["item_id"].agg(set)
    shares = [
        len({f"i{item}" for item in best[row]} & written[f"u{row + NUM_RESERVED}"]) / 100
        for row in rows
    ]
    return float(np.mean(shares)), exact


if __name__ == "__main__":
    main()
