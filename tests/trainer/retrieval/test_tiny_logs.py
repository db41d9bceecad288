"""Networks of every kind on logs with almost nothing in them."""

from pathlib import Path

import pytest
import torch

from conf.contract import NUM_RESERVED
from conf.settings.load import load_config
from tests.trainer.small_parts import write_config
from tests.trainer.tiny_logs import LOGS, NEW, write_log
from trainer.retrieval.task import RetrievalTask
from trainer.retrieval.train import require_sound
from trainer.training.job import TrainingJob
from trainer.training.learner import Cursor
from trainer.training.loop import _finish_epoch, train_epoch

ENCODERS = ("attention", "bidirectional", "gru", "cnn", "caser", "mean")
LOSSES = ("cross_entropy", "sampled_softmax", "gbce", "bce", "bpr")
NETWORKS = [
    *([f"train.model.encoder={encoder}"] for encoder in ENCODERS),
    *([f"train.loss.kind={loss}", "train.loss.num_negatives=4"] for loss in LOSSES),
    ["train.loss.kind=sampled_softmax", "train.loss.sampling=in_batch"],
    ["train.loss.kind=sampled_softmax", "train.loss.sampling=popularity"],
    ["train.loss.kind=gbce", "train.loss.negatives_for=batch"],
    ["train.model.similarity=cosine", "train.model.temperature=0.05"],
]


@pytest.mark.parametrize("network", NETWORKS, ids=" ".join)
@pytest.mark.parametrize("log", LOGS)
def test_every_network_learns_what_there_is(tmp_path: Path, log: str, network: list[str]) -> None:
    torch.set_num_threads(1)
    manifest = write_log(tmp_path, log)
    config = load_config(write_config(tmp_path), ["train.algorithm=neural", *network])
    require_sound(config, manifest)
    job = TrainingJob(
        config=config, manifest=manifest, dataset=tmp_path / "datasets" / manifest.id,
        work=tmp_path / "work", rank=0, world_size=1, device=torch.device("cpu"),
        task=RetrievalTask(),
    )  # fmt: skip
    learner, cursor = job.task.learner(job), Cursor()

    for _ in range(2):
        train_epoch(job, learner, cursor)
        _finish_epoch(job, learner, cursor)

    train, valid, _, _ = LOGS[log]
    possible = any(
        target != NEW and target not in row for row, target in zip(train, valid, strict=True)
    )
    for record in cursor.curve:
        assert (record["ndcg@10"] > 0) is possible
    for name, weight in learner.model.state_dict().items():
        if weight.is_floating_point():
            assert bool(torch.isfinite(weight[NUM_RESERVED:]).all()), name
