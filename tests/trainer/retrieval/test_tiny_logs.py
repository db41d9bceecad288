"""Networks of every kind on logs with almost nothing in them."""

from pathlib import Path

import pytest
import torch

from conf.contract import NUM_RESERVED, Manifest
from conf.errors import InputError
from conf.settings.load import load_config
from tests.trainer.small_parts import write_config, write_dataset
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


def job_for(workspace: Path, manifest: Manifest, *network: str) -> TrainingJob:
    config = load_config(write_config(workspace), ["train.algorithm=neural", *network])
    require_sound(config, manifest)
    return TrainingJob(
        config=config, manifest=manifest, dataset=workspace / "datasets" / manifest.id,
        work=workspace / "work", rank=0, world_size=1, device=torch.device("cpu"),
        task=RetrievalTask(),
    )  # fmt: skip


@pytest.mark.parametrize("network", NETWORKS, ids=" ".join)
@pytest.mark.parametrize("log", LOGS)
def test_every_network_learns_what_there_is(tmp_path: Path, log: str, network: list[str]) -> None:
    torch.set_num_threads(1)
    job = job_for(tmp_path, write_log(tmp_path, log), *network)
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


def test_targets_without_confidence_are_nothing_to_learn_from(tmp_path: Path) -> None:
    """Each user's first event has a confidence, but it is no target."""
    manifest = write_dataset(
        tmp_path, [[2, 3, 4]] * 4, [2] * 4, [3] * 4, items=3, sure=[[1.0, 0, 0, 1, 1]] * 4
    )
    job = job_for(tmp_path, manifest)
    learner, cursor = job.task.learner(job), Cursor()

    train_epoch(job, learner, cursor)
    with pytest.raises(InputError, match=r"no training target .* has a confidence above 0"):
        _finish_epoch(job, learner, cursor)
