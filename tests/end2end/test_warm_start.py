"""A later delivery of the generated log: going on from the model before, and training from nothing.

The deliveries are the log's first 50 days and all of its 60; items come out on every day.
"""

import math
import os
from pathlib import Path

import pytest
import torch

from conf.contract import Manifest
from conf.runs.lineage import with_start
from conf.settings.config import Config
from conf.settings.load import load_config
from conf.workspace.versions import read_manifest
from tests.end2end.conftest import CHECKOUT, SMALL_SHOP, Shop
from tests.trainer.deliveries import job_of, saved, trained
from trainer.retrieval.warm_start import require_fitting, write_start
from trainer.training.learner import Cursor

SHOP = [
    *SMALL_SHOP, "generate.num_users=1200", "generate.num_items=500", "generate.num_events=60000",
    "generate.num_days=60", "etl.vocabulary=extend", "etl.repeated_items=first",
    "etl.features.items.encodings={category: {kind: categorical}, brand: {kind: categorical}}",
    "train.epochs=30", "train.save_optimizer=true",
]  # fmt: skip
EPOCHS = 6
"""Of the one that goes on: the learning rate falls over them."""


def figures(cursor: Cursor) -> list[float]:
    return [record["ndcg@10"] for record in cursor.curve]


def steps_to(figure: float, cursor: Cursor) -> float:
    """Return the steps at whose end validation was first as good; infinity: it never was."""
    each = (number for number, own in enumerate(figures(cursor), 1) if own >= figure)
    epochs = next(each, math.inf)
    return epochs * cursor.step / len(cursor.curve)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_warm_start_comes_to_the_same_figure_in_half_the_steps(tmp_path: Path) -> None:
    log, workspace = tmp_path / "log", tmp_path / "workspace"
    shop = Shop(log, workspace, (*SHOP, f"input.root={log}", f"run.output={workspace}"))
    shop.run("generate")
    days = sorted((log / "events").iterdir())
    (log / "first").mkdir()
    for path in days[:50]:
        os.link(path, log / "first" / path.name)
    before = shop.run("etl", "input.events.log.paths=[first/*.csv]", timeout=1200)
    later = shop.run("etl", timeout=1200)
    assert later["counts"]["items"] > before["counts"]["items"]
    config = load_config(CHECKOUT / "conf" / "demo.yaml", shop.overrides)
    start = config.train.warm_start.model_copy(update={"model": "current"})
    few = {"warm_start": start, "epochs": EPOCHS}
    torch.set_num_threads(1)

    train_first(config, before["id"], tmp_path / "first")
    cold, warm = (
        train_later(config.model_copy(update={"train": train}), later["id"], tmp_path / name)
        for name, train in (
            ("cold", config.train),
            ("warm", config.train.model_copy(update=few)),
        )
    )

    best = max(figures(cold))
    steps = [steps_to(best, cold), steps_to(best, warm)]
    print(f"ndcg@10 {best:.4f} after {steps[0]:.0f} steps, warm after {steps[1]:.0f}; at the end "
          f"{max(figures(warm)):.4f}")  # fmt: skip
    assert steps[1] <= steps[0] / 2


def train_first(config: Config, dataset: str, work: Path) -> None:
    """Train on the first delivery, and publish the model."""
    manifest = read_manifest(Path(config.run.output), "datasets", dataset, Manifest)
    learner, _ = trained(job_of(config, manifest, work))
    saved(config, manifest, learner)


def train_later(config: Config, dataset: str, work: Path) -> Cursor:
    """Train as the stage does, Ray apart; return the curve."""
    manifest = read_manifest(Path(config.run.output), "datasets", dataset, Manifest)
    config = with_start(config, dataset)
    require_fitting(config, manifest)
    job = job_of(config, manifest, work)
    if config.train.warm_start.model is not None:
        write_start(config, manifest, work)
    return trained(job)[1]
