"""Find users' best items with an index that searches a part of the catalogue.

The index is an inverted file (IVF): items are divided into groups by their vectors, and only the
groups nearest to a user are searched. The scores of what is found are exact.
Source: Sivic and Zisserman 2003; Johnson, Douze and Jegou 2019 (faiss).

Legend of shapes: U users, V places of items, D width, K items found, F items searched for.
"""

import math
from importlib.util import find_spec

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

LISTS_PER_ROOT, LEAST_PROBES, SEARCHED_SHARE = 4, 8, 32
MOST_FOUND = 1_024
"""Most items that are searched for one user; who needs more is searched for exactly."""
_SAMPLES_PER_LIST, _ROUNDS = 64, 10  # of k-means


def require_faiss() -> None:
    """Refuse an index without the library that makes it.

    Raises:
        ConfigError: When it is not installed.
    """
    if find_spec("faiss") is None:
        raise ConfigError(
            "score.index needs faiss, which is not installed; install headrace[index], or set "
            "score.index to null for exact lists"
        )


class ItemIndex:
    """An index of item vectors by place."""

    def __init__(self, vectors: Tensor, left_out: Tensor | None, settings: Index) -> None:
        """Build the index, on one thread, so that it is the same each time.

        Args:
            vectors: [V, D], the reserved numbers first.
            left_out: [V] bool, items that are never found; None: none.
            settings: Size of the index.
        """
        import faiss

        self.vectors = vectors
        kept = torch.ones(len(vectors), dtype=torch.bool)
        kept[:NUM_RESERVED] = False
        if left_out is not None:
            kept &= ~left_out
        places = kept.nonzero()[:, 0].numpy()
        lists = settings.lists or round(LISTS_PER_ROOT * math.sqrt(len(places)))
        lists = max(min(lists, len(places)), 1)
        width = vectors.shape[1]
        self.index = faiss.IndexIVFFlat(
            faiss.IndexFlatIP(width), width, lists, faiss.METRIC_INNER_PRODUCT
        )
        self.index.nprobe = settings.probes or max(lists // SEARCHED_SHARE, LEAST_PROBES)
        self.index.cp.niter = _ROUNDS
        self.index.cp.min_points_per_centroid = 1
        self.index.cp.max_points_per_centroid = _SAMPLES_PER_LIST
        rows = np.ascontiguousarray(vectors.numpy()[places], dtype=np.float32)
        threads = faiss.omp_get_max_threads()
        faiss.omp_set_num_threads(1)
        if len(places):
            self.index.train(rows)
            self.index.add_with_ids(rows, places)
        faiss.omp_set_num_threads(threads)

    def search(self, users: Tensor, count: int) -> np.ndarray:
        """Return places of items for each user, -1 for none: [U, F] int64."""
        if not self.index.ntotal or not len(users):
            return np.full((len(users), count), NO_ITEM)
        found: np.ndarray = self.index.search(users.numpy().astype(np.float32), count)[1]
        return found

    def best(
        self,
        users: Tensor,
        /,
        *,
        k: int,
        seen: Seen,
        exact: Find,
        left_out: Tensor | None = None,
        adjust: Adjust | None = None,
        adjusting: Adjusting | None = None,
    ) -> TopK:
        """Return the best `k` of the items that are found for each user: [U, K].

        Args:
            users: [U, D]
            k: K
            seen: Pairs that are left out.
            exact: Finds the items of users for whom the index finds too few, and of all if scores
                are changed.
            left_out: [V] bool, items that no list may contain; None: no such items.
            adjust: See `Find`.
            adjusting: See `Find`.
        """
        if adjust is not None or adjusting is not None:
            return exact(users, k=k, seen=seen, adjust=adjust, adjusting=adjusting)
        most_seen = int(torch.bincount(seen.rows, minlength=1).max())
        count = min(k + most_seen, MOST_FOUND, max(int(self.index.ntotal), 1))
        places = torch.from_numpy(self.search(users, count))  # [U, F]
        places = places.sort(dim=1).values  # of equal scores, the smaller number comes first
        scores = torch.einsum("ud,ufd->uf", users, self.vectors[places.clamp(min=0)])
        scores[places < 0] = -torch.inf
        scores[
            torch.isin(_pairs(places, len(self.vectors)), _keys(seen, len(self.vectors)))
        ] = -torch.inf
        if left_out is not None:
            scores[left_out[places.clamp(min=0)]] = -torch.inf
        best = _best_of(scores, places, k)
        short = (best.item_idx[:, -1] < 0).nonzero()[:, 0]
        if len(short):
            own = seen_of_rows(seen, short, len(users))
            best.scores[short], best.item_idx[short] = exact(users[short], k=k, seen=own)
        return best


def _pairs(places: Tensor, num_places: int) -> Tensor:
    return torch.arange(len(places))[:, None] * num_places + places


def _keys(seen: Seen, num_places: int) -> Tensor:
    return seen.rows * num_places + seen.item_idx


def _best_of(scores: Tensor, places: Tensor, k: int) -> TopK:
    """Return the best of some items of each user: [U, F] -> [U, K]."""
    ordered, order = scores.sort(dim=1, descending=True, stable=True)
    found = places.gather(1, order).masked_fill(ordered == -torch.inf, NO_ITEM)
    missing = max(k - scores.shape[1], 0)
    ordered = torch.nn.functional.pad(ordered, (0, missing), value=-torch.inf)
    found = torch.nn.functional.pad(found, (0, missing), value=NO_ITEM)
    return TopK(ordered[:, :k].contiguous(), found[:, :k].contiguous())
