"""Share a network's score out among the events of the history, by taking each of them out.

An event's part is what the score loses when the history is encoded without it: its item, its type
and the like go, later events move up, and in a history longer than the network sees an older event
moves in. So what is said of an event is true of the network, whatever stands in it. Of a long
history only some events are tried, those with the largest gradient times input; the others have
no part.
Sources: occlusion, Zeiler and Fergus 2014; gradient times input, Shrikumar et al. 2016.

Legend of shapes: B users, N newest events that a network sees, L longest history, D width,
K recommended items, S histories without an event.
"""

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from trainer.columns import Ragged, without
from trainer.inputs import HistoryBatch
from trainer.retrieval import RetrievalModel

TRIED_EVENTS = 32
"""Events of a history that are tried: of 200 events the one that a score loses most by was among
them in every list that was looked at (MovieLens 1M), of 60 in 98.8 of 100 at least."""
CELLS_AT_ONCE = 65_536
"""Rows times length that are encoded together."""
ROUNDING = 1e-5
"""Share of an item's largest part below which another one is taken for a rounding error."""


class Network(Protocol):
    """A retrieval model and how it takes histories, see `trainer.scorer.ModelScorer`."""

    model: RetrievalModel

    def batch(self, histories: Ragged, rows: np.ndarray) -> HistoryBatch:
        """Return the chosen rows as the model takes them."""


def parts_by_removal(
    network: Network, histories: Ragged, rows: np.ndarray, recommended: Tensor
) -> Tensor:
    """Return what each recommended item's score loses without each event: [B, K, L] float32.

    The only event of a history has part 1, as nothing is left without it.

    Args:
        network: In eval mode.
        histories: Item numbers, oldest first, with what stands beside them.
        rows: [B]
        recommended: [B, K] int64; what stands for a negative number has no meaning.
    """
    batch, lengths = network.batch(histories, rows), histories.lengths[rows]
    row, newest = _tried(network.model, batch, recommended)
    place = newest + (lengths - batch.lengths.cpu().numpy())[row]  # [S], in the whole history
    with torch.no_grad():
        items = network.model.vectors_of(recommended.clamp(min=0))  # [B, K, D]
        users = network.model.encode(batch)  # [B, D]
        parts = users.new_zeros((*recommended.shape, int(lengths.max(initial=1))))  # [B, K, L]
        for some in _by_length(lengths[row], batch.item_idx.shape[1]):
            shorter = without(histories, rows[row[some]], place[some])
            left = network.model.encode(network.batch(shorter, np.arange(len(some))))  # [<= S, D]
            user = torch.from_numpy(row[some]).to(users.device)
            falls = ((users[user] - left)[:, None] * items[user]).sum(-1)  # [<= S, K]
            parts[user, :, torch.from_numpy(place[some]).to(users.device)] = falls
    parts[torch.from_numpy(lengths == 1).to(parts.device), :, 0] = 1
    smallest = parts.abs().amax(2, keepdim=True) * ROUNDING  # [B, K, 1]
    return parts.masked_fill(parts.abs() <= smallest, 0)


def _by_length(lengths: np.ndarray, longest: int) -> list[np.ndarray]:
    """Return [S] places in groups of like length, small enough to be encoded together."""
    at_once = max(CELLS_AT_ONCE // longest, 1)
    return np.split(np.argsort(lengths, kind="stable"), range(at_once, len(lengths), at_once))


def _tried(
    model: RetrievalModel, batch: HistoryBatch, recommended: Tensor
) -> tuple[np.ndarray, np.ndarray]:
    """Return which events are taken out: places of users and of their newest events, [S] each."""
    places = torch.arange(batch.item_idx.shape[1], device=batch.item_idx.device)
    chosen = places < batch.lengths[:, None]  # [B, N]
    if len(places) > TRIED_EVENTS:
        with torch.enable_grad():
            parts = gradient_times_input(model, batch, recommended)  # [B, K, N]
        largest = parts.abs().amax(1).masked_fill(~chosen, -1).topk(TRIED_EVENTS, dim=1).indices
        chosen &= torch.zeros_like(chosen).scatter(1, largest, True)
    row, newest = torch.nonzero(chosen, as_tuple=True)
    return row.cpu().numpy(), newest.cpu().numpy()


def gradient_times_input(model: RetrievalModel, batch: HistoryBatch, recommended: Tensor) -> Tensor:
    """Return each event's part in each recommended item's score to first order: [B, K, N].

    It is the event's input vector times the gradient of the score with respect to it, summed over
    the width.

    Args:
        model: In eval mode.
        batch: The users' histories.
        recommended: [B, K] int64; what stands for a negative number has no meaning.
    """
    embedded = model.embed(batch).detach().requires_grad_()  # [B, N, D]
    users = model.encode_embedded(embedded, batch.lengths)  # [B, D]
    items = model.vectors_of(recommended.clamp(min=0)).detach()  # [B, K, D]
    carried = []
    for position in range(recommended.shape[1]):
        (gradient,) = torch.autograd.grad(
            users, embedded, grad_outputs=items[:, position], retain_graph=True
        )  # [B, N, D]
        carried.append((gradient * embedded.detach()).sum(-1))  # [B, N]
    return torch.stack(carried, dim=1)  # [B, K, N]
