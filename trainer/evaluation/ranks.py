"""Rank the held-out targets with several models at once, and keep the data for their figures.

Legend of shapes: N targets, B rows, V catalogue, K list length, G items in any list.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch

from conf.contract import TARGET_ITEM, USER_IDX
from trainer.data.batches import histories_of
from trainer.data.columns import Columns, numbers_of
from trainer.evaluation.held_out import best_items, held_out_batches
from trainer.models.scorer import Scorer


class Given(NamedTuple):
    """How often items occur in the lists of some users."""

    items: np.ndarray
    """[G] int64, ascending."""
    times: np.ndarray
    """[G] int64"""


class Ranked(NamedTuple):
    """Some targets with the ranks that models give them."""

    users: np.ndarray
    """[N] int64"""
    lengths: np.ndarray
    """[N] int64 events before the target."""
    targets: np.ndarray
    """[N] int64"""
    ranks: dict[str, np.ndarray]
    """[N] int64 for each model."""
    given: dict[str, Given]
    """Items in the lists of these users, by model."""
    seconds: dict[str, float]
    """Seconds that each model took to score and rank."""


def rank_targets(
    scorers: Mapping[str, Scorer],
    columns: Columns,
    *,
    batch_rows: int,
    list_length: int,
    drop_seen: bool,
) -> Ranked:
    """Rank the targets of a row group with each model.

    Args:
        scorers: Models by name.
        columns: `trainer.evaluation.held_out.columns_of` of the row group.
        batch_rows: Rows scored together.
        list_length: K; the lists hold no reserved numbers.
        drop_seen: Whether ranking and lists leave out items that the user has seen.
    """
    users = numbers_of(columns, USER_IDX).astype(np.int64)
    ranks = {name: np.zeros(len(users), dtype=np.int64) for name in scorers}
    lists: dict[str, list[np.ndarray]] = {name: [] for name in scorers}
    seconds = dict.fromkeys(scorers, 0.0)
    for batch in held_out_batches(columns, batch_rows, drop_seen=drop_seen):
        for name, scorer in scorers.items():
            started = time.perf_counter()
            with torch.no_grad():
                scores = scorer.scores(batch.histories, batch.rows)  # [B, V]
                ranks[name][batch.rows] = batch.ranks(scores).cpu().numpy()
            seconds[name] += time.perf_counter() - started
            lists[name].append(_best_items(scores, list_length))
    return Ranked(
        users,
        histories_of(columns).lengths,
        numbers_of(columns, TARGET_ITEM).astype(np.int64),
        ranks,
        {name: _counted(parts) for name, parts in lists.items()},
        seconds,
    )


def joined(parts: Iterable[Ranked], names: Iterable[str]) -> Ranked:
    """Join the targets of several row groups; no row groups give no targets.

    Args:
        parts: One for each row group.
        names: The models that ranked them.
    """
    none, own = np.zeros(0, dtype=np.int64), tuple(names)
    nothing = Ranked(
        none,
        none,
        none,
        dict.fromkeys(own, none),
        dict.fromkeys(own, Given(none, none)),
        dict.fromkeys(own, 0.0),
    )
    all_parts = [nothing, *parts]
    return Ranked(
        np.concatenate([part.users for part in all_parts]),
        np.concatenate([part.lengths for part in all_parts]),
        np.concatenate([part.targets for part in all_parts]),
        {name: np.concatenate([part.ranks[name] for part in all_parts]) for name in own},
        {name: _summed([part.given[name] for part in all_parts]) for name in own},
        {name: sum(part.seconds[name] for part in all_parts) for name in own},
    )


def with_all_models(parts: Sequence[Ranked]) -> Ranked:
    """Merge rankings of the same targets by different models into one."""
    return parts[0]._replace(
        ranks={name: ranks for part in parts for name, ranks in part.ranks.items()},
        given={name: given for part in parts for name, given in part.given.items()},
        seconds={name: seconds for part in parts for name, seconds in part.seconds.items()},
    )


def _best_items(scores: torch.Tensor, list_length: int) -> np.ndarray:
    """Return the items of all lists, concatenated; items with a score of -inf are left out."""
    best, items = best_items(scores, list_length)
    found: np.ndarray = items[best > -torch.inf].cpu().numpy()
    return found


def _counted(lists: Sequence[np.ndarray]) -> Given:
    return Given(*np.unique(np.concatenate([np.zeros(0, np.int64), *lists]), return_counts=True))


def _summed(parts: Sequence[Given]) -> Given:
    items, places = np.unique(np.concatenate([part.items for part in parts]), return_inverse=True)
    times = np.concatenate([part.times for part in parts])
    return Given(items, np.bincount(places, weights=times, minlength=len(items)).astype(np.int64))
