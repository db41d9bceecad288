"""Share a network's score out among the items of the history, by taking each of them out.

An item's part is what the score loses when the history is encoded without all of its events: their
types and times go too, later events move up, and into what the network sees of a long history
older events move in. So what is said of an item is true of the network, whatever stands in it.
Of a history with many items only some are tried, those whose gradient times input is largest; the
others have no part.
Sources: occlusion, Zeiler and Fergus 2014; gradient times input, Shrikumar et al. 2016.

Legend of shapes: B users, N newest events that a network sees, L longest history, D width,
K recommended items, T items that are tried.
"""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from conf.contract import NUM_RESERVED
from trainer.data.columns import Ragged, newest_events, padded, without_items
from trainer.networks.inputs import HistoryBatch
from trainer.networks.retrieval import RetrievalModel

TRIED_ITEMS = 16
"""Items of a history that are tried. Among as many events of 60 and of 200 was the one without
which a score falls most in 97 of 100 lists at least."""
CELLS_AT_ONCE = 65_536
"""Rows times length that are encoded together."""
ROUNDING = 1e-3
"""Share of the largest part of a recommended item below which another one is none: it may be
rounding, as a network rounds otherwise in batches of another shape."""


class Network(Protocol):
    """A retrieval model and how it takes histories, see `trainer.models.scorer.ModelScorer`."""

    model: RetrievalModel

    @property
    def left_out(self) -> Tensor | None:
        """Items that the model knows nothing of: [V] bool."""

    @property
    def middle(self) -> Tensor:
        """Mean of the vectors of all others: [D]."""

    def batch(self, histories: Ragged, rows: np.ndarray) -> HistoryBatch:
        """Return the chosen rows as the model takes them."""


def parts_by_removal(
    network: Network, histories: Ragged, rows: np.ndarray, recommended: Tensor
) -> Tensor:
    """Return what each recommended item's score loses without each item: [B, K, L] float32.

    An item's part stands at the first of its events that the network sees, zeros elsewhere.
    Without the only item of a history nothing is left to score by: its part is then what the
    score stands above the user's mean score.

    Args:
        network: In eval mode.
        histories: Item numbers, oldest first, with what stands beside them.
        rows: [B]
        recommended: [B, K] int64; what stands for a negative number has no meaning.
    """
    model, length = network.model, network.model.history_length
    own = newest_events(histories, rows, 2 * length)  # as many may move in as are taken out
    raw, lengths = padded(own, np.arange(len(rows)), length)  # [B, N], [B]
    batch = network.batch(own, np.arange(len(rows)))
    places = _tried(model, batch, raw, lengths, recommended)  # [B, T]
    with torch.no_grad():
        users, items = model.encode(batch), model.vectors_of(recommended.clamp(min=0))
        left, is_empty = _encoded_without(network, own, raw, places)  # [B, T, D], [B, T]
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
    """Return where the items that are taken out first stand, -1 for none: [B, T], on the CPU.

    Args:
        model: The network.
        batch: The users' histories as it takes them.
        raw: [B, N] their items, which it may not all know.
        lengths: [B]
        recommended: [B, K]
    """
    items = torch.from_numpy(raw.astype(np.int64))
    places = torch.arange(raw.shape[1])
    first = first_of_item(items)  # [B, N]
    stands = (first == places) & (items >= NUM_RESERVED)
    stands &= places < torch.from_numpy(lengths)[:, None]
    weight = stands.float()
    if raw.shape[1] > TRIED_ITEMS and int(stands.sum(1).max()) > TRIED_ITEMS:
        parts = gradient_times_input(model, batch, recommended).float().cpu()  # [B, K, N]
        of_item = torch.zeros_like(parts).scatter_add_(2, first[:, None].expand_as(parts), parts)
        weight = of_item.abs().amax(1)  # [B, N]
    largest = weight.masked_fill(~stands, -1).topk(min(TRIED_ITEMS, raw.shape[1]), dim=1)
    return largest.indices.masked_fill(largest.values < 0, -1)


def first_of_item(item_idx: Tensor) -> Tensor:
    """Return for each event the place of the first one with the same item: [B, L]."""
    ordered, place = item_idx.sort(dim=1, stable=True)  # [B, L], [B, L]
    begins = torch.ones_like(ordered, dtype=torch.bool)
    begins[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    run = torch.arange(ordered.shape[1], device=item_idx.device).where(begins, 0)  # [B, L]
    first = place.gather(1, run.cummax(dim=1).values)  # [B, L], in the order of items
    return torch.empty_like(place).scatter_(1, place, first)


def _encoded_without(
    network: Network, own: Ragged, raw: np.ndarray, places: Tensor
) -> tuple[Tensor, Tensor]:
    """Return users' vectors without each item, [B, T, D], and where nothing is left, [B, T].

    Zeros stand where nothing is left, and where nothing is taken out.

    Args:
        network: See `parts_by_removal`.
        own: [B] histories.
        raw: [B, N] their newest items.
        places: [B, T] in these, -1 where none is taken out.
    """
    device = network.middle.device
    left = torch.zeros((*places.shape, len(network.middle)), device=device)
    is_empty = torch.zeros(places.shape, dtype=torch.bool, device=device)
    row, column = (found.numpy() for found in torch.nonzero(places >= 0, as_tuple=True))
    item = raw[row, places.numpy()[row, column]]
    for some in _of_like_length(own.lengths[row], network.model.history_length):
        shorter = without_items(own, row[some], item[some])
        at = [torch.from_numpy(found[some]).to(device) for found in (row, column)]
        remains = shorter.lengths > 0
        if remains.any():
            stays = torch.from_numpy(remains).to(device)
            encoded = network.model.encode(network.batch(shorter, np.flatnonzero(remains)))
            left[at[0][stays], at[1][stays]] = encoded
        is_empty[at[0], at[1]] = torch.from_numpy(~remains).to(device)
    return left, is_empty


def _of_like_length(lengths: np.ndarray, most: int) -> Iterator[np.ndarray]:
    """Yield the places of lengths in groups that may be encoded together."""
    at_once = max(CELLS_AT_ONCE // min(int(lengths.max(initial=1)), most), 1)
    order = np.argsort(lengths, kind="stable")
    for start in range(0, len(order), at_once):
        yield order[start : start + at_once]


def gradient_times_input(model: RetrievalModel, batch: HistoryBatch, recommended: Tensor) -> Tensor:
    """Return each event's part in each recommended item's score to first order: [B, K, N].

    It is the event's input vector times the gradient of the score with respect to it, summed over
    the width.

    Args:
        model: In eval mode.
        batch: The users' histories.
        recommended: [B, K] int64; what stands for a negative number has no meaning.
    """
    items = model.vectors_of(recommended.clamp(min=0)).detach()  # [B, K, D]
    carried = []
    # cuDNN has no gradient of recurrent layers outside of training.
    with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        embedded = model.embed(batch).detach().requires_grad_()  # [B, N, D]
        users = model.encode_embedded(embedded, batch.lengths)  # [B, D]
        for position in range(recommended.shape[1]):
            (gradient,) = torch.autograd.grad(
                users, embedded, grad_outputs=items[:, position], retain_graph=True
            )  # [B, N, D]
            carried.append((gradient * embedded.detach()).sum(-1))  # [B, N]
    return torch.stack(carried, dim=1)  # [B, K, N]
