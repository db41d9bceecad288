"""How many of the best items the candidates contain, on a stable sample of users.

The best items are found without channels, over the whole catalogue: by the ranker, or by the main
model if there is none. That is what the candidates save, so it is done for a few users only.

Legend of shapes: N sampled users of a part, K list length, V catalogue of the dataset.
"""

import hashlib
import logging
from collections import Counter, defaultdict
from collections.abc import Iterator
from heapq import nsmallest

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from conf.contract import HISTORY_ITEMS, NO_ITEM, USER_ID, USER_IDX
from serving.kinds.prepared import Prepared, Source
from serving.publishing.parts import read_row_group
from serving.ranking.channels import WholeCatalogue
from serving.ranking.two_stage import TwoStage
from serving.ranking.user_vectors import chosen_rows
from serving.rules.allowed import HistoryRules, Rules, Unadjusted
from serving.rules.book import RuleBook
from serving.rules.part import PartRules
from serving.rules.possible import Pools, why_unserved
from serving.scoring.loaded import Loaded
from serving.scoring.staged import Staged, channel_of_model
from trainer.data.columns import Ragged

log = logging.getLogger(__name__)
RECALL = ("recall_users", "best_items", "recalled_items")


def recall_counts(source: Source, one: Prepared) -> dict[str, int | None]:
    """Return the counts `RECALL`; None without candidates, and if no user may be sampled.

    Args:
        source: What the lists are made from.
        one: How they are made.
    """
    size = _sample_size(source, one)
    if one.staged is None or not size:
        return dict.fromkeys(RECALL)
    total: Counter[str] = Counter(dict.fromkeys(RECALL, 0))
    for users, histories, rules in sampled_parts(source, one, one.staged.pools, size):
        total.update(_of_users(source, one, one.staged, users, histories, rules))
    log.info(
        "score: %d of the %d best items of %d users are among their candidates",
        total["recalled_items"],
        total["best_items"],
        total["recall_users"],
    )
    return dict(total)


def sampled_parts(
    source: Source, one: Prepared, pools: Pools, size: int
) -> Iterator[tuple[pa.Table, Ragged, Rules]]:
    """Yield the sampled users of each part with their histories and rules; see `sampled_users`."""
    of_run = (source.workspace, source.manifest, source.item_ids, source.model)
    loaded, book = Loaded(*of_run, torch.device("cpu")), None
    score = one.score.with_list_rules()
    if score.rules is not None:
        book = RuleBook(source.dataset, source.manifest, score, one.kind.given)
    for part, chosen in sampled_users(source, one, pools, size).items():
        users, histories = loaded.read(part, [] if book is None else book.user_fields)
        users, histories = users.take(pa.array(chosen)), chosen_rows(histories, chosen)
        rules: Rules = HistoryRules(histories, drop_seen=score.drops_seen)
        if book is not None:
            rules = PartRules(book, users, histories)
        yield users, histories, rules


def _sample_size(source: Source, one: Prepared) -> int:
    if one.kind.stages is None or not one.kind.stages.channels:
        return 0
    return sample_size(source, one, "candidate_recall")


def sample_size(source: Source, one: Prepared, gate: str) -> int:
    """Return how many users a recall is measured on: as many as `score.max_pairs` has room for."""
    asked, items = one.score.gates.recall_users, int(source.model.pools.model.sum())
    size = min(asked, one.score.max_pairs // max(items, 1))
    if size < asked:
        log.info(
            "score: %s is measured on %d users, not on score.gates.recall_users=%d: more of them "
            "times %d items are more than score.max_pairs=%d",
            gate,
            size,
            asked,
            items,
            one.score.max_pairs,
        )
    return size


def sampled_users(source: Source, one: Prepared, pools: Pools, size: int) -> dict[int, np.ndarray]:
    """Return the rows of the sampled users by part: those whose ids have the smallest hashes.

    Args:
        source: What the lists are made from.
        one: How they are made.
        pools: What the lists are made of; users who get the fallback are not sampled.
        size: Most users.
    """
    manifest, members = source.manifest, one.members
    fields = [] if members is None else members.fields
    best: list[tuple[bytes, int, int]] = []
    groups = zip(manifest.row_groups("users"), manifest.row_groups("histories"), strict=True)
    for part, (users, histories) in enumerate(groups):
        table = read_row_group(source.dataset, users, [USER_ID, *fields])
        events = read_row_group(source.dataset, histories, [HISTORY_ITEMS])[HISTORY_ITEMS]
        whole = events.combine_chunks()
        owner = pc.list_parent_indices(whole).to_numpy().astype(np.int64)
        items = whole.flatten().to_numpy().astype(np.int64)
        is_asked = why_unserved(owner, items, table.num_rows, pools) == 0
        is_asked &= True if members is None else members.of(table)
        ids = table[USER_ID].cast(pa.string()).to_pylist()
        hashed = ((_hash(ids[row]), part, int(row)) for row in np.flatnonzero(is_asked))
        best = nsmallest(size, [*best, *hashed])
    found: dict[int, list[int]] = defaultdict(list)
    for _, part, row in best:
        found[part].append(row)
    return {part: np.array(sorted(rows)) for part, rows in sorted(found.items())}


def _hash(user_id: str) -> bytes:
    return hashlib.sha256(f"recall/{user_id}".encode()).digest()


def _of_users(
    source: Source,
    one: Prepared,
    staged: Staged,
    users: pa.Table,
    histories: Ragged,
    rules: Rules,
) -> dict[str, int]:
    """Return the counts of some users, see `recall_counts`."""
    numbers = users[USER_IDX].to_numpy().astype(np.int64)
    rows = np.arange(len(numbers))
    best = _best(source, one, staged, histories, numbers, rules)  # [N, K]
    unadjusted = Unadjusted(rules, rows, rules.allowed(rows))
    named = [
        pairs_of(channel.for_part(histories, numbers).names(rows, unadjusted).item_idx, source)
        for channel in staged.two_stage.channels
    ]
    wanted = pairs_of(best, source)
    return {
        "recall_users": int((best != NO_ITEM).any(1).sum()),
        "best_items": len(wanted),
        "recalled_items": int(np.isin(wanted, np.concatenate(named)).sum()),
    }


def _best(
    source: Source,
    one: Prepared,
    staged: Staged,
    histories: Ragged,
    numbers: np.ndarray,
    rules: Rules,
) -> np.ndarray:
    """Return the best items of each user over the whole catalogue: [N, K] int64."""
    rows, k, ranker = np.arange(len(numbers)), one.score.list_length, staged.two_stage.ranker
    if ranker is None:
        channel = channel_of_model("exact", k, source.model, one.score, torch.device("cpu"))
        return channel.for_part(histories, numbers).names(rows, rules).item_idx
    whole = TwoStage([WholeCatalogue("catalogue", source.model.pools.model)], ranker)
    found = whole.for_part(histories, numbers).rank(histories, rows, k=k, rules=rules)
    best = np.full((len(rows), k), NO_ITEM, dtype=np.int64)
    best[found.rows] = found.best.item_idx.cpu().numpy()
    return best


def pairs_of(item_idx: np.ndarray, source: Source) -> np.ndarray:
    """Return each pair of user and item as one number: [N, any] -> int64."""
    row, place = np.nonzero(item_idx != NO_ITEM)
    found: np.ndarray = row * len(source.item_ids) + item_idx[row, place]
    return found
