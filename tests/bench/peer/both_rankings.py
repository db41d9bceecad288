"""A training again, in this process, with NDCG@10 of the validation part in both ways of ranking.

`python -m tests.bench.peer.both_rankings CONFIG WORK OVERRIDE...`, with a folder for checkpoints,
prints one JSON array: for each epoch its seconds, its CPU seconds, and the figure with the items of
the history left out, as the product ranks, and with them among the candidates, as others do. With
the same seed and as many threads the weights are those of `headrace train`.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from conf.contract import Manifest
from conf.settings.load import load_config
from conf.workspace.pointers import current_version
from conf.workspace.versions import read_manifest
from trainer.cluster.ray_session import cpus_of_worker
from trainer.data.stream import read_row_groups
from trainer.evaluation.held_out import COLUMNS, held_out_batches
from trainer.evaluation.metrics import figure, rank_counts
from trainer.models.scorer import ModelScorer
from trainer.retrieval.task import RetrievalTask
from trainer.training.job import TrainingJob
from trainer.training.learner import Cursor, Learner
from trainer.training.loop import train_epoch

TOP = 10


def train(path: Path, overrides: list[str], work: Path) -> list[dict[str, Any]]:
    """Train as many epochs as are configured; patience is left out."""
    config = load_config(path, overrides)
    workspace = Path(config.run.output).resolve()
    version = current_version(workspace, "datasets")
    manifest = read_manifest(workspace, "datasets", version, Manifest)
    torch.set_num_threads(cpus_of_worker(config))
    device = torch.device("cpu")
    job = TrainingJob(
        config, manifest, workspace / "datasets" / version, work, 0, 1, device, task=RetrievalTask()
    )
    learner, cursor = RetrievalTask().learner(job), Cursor()
    curve = []
    for epoch in range(config.train.epochs):
        started, cpu_before = time.monotonic(), time.process_time()
        train_epoch(job, learner, cursor)
        taken = {
            "seconds": time.monotonic() - started,
            "cpu_seconds": time.process_time() - cpu_before,
        }
        learner.objective.eval()
        with learner.mean_weights(), torch.no_grad():
            curve.append({"epoch": epoch, **taken, **_figures(job, learner)})
        cursor.begin_epoch()
    return curve


def _figures(job: TrainingJob, learner: Learner) -> dict[str, float]:
    scorer = ModelScorer(learner.model)  # type: ignore[arg-type]
    dropped, kept = (np.zeros(TOP + 1, dtype=np.int64) for _ in range(2))
    rows = job.config.train.eval_batch_rows
    for _, columns in read_row_groups(job.dataset, job.manifest.row_groups("valid"), COLUMNS):
        for batch in held_out_batches(columns, rows, drop_seen=True):
            scores = scorer.scores(batch.histories, batch.rows)  # [B, V]
            kept += rank_counts(batch._replace(drops_seen=False).ranks(scores), TOP)
            dropped += rank_counts(batch.ranks(scores), TOP)
    return {"dropped": figure(dropped, f"ndcg@{TOP}"), "kept": figure(kept, f"ndcg@{TOP}")}


if __name__ == "__main__":
    print(json.dumps(train(Path(sys.argv[1]), sys.argv[3:], Path(sys.argv[2]))))
