"""A log in which the page of an event alone tells the next item, from its lines to the figures."""

import random
from pathlib import Path

import pytest
import torch

from conf.contract import Manifest
from conf.settings.config import Config
from tests.etl.dataset.test_extend import START
from tests.etl.making import config_for, make, write_lines
from tests.trainer.deliveries import job_of, saved, trained
from trainer.data.stream import read_row_groups
from trainer.evaluation.figures import count_ranks
from trainer.evaluation.held_out import columns_of
from trainer.evaluation.metrics import figure
from trainer.models.bundle import load_scorer
from trainer.models.scorer import ModelScorer

pytestmark = pytest.mark.usefixtures("spark")
ITEMS, USERS, EVENTS = 30, 240, 9
BY_CHANCE = 1 / (ITEMS - EVENTS + 1)  # what a user has seen is left out


def write_log(path: Path) -> None:
    """Write users with items in an order that nothing tells but the page before each."""
    draw, lines = random.Random(7), ["user_id,item_id,time,page"]
    for user in range(USERS):
        *items, last = draw.sample(range(ITEMS), EVENTS + 1)
        for at, (item, page) in enumerate(zip(items, [*items[1:], last], strict=True)):
            lines.append(f"u{user},i{item},{START + 60 * at},about-{page}")
    write_lines(path, *lines)


def config_of(root: Path, event_features: str) -> Config:
    return config_for(
        root,
        events={"fields": {"page": {}}},
        etl={
            "features": {"events": {"encodings": {"page": {"kind": "categorical"}}}},
            "history_features": ["page"],
        },
        train={
            "model": {"width": 32, "blocks": 1, "heads": 1, "event_features": event_features,
                      "dropout": 0.0},
            "epochs": 12, "batch_rows": 16, "metric": "hr@1",
            "optimizer": {"learning_rate": 0.01, "warmup_steps": 0},
        },
    )  # fmt: skip


def hit_rate(root: Path, manifest: Manifest, event_features: str) -> float:
    """Train without Ray, publish, load the model again; return HR@1 of the test part."""
    torch.set_num_threads(1)
    config = config_of(root, event_features)
    learner, _ = trained(job_of(config, manifest, root / event_features))
    workspace = Path(config.run.output)
    _, scorer = load_scorer(workspace, saved(config, manifest, learner))
    assert isinstance(scorer, ModelScorer)
    groups, columns = manifest.row_groups("test"), columns_of(manifest, "test")
    blocks = (
        found for _, found in read_row_groups(workspace / "datasets" / manifest.id, groups, columns)
    )
    return figure(count_ranks(scorer, blocks, batch_rows=64, largest=1, drop_seen=True), "hr@1")


@pytest.mark.slow
def test_what_only_the_context_tells_is_found_with_it_alone(tmp_path: Path) -> None:
    write_log(tmp_path / "log.csv")
    manifest, _ = make(config_of(tmp_path, "all"))

    found = {which: hit_rate(tmp_path, manifest, which) for which in ("all", "none")}

    assert found["all"] > 0.95, found
    assert found["none"] < 3 * BY_CHANCE, found
