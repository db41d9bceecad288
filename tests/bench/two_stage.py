"""Retrieval alone, a ranker alone, and both, on the made-up impressions of a shop.

`python -m tests.bench.two_stage` trains the models, makes lists before the last shown items, and
prints the share of users with a later click in their list, NDCG, and the coverage of the catalogue,
each with the bounds of a bootstrap over users. In this shop only features of items show their
quality, and only histories show a user's taste.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from conf.runs.stages import run_score, run_train
from tests.serving.impression_shop import shop_config, write_shop_before
from tests.serving.tiny_shop import read_lists
from trainer.cluster.ray_session import ray_session

LENGTH, BOOTSTRAPS = 10, 1000
RANKING = (
    "interaction=dcnv2", "width=8", "hidden=[32]", "history=mean", "dropout=0.0",
    "features_left_out=[hour,context_device]", "baselines=[label_mean]",
)  # fmt: skip
ALONE = [
    "ranker=null", "train.algorithm=ranking", "train.metric=auc", "train.batch_rows=256",
    "train.epochs=10", "train.optimizer.learning_rate=0.01", "train.optimizer.warmup_steps=0",
    *(f"train.ranking.{setting}" for setting in RANKING),
]  # fmt: skip
BOTH = [
    "score.candidates={near: {from: model, count: 40}, popular: {from: popularity, count: 20}}",
    "ranker.epochs=10", *(f"ranker.ranking.{setting}" for setting in RANKING),
]  # fmt: skip
RUNS = {"retrieval": ["ranker=null"], "ranker": ALONE, "two stages": BOTH}


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, size in (("users", 600), ("items", 300), ("shown", 80), ("late", 30), ("seed", 1)):
        parser.add_argument(f"--{name}", type=int, default=size)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder)
        _, later = write_shop_before(workspace, **vars(asked))
        common = (f"score.list_length={LENGTH}", "score.reasons=0")
        with ray_session(shop_config(workspace)):
            for name, settings in RUNS.items():
                config = shop_config(workspace, *common, *settings)
                run_train(config)
                rows = read_lists(Path(run_score(config)["folder"]))
                _print(name, rows, later, asked.items)


def _print(name: str, rows: list[dict[str, object]], later: list[set[int]], items: int) -> None:
    lists: list[list[int]] = [[] for _ in later]
    for row in rows:
        lists[int(str(row["user_id"])[1:])].append(int(str(row["item_id"])[1:]))
    hits = np.array([[item in wanted for item in (own + [0] * LENGTH)[:LENGTH]]
                     for own, wanted in zip(lists, later, strict=True)])  # fmt: skip
    discount = 1 / np.log2(np.arange(LENGTH) + 2)
    best = np.array([discount[: len(wanted)].sum() for wanted in later])
    has_later = best > 0
    figures = {
        "HR@10": hits.any(1)[has_later].astype(float),
        "NDCG@10": (hits @ discount)[has_later] / best[has_later],
    }
    rng = np.random.default_rng(1)
    draws = rng.integers(0, int(has_later.sum()), (BOOTSTRAPS, int(has_later.sum())))
    told = []
    for figure, values in figures.items():
        low, high = np.percentile(values[draws].mean(1), [2.5, 97.5])
        told.append(f"{figure} {values.mean():.3f} ({low:.3f} to {high:.3f})")
    own = [np.bincount(items_of, minlength=items + 2) > 0 for items_of in lists]
    some = rng.integers(0, len(own), (100, len(own)))
    covered = [np.any([own[user] for user in draw], axis=0).sum() / items for draw in some]
    whole = np.any(own, axis=0).sum() / items
    # Users that are drawn twice cover nothing more, so the draws are shifted by their bias.
    low, high = np.percentile(covered, [2.5, 97.5]) + whole - np.mean(covered)
    told.append(f"coverage {whole:.3f} ({low:.3f} to {high:.3f})")
    print(f"{name}: {', '.join(told)}", flush=True)


if __name__ == "__main__":
    main()
