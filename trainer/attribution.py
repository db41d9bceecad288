"""Share a network's score out among the events of the history.

Each event's part is its input vector times the gradient of the score with respect to it, summed
over the width.
Source: gradient times input, Shrikumar et al. 2016.

Legend of shapes: B users, N history length, D width, K recommended items.
"""

import torch
from torch import Tensor

from trainer.inputs import HistoryBatch
from trainer.retrieval import RetrievalModel


def gradient_times_input(model: RetrievalModel, batch: HistoryBatch, recommended: Tensor) -> Tensor:
    """Return each event's part in each recommended item's score: [B, K, N].

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
