"""Finding each user's best items exactly, against the bare product and against other libraries.

All run on one thread in turns, and are compared by their CPU time: other programs on the machine
then change the ratios little.
"""

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from serving.ranking.topk import top_k
from serving.rules.history import nothing_seen
from tests.bench.runs import ratio_of

USERS, ITEMS, WIDTH, BEST = 2_000, 100_000, 64, 100
BLOCK_USERS, BLOCK_ITEMS = 512, 16_384  # the defaults of `score`
ROUNDS = 5


def measure(
    folder: Path, *, users: int = USERS, items: int = ITEMS, rounds: int = ROUNDS
) -> dict[str, Any]:
    """Return CPU seconds of each, and how many times ours is as fast."""
    torch.set_num_threads(1)
    torch.manual_seed(1)
    ways = _ways(torch.randn(users, WIDTH), torch.randn(items, WIDTH))
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            started = time.process_time()
            way()
            seconds[name].append(time.process_time() - started)
    found = {name: median(times) for name, times in seconds.items()}
    bare = min(time for name, time in found.items() if name.startswith("bare"))
    return {
        "cpu_seconds": {name: round(time, 3) for name, time in found.items()},
        "ratio": ratio_of(bare, found["ours"]),
        **{
            f"ratio_to_{name}": ratio_of(found[name], found["ours"])
            for name in ("implicit", "faiss")
            if name in found
        },
        "ratio_of": "the speed of ours over that of the fastest bare product",
    }


def _ways(users: torch.Tensor, items: torch.Tensor) -> dict[str, Callable[[], object]]:
    ways: dict[str, Callable[[], object]] = {"ours": lambda: _ours(users, items)}
    ways |= bare_products(users, items)
    more = {"implicit": _implicit, "faiss": _faiss}
    for name, make in more.items():
        try:
            ways[name] = make(users.numpy(), items.numpy())
        except ImportError:
            continue  # not installed: it is left out
    return ways


def bare_products(users: torch.Tensor, items: torch.Tensor) -> dict[str, Callable[[], None]]:
    """Return the ways to compute all scores without ranking them; none is always the fastest."""
    ways: dict[str, Callable[[], None]] = {}
    for block in (1024, 4096, BLOCK_ITEMS):
        ways[f"bare_users_first_{block}"] = lambda block=block: _bare(users, items, block)
        ways[f"bare_items_first_{block}"] = lambda block=block: _bare(items, users, 512, block)
    return ways


def _ours(users: torch.Tensor, items: torch.Tensor) -> None:
    for some in users.split(BLOCK_USERS):
        top_k(some, items, k=BEST, seen=nothing_seen(), block_items=BLOCK_ITEMS)


def _bare(rows: torch.Tensor, columns: torch.Tensor, at_once: int, row_block: int = 512) -> None:
    """Multiply blocks of rows and columns into one buffer."""
    buffer = torch.empty(row_block * at_once)
    for some in rows.split(row_block):
        for others in columns.split(at_once):
            out = buffer[: len(some) * len(others)].view(len(some), len(others))
            torch.mm(some, others.T, out=out)


def _implicit(users: np.ndarray, items: np.ndarray) -> Callable[[], object]:
    from implicit.cpu.topk import topk

    return lambda: topk(items, users, BEST, num_threads=1)


def _faiss(users: np.ndarray, items: np.ndarray) -> Callable[[], object]:
    import faiss

    faiss.omp_set_num_threads(1)
    index = faiss.IndexFlatIP(WIDTH)
    index.add(items)
    return lambda: index.search(users, BEST)
