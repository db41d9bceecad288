"""Attribute a network's score to the items of the history, by removing one item at a time.

An item's contribution is the drop of the score when the history is encoded without the item's
events. Their types and times are removed too, later events move up, and older events of a long
history move into the part that the network sees. So the contribution is valid for any network.
In a history with many items only some are tried: those with the largest gradient times input. The
others have no contribution.
Sources: occlusion, Zeiler and Fergus 2014; gradient times input, Shrikumar et al. 2016.

Legend of shapes: B users, N newest events that a network sees, L longest history, D width,
K recommended items, T items that are tried.
"""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from conf.contract import NUM_RESERVED, PADDING_IDX
from trainer.data.columns import Ragged, events_of, newest_events, padded, without_items
from trainer.models.alike import (
    even_groups,
    even_lengths,
    filled,
    lengthened,
    widened,
)
from trainer.networks.inputs import HistoryBatch
from trainer.networks.retrieval import RetrievalModel

TRIED_ITEMS = 16
"""Largest number of items of a history that are tried. In histories of 60 and of 200 events, they
included the item without which a score drops most in at least 97 of 100 lists."""
CELLS_AT_ONCE = 8192
"""Rows times length that are encoded together."""
GRADIENT_CELLS = 4096
"""Rows times length that have their gradients computed together."""
ROUNDING = 1e-3
"""Contributions below this share of the largest one to a recommended item's score are set to 0.
They may be rounding errors, because a network rounds differently in batches of another shape."""


class Network(Protocol):
    """A retrieval model and its input from histories, see `trainer.models.scorer.ModelScorer`."""

    model: RetrievalModel

    @property
    def left_out(self) -> Tensor | None:
        """Items that are unknown to the model: [V] bool; None if there are none."""

    @property
    def middle(self) -> Tensor:
        """Mean of the vectors of all other items: [D]."""

    def batch(self, histories: Ragged, rows: np.ndarray) -> HistoryBatch:
        """Return the chosen rows as input of the model."""


def parts_by_removal(
    network: Network, histories: Ragged, rows: np.ndarray, recommended: Tensor
) -> Tensor:
    """Return the drop of each recommended item's score without each item: [B, K, L] float32.

    An item's contribution is at the first of its events that the network sees; all other entries
    are 0. If a history has one item only, that item's contribution is the score minus the user's
    mean score.

    Args:
        network: In eval mode.
        histories: Item numbers, oldest first, with other columns of the events in `beside`.
        rows: [B]
        recommended: [B, K] int64; entries for negative item numbers are undefined.
    """
    model, length = network.model, network.model.history_length
    own = newest_events(histories, rows, 2 * length)  # as many events may move in as are removed
    raw, lengths = padded(own, np.arange(len(rows)), length)  # [B, N], [B]
    even = int(even_lengths(lengths, length).max(initial=1))
    raw, batch = widened(raw, even), lengthened(network.batch(own, np.arange(len(rows))), even)
    places = _tried(model, batch, raw, lengths, recommended)  # [B, T]
    with torch.no_grad():
        users, items = model.encode(batch), model.vectors_of(recommended.clamp(min=0))
        memory = model.memory(batch)
        left, is_empty = _encoded_without(network, own, raw, places, memory)
        falls = items @ (users[:, None] - left).transpose(1, 2)  # [B, K, T]
        falls -= (is_empty * (users @ network.middle)[:, None])[:, None]
    falls.masked_fill_((places < 0).to(falls.device)[:, None], 0)
    if network.left_out is not None:
        falls.masked_fill_(network.left_out[recommended.clamp(min=0)][..., None], 0)
    falls.masked_fill_(falls.abs() <= falls.abs().amax(2, keepdim=True) * ROUNDING, 0)
    whole = histories.lengths[rows]
    at = places.clamp(min=0) + torch.from_numpy(whole - lengths)[:, None]  # [B, T]
    parts = falls.new_zeros((*recommended.shape, int(whole.max(initial=1))))
    return parts.scatter_add_(2, at.to(falls.device)[:, None].expand_as(falls), falls)


def _tried(
    model: RetrievalModel,
    batch: HistoryBatch,
    raw: np.ndarray,
    lengths: np.ndarray,
    recommended: Tensor,
) -> Tensor:
    """Return the first position of each item to remove, -1 for none: [B, T], on the CPU.

    Args:
        model: The network.
        batch: The users' histories as input of the model.
        raw: [B, N] items of the histories, including items that are unknown to the model.
        lengths: [B]
        recommended: [B, K]
    """
    items = torch.from_numpy(raw.astype(np.int64))
    places = torch.arange(raw.shape[1])
    first = first_of_item(items)  # [B, N]
    stands = (first == places) & (items >= NUM_RESERVED)
    stands &= places < torch.from_numpy(lengths)[:, None]
    weight = stands.float()
    (many,) = (stands.sum(1) > TRIED_ITEMS).nonzero(as_tuple=True)
    at_once = max(GRADIENT_CELLS // raw.shape[1], 1)
    for start in range(0, len(many), at_once):
        some = many[start : start + at_once]
        there = torch.from_numpy(filled(some.numpy())).to(recommended.device)
        parts = model.gradient_times_input(batch.take(there), recommended[there].clamp(min=0))
        parts = parts[: len(some)].float().cpu()
        places_of = first[some, None].expand(parts.shape)
        of_item = torch.zeros_like(parts).scatter_add_(2, places_of, parts)  # [<= B, K, N]
        weight[some] = of_item.abs().amax(1)
    largest = weight.masked_fill(~stands, -1).topk(min(TRIED_ITEMS, raw.shape[1]), dim=1)
    return largest.indices.masked_fill(largest.values < 0, -1)


def first_of_item(item_idx: Tensor) -> Tensor:
    """Return for each event the position of the first event with the same item: [B, L]."""
    ordered, place = item_idx.sort(dim=1, stable=True)  # [B, L], [B, L]
    begins = torch.ones_like(ordered, dtype=torch.bool)
    begins[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    run = torch.arange(ordered.shape[1], device=item_idx.device).where(begins, 0)  # [B, L]
    first = place.gather(1, run.cummax(dim=1).values)  # [B, L], in the order of items
    return torch.empty_like(place).scatter_(1, place, first)


def _encoded_without(
    network: Network, own: Ragged, raw: np.ndarray, places: Tensor, memory: list[Tensor]
) -> tuple[Tensor, Tensor]:
    """Return users' vectors without each item, [B, T, D], and whether no event is left, [B, T].

    A vector is zero if no event is left or no item is removed.

    Args:
        network: See `parts_by_removal`.
        own: [B] histories.
        raw: [B, N] newest items of the histories.
        places: [B, T] positions in `raw`, -1 if no item is removed.
        memory: What the model remembers of the histories.
    """
    device = network.middle.device
    left = torch.zeros((*places.shape, len(network.middle)), device=device)
    is_empty = torch.zeros(places.shape, dtype=torch.bool, device=device)
    row, column = (found.numpy() for found in torch.nonzero(places >= 0, as_tuple=True))
    item = raw[row, places.numpy()[row, column]]
    left_over = _lengths_without(own, row, item)
    (gone,) = np.nonzero(left_over == 0)
    is_empty[torch.from_numpy(row[gone]), torch.from_numpy(column[gone])] = True
    most = network.model.history_length
    # Of a longer history, older events move to the front, so nothing stays where it was.
    shared = np.where(own.lengths[row] <= most, places.numpy()[row, column], 0)
    lengths = np.minimum(left_over, most)
    shared = np.minimum(shared, lengths - 1)  # at least one event follows
    (there,) = np.nonzero(left_over)
    for some, length, most_shared in _alike(
        lengths[there] - shared[there], shared[there], raw.shape[1]
    ):
        chosen = there[filled(some)]
        batch = network.batch(without_items(own, row[chosen], item[chosen]), np.arange(len(chosen)))
        same = torch.from_numpy(shared[chosen]).to(device)
        rest = lengthened(_rest(batch, same), length)
        at = [torch.from_numpy(found[chosen]).to(device) for found in (row, column)]
        # Rows that fill up have the values of the first one.
        found = network.model.encode_changed(memory, at[0], same, rest, most_shared)
        left[at[0], at[1]] = found
    return left, is_empty


def _lengths_without(own: Ragged, rows: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Return how many events each of the histories has without an item: [S], [S] -> [S] int64."""
    row, _, item = events_of(own, rows)
    return np.bincount(row[item != items[row]], minlength=len(rows))


def _alike(
    follow: np.ndarray, shared: np.ndarray, longest: int
) -> Iterator[tuple[np.ndarray, int, int]]:
    """Yield the indices of rows that are encoded together, with the lengths of their parts.

    Args:
        follow: [S] events that are encoded.
        shared: [S] events before them.
        longest: Most events of both.
    """
    even = np.where(shared > 0, even_lengths(shared, longest), 0)
    for most in np.unique(even).tolist():
        (chosen,) = np.nonzero(even == most)
        lengths = even_lengths(follow[chosen], longest)
        for some, length in even_groups(lengths, cells_at_once=CELLS_AT_ONCE):
            yield chosen[some], length, most


def _rest(batch: HistoryBatch, shared: Tensor) -> HistoryBatch:
    """Return the events of a batch after the shared ones: [M, L] -> [M, T]."""
    lengths = batch.lengths - shared  # [M]
    steps = torch.arange(int(lengths.max()), device=shared.device)  # [T]
    places = shared[:, None] + steps  # [M, T]
    is_there = steps < lengths[:, None]  # [M, T]
    places = places.where(is_there, 0)
    rows = torch.arange(len(shared), device=shared.device)[:, None]
    item_idx = batch.item_idx[rows, places].where(is_there, PADDING_IDX)
    context = (None if part is None else part[rows, places] for part in batch[2:])
    return HistoryBatch(item_idx, lengths, *context)
