"""How fast a ranker orders candidates, against its bare forward pass on the same pairs.

`python -m tests.bench.serving.pair_rate` prints pairs per second of both and their ratio.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from conf.contract import NUM_RESERVED, RANKER
from conf.runs.roles import role_configs
from serving.ranking.fusion import best_of, union
from serving.ranking.objective import objective_of
from tests.serving.impression_shop import shop_config, write_ranker, write_shop
from trainer.data.columns import Ragged
from trainer.prediction.pairs import ROWS_AT_ONCE, load_pairs

SHAPE = {"width": 16, "hidden": (128, 64), "interaction": "dcnv2", "history_length": 20}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=512)
    parser.add_argument("--items", type=int, default=5000)
    parser.add_argument("--candidates", type=int, default=200)
    parser.add_argument("--history", default="mean", help="none, mean or target_attention")
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        _measure(Path(folder), asked)


def _measure(workspace: Path, asked: argparse.Namespace) -> None:
    config = shop_config(workspace)
    manifest = write_shop(workspace, users=60, items=asked.items, shown=100)
    assert dict(role_configs(config))[RANKER].train.ranking.interaction == "dcnv2"
    model = write_ranker(config, manifest, **SHAPE, history=asked.history)
    context = {"hour": 20, "device": "phone"}
    pairs = load_pairs(workspace, model, manifest, context, torch.device("cpu"))
    rng = np.random.default_rng(1)
    values = rng.integers(NUM_RESERVED, asked.items + 2, asked.users * 30).astype(np.int32)
    histories = Ragged(values, np.arange(0, len(values) + 1, 30))
    users = rng.integers(NUM_RESERVED, 62, asked.users)
    named = np.stack(
        [rng.permutation(asked.items)[: asked.candidates] + NUM_RESERVED for _ in users]
    )
    objective = objective_of(pairs, {}, None)
    found = union([named])
    part = pairs.for_part(histories, users)
    starts = range(0, len(found.user), ROWS_AT_ONCE)
    batches = []
    for at in starts:
        chosen = slice(at, at + ROWS_AT_ONCE)
        batch, owner = part.batch(found.user[chosen], found.item_idx[chosen])
        batches.append(batch._replace(history_idx=batch.history_idx[owner]))  # as in evaluation

    def bare() -> None:
        with torch.no_grad():
            for batch in batches:
                pairs.model(batch)

    def ordered() -> None:
        candidates = union([named])
        value = objective.for_part(histories, users).values(candidates.user, candidates.item_idx)
        best_of(candidates, value, users=asked.users, k=10)

    bare()
    ordered()
    seconds: dict[str, list[float]] = {"bare": [], "ordered": []}
    for _ in range(asked.repeats):
        for name, work in (("bare", bare), ("ordered", ordered)):
            started = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - started)
    rates = {name: len(found.user) / np.median(each) for name, each in seconds.items()}
    print(
        f"history {asked.history}: bare {rates['bare']:,.0f} pairs/s, ordered "
        f"{rates['ordered']:,.0f} pairs/s, ratio {rates['ordered'] / rates['bare']:.2f}"
    )


if __name__ == "__main__":
    main()
