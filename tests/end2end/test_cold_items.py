"""Items without any training event, known by what they look like, in a shop that gets new ones."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from conf.contract import Manifest
from conf.workspace.versions import read_manifest
from tests.end2end.conftest import Shop, make_shop
from trainer.data.stream import read_row_groups
from trainer.data.trained_on import read_train_events
from trainer.evaluation.held_out import COLUMNS, held_out_batches
from trainer.models.bundle import load_scorer

TRAINING = (
    "train.epochs=20", "train.batch_rows=64", "train.model.width=64", "train.model.heads=2",
    "train.model.similarity=cosine", "train.model.temperature=0.1", "train.model.blocks=2",
    "train.optimizer.learning_rate=0.003",
)  # fmt: skip
CATALOGUE = (
    "etl.catalogue=table", "etl.split.kind=temporal", "etl.split.test_share=0.4",
    "input.items.fields={category: {}, image: {}}", "etl.split.valid_share=0.1",
    "etl.features.items.encodings={category: {kind: categorical}, "
    "image: {kind: vector, dimension: 12}}",
)  # fmt: skip


def cold_hits(shop: Shop, model_id: str) -> tuple[float, int]:
    """Return HR@10 of the test targets without a training event, and how many these are."""
    dataset = json.loads((shop.workspace / "datasets" / "CURRENT.json").read_text())["id"]
    folder = shop.workspace / "datasets" / dataset
    manifest = read_manifest(shop.workspace, "datasets", dataset, Manifest)
    events = read_train_events(folder, manifest)
    _, scorer = load_scorer(shop.workspace, model_id)
    hits: list[np.ndarray] = []
    for _, columns in read_row_groups(folder, manifest.row_groups("test"), COLUMNS):
        for batch in held_out_batches(columns, 512, drop_seen=True):
            with torch.no_grad():
                ranks = batch.ranks(scorer.scores(batch.histories, batch.rows)).numpy()
            hits.append(ranks[events[batch.targets] == 0] <= 10)
    found = np.concatenate(hits)
    return float(found.mean()), len(found)


@pytest.mark.slow
def test_content_finds_items_that_nobody_has_had(tmp_path: Path) -> None:
    more = ("generate.num_users=3000", "generate.num_items=800", "generate.num_events=80000")
    shop = make_shop(tmp_path, (*more, *CATALOGUE, *TRAINING))
    shop.run("etl")
    found: dict[str, Any] = {}
    for features in ("none", "all"):
        done = shop.run(
            "train", f"train.model.content={{features: {features}, id_dropout: 0.3}}", timeout=1200
        )
        found[features] = cold_hits(shop, done["id"])

    (without, count), (with_content, _) = found["none"], found["all"]
    by_chance = 10 / 800
    assert count > 30 and without == 0
    assert with_content > 5 * by_chance, found

    lists = shop.run("score")
    assert lists["status"] == "done"
