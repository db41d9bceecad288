"""Retrieval alone, a ranker alone, and both, on the made-up impressions of a shop.

`python -m tests.bench.serving.two_stage` trains the models and prints what `headrace evaluate
--lists` measures. In this shop only features of items show their quality, and only histories show a
user's taste.
"""

import argparse
import tempfile
from pathlib import Path

from conf.command.printing.tables import print_result
from conf.runs.judging import run_measure
from conf.runs.stages import run_train
from tests.serving.impression_shop import shop_config, write_shop
from trainer.cluster.ray_session import ray_session

RANKING = (
    "interaction=dcnv2", "width=8", "hidden=[32]", "history=mean", "dropout=0.0",
    "features_left_out=[hour,context_device]", "baselines=[label_mean]",
)  # fmt: skip
SETTINGS = [
    "score.list_length=10", "score.reasons=0",
    "score.candidates={near: {from: model, count: 40}, popular: {from: popularity, count: 20}}",
    "ranker.epochs=10", *(f"ranker.ranking.{setting}" for setting in RANKING),
]  # fmt: skip


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, size in (("users", 600), ("items", 300), ("shown", 80), ("seed", 1)):
        parser.add_argument(f"--{name}", type=int, default=size)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder)
        write_shop(workspace, **vars(asked))
        config = shop_config(workspace, *SETTINGS)
        with ray_session(config):
            run_train(config)
            print_result(run_measure(config, lists=True))


if __name__ == "__main__":
    main()
