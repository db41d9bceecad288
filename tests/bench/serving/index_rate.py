"""Lists that an index finds against exact ones: CPU time of the search, recall, the build apart.

`python -m tests.bench.serving.index_rate --users 1000000 --items 1000000` makes lists of made-up
users with a network whose item vectors lie in groups, as those of trained models do, and prints one
JSON object. The two searches are compared on some of the users, on one thread: other programs on
the machine then change the ratio little. All users are scored with the index by the product's
worker.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import faiss
import numpy as np
import torch

from conf.contract import NUM_RESERVED
from conf.settings.lists.index import Index
from serving.ranking.approximate import ItemIndex
from serving.ranking.barred import Find
from serving.ranking.topk import TopK, top_k
from serving.rules.history import Seen, seen_items
from serving.scoring.list_model import load_model
from tests.bench.made_up import BenchModel, bench_model
from tests.bench.runs import ratio_of
from tests.bench.serving.score_rate import SECTIONS, WIDTH, PeakMemory, users_per_second
from trainer.data.batches import histories_of
from trainer.data.stream import read_row_groups
from trainer.models.scorer import ModelScorer

USERS, ITEMS, SAMPLE, LENGTH = 20_000, 200_000, 2_000, 100
BLOCK_USERS, BLOCK_ITEMS = 512, 16_384  # the defaults of `score`
ROW_GROUP_ROWS, GROUP_SIZE, SPREAD = 2_000, 500, 1.0
MODEL = f"{{width: {WIDTH}, encoder: mean, history_length: 5}}"


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=USERS)
    parser.add_argument("--items", type=int, default=ITEMS)
    parser.add_argument("--probes", type=int, default=None)
    asked = vars(parser.parse_args())
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(Path(folder), **asked), indent=1))


def measure(
    folder: Path, users: int = USERS, items: int = ITEMS, probes: int | None = None
) -> dict[str, Any]:
    """Return what the searches take and find, and the speed and memory of a worker."""
    vectors = _grouped(items + NUM_RESERVED)
    rows = min(ROW_GROUP_ROWS, users // 2)
    sections, sizes = SECTIONS.format(model=MODEL), {"users": users, "items": items}
    made = bench_model(folder, sections, **sizes, row_group_rows=rows, vectors=vectors)
    compared = _compared(made, vectors, probes)
    with PeakMemory("PartScorer") as peak:
        settings = (f"score.list_length={LENGTH}", f"score.index={{probes: {probes or 'null'}}}")
        lists = made.scored("c", *settings)
    return {
        "users": users,
        "items": items,
        **compared,
        "users_per_second_of_a_worker": round(users_per_second(lists, users)),
        "worker_peak_mib": peak.mib,
    }


class _Block(NamedTuple):
    """Users who are searched for together."""

    users: torch.Tensor
    """[B, WIDTH]"""
    seen: Seen


def _compared(made: BenchModel, vectors: torch.Tensor, probes: int | None) -> dict[str, Any]:
    """Return CPU seconds of both searches on one thread, and of the build."""
    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)
    blocks = _blocks(made)
    users = sum(len(block.users) for block in blocks)
    index = ItemIndex(vectors, None, Index(probes=probes))
    _, build = _timed(lambda: index.index)
    exact: Find = partial(top_k, item_vectors=vectors, block_items=BLOCK_ITEMS)
    best, of_exact = _timed(lambda: _lists(exact, blocks))
    found, of_index = _timed(lambda: _lists(partial(index.best, exact=exact), blocks))
    pairs = zip(found.item_idx.tolist(), best.item_idx.tolist(), strict=True)
    recall = np.mean([len({*one} & {*other}) / LENGTH for one, other in pairs])
    return {
        "core_hours_per_million_users": round(of_index / users * 1e6 / 3600, 3),
        "core_hours_of_exact_search": round(of_exact / users * 1e6 / 3600, 3),
        "ratio": ratio_of(of_exact, of_index),
        f"recall_at_{LENGTH}": round(float(recall), 3),
        "build_cpu_seconds": round(build, 1),
    }


def _blocks(made: BenchModel) -> list[_Block]:
    """Return the encoded users of the first part."""
    folder = made.path.parent
    scorer = load_model(folder, made.model_id, made.manifest).scorer
    assert isinstance(scorer, ModelScorer)
    group = made.manifest.row_groups("histories")[0]
    columns = ["user_idx", "history_item_idx", "history_event_type", "history_time"]
    _, found = next(read_row_groups(folder / "datasets" / "bench", [group], columns, threads=1))
    histories, blocks = histories_of(found), []
    for start in range(0, min(SAMPLE, group.rows), BLOCK_USERS):
        rows = np.arange(start, min(start + BLOCK_USERS, SAMPLE, group.rows))
        with torch.no_grad():
            encoded = scorer.model.encode(scorer.batch(histories, rows))
        blocks.append(_Block(encoded, seen_items(histories, rows)))
    return blocks


def _lists(find: Find, blocks: list[_Block]) -> TopK:
    found = [find(block.users, k=LENGTH, seen=block.seen) for block in blocks]
    return TopK(*(torch.cat(parts) for parts in zip(*found, strict=True)))


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """Return the result of a piece of work, and its CPU seconds."""
    started = time.process_time()
    return work(), time.process_time() - started


def _grouped(rows: int) -> torch.Tensor:
    """Return vectors in groups of about `GROUP_SIZE`: [rows, WIDTH]."""
    rng = np.random.default_rng(1)
    centres = rng.standard_normal((max(rows // GROUP_SIZE, 2), WIDTH), dtype=np.float32)
    found = centres[rng.integers(0, len(centres), rows)]
    found += SPREAD * rng.standard_normal((rows, WIDTH), dtype=np.float32)
    return torch.from_numpy(found)


if __name__ == "__main__":
    main()
