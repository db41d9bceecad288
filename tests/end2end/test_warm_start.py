"""A later delivery of the generated log: going on from the model before, and training from nothing.

The deliveries are the log's first 50 days and all of its 60; items come out on every day.
"""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.end2end.conftest import SMALL_SHOP, Shop
from tests.end2end.test_kills import kill_family, some, start, wait_for

SHOP = [
    *SMALL_SHOP, "generate.num_users=1200", "generate.num_items=500", "generate.num_events=60000",
    "generate.num_days=60", "etl.vocabulary=extend",
    "etl.features.items.encodings={category: {kind: categorical}, brand: {kind: categorical}}",
    "train.cpus_per_worker=1", "train.save_optimizer=true", "train.baselines=[]",
    "train.epochs=30", "ray.object_store_mib=150", "train.shuffle_block_rows=200",
]  # fmt: skip
PATIENCE = 5000


def steps_to(figure: float, metrics: dict[str, Any]) -> float:
    """Return the steps at whose end validation was first as good."""
    epochs = metrics["epochs"]
    reached = [record["epoch"] for record in epochs if record["ndcg@10"] >= figure]
    assert reached, [record["ndcg@10"] for record in epochs]
    return (reached[0] + 1) * metrics["training"]["steps"] / len(epochs)


@pytest.mark.slow
@pytest.mark.timeout(4 * PATIENCE)
def test_a_warm_start_comes_to_the_same_figure_in_half_the_steps(tmp_path: Path) -> None:
    log, workspace = tmp_path / "log", tmp_path / "workspace"
    shop = Shop(log, workspace, (*SHOP, f"input.root={log}", f"run.output={workspace}"))
    shop.run("generate")
    days = sorted((log / "events").iterdir())
    (log / "first").mkdir()
    for path in days[:50]:
        os.link(path, log / "first" / path.name)
    before = Shop(log, workspace, (*shop.overrides, "input.events.log.paths=[first/*.csv]"))
    first = {name: before.run(name, timeout=PATIENCE) for name in ("etl", "train")}

    later = shop.run("etl", timeout=PATIENCE)
    other = tmp_path / "cold"
    shutil.copytree(workspace, other)
    cold = shop.at(other).run("train", timeout=PATIENCE)
    warm_shop = shop.at(workspace, "train.warm_start.model=current", "train.shuffle_block_rows=200")
    process = start(warm_shop, "train")
    wait_for(process, lambda: some(workspace / "models", ".work-*/*.pt"), PATIENCE)
    kill_family(process)
    warm = warm_shop.run("train", timeout=PATIENCE)

    assert later["counts"]["items"] > first["etl"]["counts"]["items"]
    assert warm["id"] != cold["id"] and warm["status"] == "done"
    assert warm_shop.run("train")["id"] == warm["id"]  # done: it goes on from the same one
    best = cold["metrics"]["valid"]["ndcg@10"]
    steps = [steps_to(best, result["metrics"]) for result in (cold, warm)]
    print(f"ndcg@10 {best:.4f}: cold {steps[0]:.0f} steps, warm {steps[1]:.0f} steps")
    assert steps[1] <= steps[0] / 2
