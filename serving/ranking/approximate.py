"""Find users' best items with an index that searches a part of the catalogue.

The index is an inverted file (IVF): items are divided into groups by their vectors, and only the
groups nearest to a user are searched. The scores of what is found are exact. The index is in main
memory and is searched by the CPU, wherever the vectors are.
Source: Sivic and Zisserman 2003; Johnson, Douze and Jegou 2019 (faiss).

Legend of shapes: U users, V places of items, D width, K items found, F items searched for.
"""

import logging
import math
from functools import cached_property
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor

from conf.contract import NO_ITEM, NUM_RESERVED
from conf.errors import ConfigError
from conf.settings.lists.index import Index
from serving.ranking.barred import Find, seen_of_rows
from serving.ranking.topk import Adjust, TopK
from serving.rules.allowed import Adjusting
from serving.rules.history import Seen
from trainer.models.scorer import ModelScorer, Scorer

log = logging.getLogger(__name__)

LISTS_PER_ROOT, LEAST_PROBES, SEARCHED_SHARE = 4, 8, 32
MOST_FOUND = 1_024
"""Most items that are searched for one user; who needs more is searched for exactly."""
_SAMPLES_PER_LIST, _ROUNDS = 64, 10  # of k-means


def require_index(
    stage: str, scorer: Scorer | None, model: str, why_unused: str | None = None
) -> None:
    """Refuse `score.index` without the library that makes the index; warn if nothing uses it.

    Args:
        stage: The command, for messages.
        scorer: The main model; None: it scores pairs.
        model: Its id and its algorithm, for messages.
        why_unused: Why no list of a network is found with the index; None: some are.

    Raises:
        ConfigError: When the library is not installed.
    """
    if not isinstance(scorer, ModelScorer):
        why_unused = f"model {model} is no network"
    if why_unused is not None:
        log.warning("%s: score.index has no effect: %s; set it to null", stage, why_unused)
    elif find_spec("faiss") is None:
        raise ConfigError(
            "score.index needs faiss, which is not installed; install headrace[index], or set "
            "score.index to null for exact lists"
        )


class ItemIndex:
    """An index of item vectors by place, built at the first search."""

    def __init__(self, vectors: Tensor, left_out: Tensor | None, settings: Index) -> None:
        """Take the vectors.

        Args:
            vectors: [V, D], the reserved numbers first.
            left_out: [V] bool, items that are never found; None: none.
            settings: Size of the index.
        """
        self.vectors, self.settings = vectors, settings
        kept = np.ones(len(vectors), dtype=bool)
        kept[:NUM_RESERVED] = False
        if left_out is not None:
            kept &= ~left_out.cpu().numpy()
        self.places = np.flatnonzero(kept)
        """Items that can be found, ascending."""

    @cached_property
    def index(self) -> Any:
        """The index of faiss, built on one thread, so that it is the same each time."""
        import faiss

        rows = np.ascontiguousarray(self.vectors.cpu().numpy()[self.places], dtype=np.float32)
        lists = self.settings.lists or round(LISTS_PER_ROOT * math.sqrt(len(rows)))
        lists, width = min(lists, len(rows)), rows.shape[1]
        found = faiss.IndexIVFFlat(
            faiss.IndexFlatIP(width), width, lists, faiss.METRIC_INNER_PRODUCT
        )
        probes = self.settings.probes or max(lists // SEARCHED_SHARE, LEAST_PROBES)
        found.nprobe = min(probes, lists)
        found.cp.niter = _ROUNDS
        found.cp.min_points_per_centroid = 1
        found.cp.max_points_per_centroid = _SAMPLES_PER_LIST
        threads = faiss.omp_get_max_threads()
        faiss.omp_set_num_threads(1)
        try:
            found.train(rows)
            found.add_with_ids(rows, self.places)
        finally:
            faiss.omp_set_num_threads(threads)
        return found

    def search(self, users: Tensor, count: int) -> TopK:
        """Return the best of the searched items of each user, in no order: [U, F].

        Args:
            users: [U, D]
            count: F, at least 1 and at most the number of items.
        """
        rows = np.ascontiguousarray(users.cpu().numpy(), dtype=np.float32)
        found = (torch.from_numpy(part).to(users.device) for part in self.index.search(rows, count))
        return TopK(*found)

    def best(
        self,
        users: Tensor,
        /,
        *,
        k: int,
        seen: Seen,
        exact: Find,
        adjust: Adjust | None = None,
        adjusting: Adjusting | None = None,
    ) -> TopK:
        """Return the best `k` of the items that are found for each user: [U, K].

        Args:
            users: [U, D]
            k: K
            seen: Pairs that are left out, by place.
            exact: Finds the items of users for whom the index finds too few. It finds those of all
                users if scores are changed, and if more items are asked for than the index gives.
            adjust: See `Find`.
            adjusting: See `Find`.
        """
        is_changed = adjust is not None or adjusting is not None
        if is_changed or k > MOST_FOUND or k >= len(self.places) or not len(users):
            return exact(users, k=k, seen=seen, adjust=adjust, adjusting=adjusting)
        size = len(self.vectors)
        pairs = torch.unique(seen.rows * size + seen.item_idx)
        most_seen = int(torch.bincount(pairs // size, minlength=1).max())
        found = self.search(users, min(k + most_seen, MOST_FOUND, len(self.places)))
        places, order = found.item_idx.sort(dim=1)  # of equal scores, the smaller number is first
        scores = found.scores.gather(1, order)  # [U, F]
        rows = torch.arange(len(users), device=users.device)[:, None]
        is_seen = torch.isin(rows * size + places, pairs)
        scores[(places < 0) | is_seen] = -torch.inf
        best = _best_of(scores, places, k)
        short = (best.item_idx[:, -1] < 0).nonzero()[:, 0]
        if len(short):
            own = seen_of_rows(seen, short, len(users))
            best.scores[short], best.item_idx[short] = exact(users[short], k=k, seen=own)
        return best


def _best_of(scores: Tensor, places: Tensor, k: int) -> TopK:
    """Return the best of some items of each user: [U, F] -> [U, K]."""
    ordered, order = scores.sort(dim=1, descending=True, stable=True)
    found = places.gather(1, order).masked_fill(ordered == -torch.inf, NO_ITEM)
    missing = max(k - scores.shape[1], 0)
    ordered = torch.nn.functional.pad(ordered, (0, missing), value=-torch.inf)
    found = torch.nn.functional.pad(found, (0, missing), value=NO_ITEM)
    return TopK(ordered[:, :k].contiguous(), found[:, :k].contiguous())
