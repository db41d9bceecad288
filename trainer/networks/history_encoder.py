"""The interface of all encoders, which turn a history into a vector for each position.

Pure torch. Histories are padded at the end, and every encoder except the bidirectional one is
causal. So events never see padding, and no mask is needed.

Legend of shapes: B rows, L length, D width, M changed rows, T longest rest, P most shared.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Changed(NamedTuple):
    """Histories that begin like others and then differ."""

    owner: Tensor
    """[M] int64, the row whose beginning each shares."""
    shared: Tensor
    """[M] int64, number of positions that they share, from 0."""
    rest: Tensor
    """[M, T, D] input vectors from there on, padded at the end."""
    lengths: Tensor
    """[M] int64, number of positions of the rest, at least 1."""
    most_shared: int
    """P, at least the largest of `shared`."""


class HistoryEncoder(nn.Module):
    """An encoder. Subclasses override what they can compute at lower cost."""

    def forward(self, embedded: Tensor) -> Tensor:
        """Return the encoding of each position: [B, L, D] -> [B, L, D]."""
        raise NotImplementedError

    def last(self, embedded: Tensor, lengths: Tensor) -> Tensor:
        """Return the encoding of each row's last position: [B, L, D], [B] -> [B, D]."""
        rows = torch.arange(len(embedded), device=embedded.device)
        encoded: Tensor = self(embedded)[rows, lengths - 1]
        return encoded

    def gradient_times_input(self, embedded: Tensor, lengths: Tensor, weights: Tensor) -> Tensor:
        """Return each event's first-order contribution to weighted sums of `last`: [B, K, L].

        It is the event's input vector times the gradient of the sum with respect to this vector,
        summed over the width.

        Args:
            embedded: [B, L, D]
            lengths: [B], at least 1.
            weights: [B, K, D], K sums over the width.
        """
        carried = []
        # cuDNN computes gradients of recurrent layers in training mode only.
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            embedded = embedded.detach().requires_grad_()
            last = self.last(embedded, lengths)  # [B, D]
            for weight in weights.unbind(1):
                (gradient,) = torch.autograd.grad(
                    last, embedded, grad_outputs=weight, retain_graph=True
                )  # [B, L, D]
                carried.append((gradient * embedded.detach()).sum(-1))  # [B, L]
        return torch.stack(carried, dim=1)

    def memory(self, embedded: Tensor) -> list[Tensor]:
        """Return what `last_of_changed` reads of shared positions: [B, L, D] -> each [B, ...]."""
        return [embedded]

    def last_of_changed(self, memory: list[Tensor], changed: Changed) -> Tensor:
        """Return the encoding of the last position of rows that begin like others: [M, D].

        Args:
            memory: Result of `memory` for the other rows.
            changed: The rows.
        """
        (embedded,) = memory
        room = changed.rest.shape[1]
        length = min(changed.most_shared + room, embedded.shape[1])
        whole = F.pad(embedded, (0, 0, 0, room))[changed.owner]  # [M, L + T, D]
        places = changed.shared[:, None] + torch.arange(room, device=embedded.device)  # [M, T]
        whole.scatter_(1, places[..., None].expand_as(changed.rest), changed.rest)
        return self.last(whole[:, :length], changed.shared + changed.lengths)
