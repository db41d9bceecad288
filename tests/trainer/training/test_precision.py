"""Training with products in bfloat16: near that in single precision, with weights of the same."""

import json
import os
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
from trainer.cluster.machine import gains_from_bf16
from trainer.retrieval.task import RetrievalTask
from trainer.training.job import TrainingJob, precision_of
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


WIDE = [
    "train.precision=auto", "train.model.encoder=gru", "train.model.width=128",
    "train.loss.kind=sampled_softmax", "train.loss.num_negatives=8",
    "train.loss.negatives_for=batch",
]  # fmt: skip
NARROW = [*WIDE, "train.model.width=127"]


def test_a_cpu_with_the_instructions_trains_wide_networks_in_bfloat16(tmp_path: Path) -> None:
    """A narrow one would be slower, and so would one with negatives for each position."""
    wide, narrow = retrieval_job(tmp_path / "1", WIDE), retrieval_job(tmp_path / "2", NARROW)

    assert precision_of(wide, gains=True) == "bf16" and precision_of(wide, gains=False) == "fp32"
    assert precision_of(narrow, gains=True) == "fp32"
    drawn = retrieval_job(tmp_path / "3", [*WIDE, "train.loss.negatives_for=position"])
    assert precision_of(drawn, gains=True) == "fp32"
    for named in ("fp32", "bf16"):
        job = retrieval_job(tmp_path / named, [f"train.precision={named}"])
        assert {precision_of(job, gains) for gains in (True, False)} == {named}


@pytest.mark.parametrize(
    ("ranking", "precision"),
    [
        ({"interaction": "dcnv2", "hidden": [64, 256]}, "bf16"),
        ({"interaction": "dcnv2", "hidden": [255]}, "fp32"),
        ({"interaction": "linear", "hidden": [512]}, "fp32"),  # it has no hidden layer
    ],
)
def test_a_ranking_model_is_as_wide_as_its_hidden_layers(
    tmp_path: Path, ranking: dict[str, Any], precision: str
) -> None:
    config = config_for(tmp_path, ranking, precision="auto")
    folder = tmp_path / "datasets/impressions"
    job = job_of(config, write_impressions(folder, config), folder, tmp_path / "work")

    assert precision_of(job, gains=True) == precision


def test_training_keeps_the_precision_that_it_began_with(tmp_path: Path) -> None:
    """As it does when it resumes on another machine."""
    job = retrieval_job(tmp_path, WIDE)
    found = {}
    for begun in ("fp32", "bf16", None):
        learner, cursor = job.task.learner(job), Cursor(precision=begun)
        train_epoch(job, learner, cursor)
        cursor = learner.load(learner.state(cursor))
        found[begun] = (cursor.precision, cursor.loss_sum)

    here = "bf16" if gains_from_bf16(job.device) else "fp32"
    assert found["fp32"] != found["bf16"] and found[None] == found[here]
    assert found["fp32"][0] == "fp32" and found["bf16"][0] == "bf16"


def test_workers_whose_machines_differ_train_in_single_precision(tmp_path: Path) -> None:
    jobs = [replace(retrieval_job(tmp_path, WIDE), rank=rank, world_size=2) for rank in range(2)]

    torch.multiprocessing.spawn(_choose, (tmp_path, jobs), nprocs=2)  # type: ignore[no-untyped-call]

    chosen = [json.loads((tmp_path / f"rank-{rank}.json").read_text()) for rank in range(2)]
    assert chosen == [["fp32", "bf16", "fp32"]] * 2


def _choose(rank: int, folder: Path, jobs: list[TrainingJob]) -> None:
    torch.distributed.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=2)
    job = jobs[rank]
    chosen = [precision_of(job, gains) for gains in (rank == 1, True, rank == 0)]
    (folder / f"rank-{rank}.json").write_text(json.dumps(chosen))
    torch.distributed.destroy_process_group()


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
    plain = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    done = subprocess.run(
        [sys.executable, "-c", dedent(steps)], cwd=CHECKOUT, capture_output=True, text=True,
        timeout=120, check=False, env=plain,
    )  # fmt: skip
    assert done.stdout == "trained\n", done.stderr
