"""A stable sample of users, on whom searches and rankings that are too dear for all are measured.

Legend of shapes: N sampled users of a part, C items named for each.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from heapq import nsmallest
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch

from conf.contract import HISTORY_ITEMS, NO_ITEM, USER_ID, USER_IDX
from serving.kinds.prepared import Prepared, Source
from serving.publishing.parts import read_row_group
from serving.ranking.channels import Channel
from serving.ranking.user_vectors import chosen_rows
from serving.rules.allowed import HistoryRules, Rules
from serving.rules.book import RuleBook
from serving.rules.part import PartRules
from serving.rules.possible import Pools, events_of, why_unserved
from serving.scoring.loaded import Loaded
from serving.scoring.staged import channel_of_model
from trainer.data.columns import Ragged


class Sample(NamedTuple):
    """The sampled users of a part."""

    numbers: np.ndarray
    """[N] int64"""
    histories: Ragged
    """[N]"""
    rules: Rules

    @property
    def rows(self) -> np.ndarray:
        """Return the rows of all of them: [N] int64."""
        return np.arange(len(self.numbers))

    def named(self, channel: Channel, rules: Rules) -> np.ndarray:
        """Return what a channel names for them under these rules: [N, C] int64."""
        part = channel.for_part(self.histories, self.numbers)
        return part.names(self.rows, rules).item_idx


def samples_of(source: Source, one: Prepared, pools: Pools, size: int) -> Iterator[Sample]:
    """Yield the sampled users of each part: those whose ids have the smallest hashes.

    Args:
        source: What the lists are made from.
        one: How they are made.
        pools: What the lists are made of; users who get the fallback are not sampled.
        size: Most users of all parts.
    """
    of_run = (source.workspace, source.manifest, source.item_ids, source.model)
    loaded, book = Loaded(*of_run, torch.device("cpu")), None
    score = one.score.with_list_rules()
    if score.rules is not None:
        book = RuleBook(source.dataset, source.manifest, score, one.kind.given)
    for part, chosen in _sampled_rows(source, one, pools, size).items():
        users, histories = loaded.read(part, [] if book is None else book.user_fields)
        users, histories = users.take(pa.array(chosen)), chosen_rows(histories, chosen)
        rules: Rules = HistoryRules(histories, drop_seen=score.drops_seen)
        if book is not None:
            rules = PartRules(book, users, histories)
        yield Sample(users[USER_IDX].to_numpy().astype(np.int64), histories, rules)


def _sampled_rows(source: Source, one: Prepared, pools: Pools, size: int) -> dict[int, np.ndarray]:
    """Return the rows of the sampled users by part; arguments as for `samples_of`."""
    manifest, members = source.manifest, one.members
    fields = [] if members is None else members.fields
    best: list[tuple[bytes, int, int]] = []
    groups = zip(manifest.row_groups("users"), manifest.row_groups("histories"), strict=True)
    for part, (users, histories) in enumerate(groups):
        table = read_row_group(source.dataset, users, [USER_ID, *fields])
        events = read_row_group(source.dataset, histories, [HISTORY_ITEMS])[HISTORY_ITEMS]
        owner, items = events_of(events.combine_chunks())
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


def pairs_of(item_idx: np.ndarray, source: Source) -> np.ndarray:
    """Return each pair of user and item as one number: [N, C] -> [pairs] int64."""
    row, place = np.nonzero(item_idx != NO_ITEM)
    found: np.ndarray = row * len(source.item_ids) + item_idx[row, place]
    return found


def exact_channel(source: Source, count: int) -> Channel:
    """Return a channel of the best items of the main model, never found with an index.

    Args:
        source: What the lists are made from.
        count: Items that it names.
    """
    score = source.config.score.model_copy(update={"index": None})
    return channel_of_model("exact", count, source.model, score, torch.device("cpu"))
