"""Training with products in bfloat16: near that in single precision, with weights of the same."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import torch

from conf.settings.load import load_config
from tests.packaging.checkout import CHECKOUT
from tests.trainer.impression_log import config_for, job_of, write_impressions
from tests.trainer.small_parts import checkerboard, write_config, write_dataset
from trainer.retrieval.task import RetrievalTask
from trainer.training.job import TrainingJob
from trainer.training.learner import Cursor, Learner
from trainer.training.loop import train_epoch

ENCODERS = ("attention", "bidirectional", "gru", "cnn", "caser", "mean")
LOSSES = ("cross_entropy", "sampled_softmax", "gbce", "bce", "bpr")


def retrieval_job(folder: Path, changes: list[str]) -> TrainingJob:
    rows, withheld = checkerboard()
    manifest = write_dataset(folder, rows, withheld, withheld, items=12)
    config = load_config(write_config(folder), ["train.model.embedding_std=0.5", *changes])
    job = job_of(config, manifest, folder / "datasets/small", folder / "work")
    return replace(job, task=RetrievalTask())


def trained(job: TrainingJob, precision: str) -> tuple[float, Learner]:
    """Train an epoch; return its mean loss too."""
    torch.set_num_threads(1)
    train = job.config.train.model_copy(update={"precision": precision})
    job = replace(job, config=job.config.model_copy(update={"train": train}))
    learner, cursor = job.task.learner(job), Cursor()
    train_epoch(job, learner, cursor)
    return cursor.loss_sum / cursor.weight_sum, learner


def check(job: TrainingJob) -> None:
    single, _ = trained(job, "fp32")
    half, learner = trained(job, "bf16")
    assert half != single and half == pytest.approx(single, rel=0.05)
    assert {weight.dtype for weight in learner.model.parameters()} == {torch.float32}


@pytest.mark.parametrize("encoder", ENCODERS)
def test_every_encoder(tmp_path: Path, encoder: str) -> None:
    check(retrieval_job(tmp_path, [f"train.model.encoder={encoder}"]))


@pytest.mark.parametrize("similarity", ["dot", "cosine"])
@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss(tmp_path: Path, loss: str, similarity: str) -> None:
    changes = [f"train.loss.kind={loss}", f"train.model.similarity={similarity}",
               "train.model.encoder=gru", "train.loss.num_negatives=8"]  # fmt: skip
    check(retrieval_job(tmp_path, changes))


@pytest.mark.parametrize("ranking", [
    {"interaction": kind, "history": "target_attention"}
    for kind in ("linear", "wide_deep", "deepfm", "dcnv2", "dlrm", "finalmlp")
])  # fmt: skip
def test_every_interaction(tmp_path: Path, ranking: dict[str, Any]) -> None:
    config = config_for(tmp_path, ranking)
    folder = tmp_path / "datasets/impressions"
    check(job_of(config, write_impressions(folder, config), folder, tmp_path / "work"))


def test_threads_that_share_a_core_do_not_stand_in_one_anothers_way() -> None:
    """Convolutions in bfloat16 did: a step that takes a second had not ended after minutes."""
    steps = """
        import os, torch
        os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
        torch.set_num_threads(2)
        from tests.trainer.small_model import SMALL
        from trainer.models.bundle import build_model
        for encoder in ("caser", "cnn"):
            model = build_model({**SMALL, "encoder": encoder, "width": 64}, 50).train()
            for length in (3, 12, 7):
                with torch.autocast("cpu", dtype=torch.bfloat16):
                    encoded = model.encoder(torch.randn(256, length, 64, requires_grad=True))
                encoded.float().sum().backward()
        print("trained")
    """
    done = subprocess.run(
        [sys.executable, "-c", dedent(steps)], cwd=CHECKOUT, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.stdout == "trained\n", done.stderr
