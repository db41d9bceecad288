"""The loss of a ranking model, with what makes up for the drawing of negatives.

Pure torch.

Legend of shapes: B rows, T labels.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.networks.inputs import RankingBatch
from trainer.networks.ranking import RankingModel


class RankingObjective(nn.Module):
    """A model with its loss, so that data parallelism wraps both."""

    def __init__(
        self,
        model: RankingModel,
        *,
        loss: str,
        label_weights: Sequence[float],
        embedding_l2: float,
    ) -> None:
        """Combine them.

        Args:
            model: What is trained.
            loss: `bce` or `mse`.
            label_weights: T weights.
            embedding_l2: Half of it times all embeddings' squares joins the mean loss.
        """
        super().__init__()
        self.model = model
        self.loss, self.embedding_l2 = loss, embedding_l2
        self.register_buffer("label_weights", torch.tensor(label_weights), persistent=False)

    def forward(self, batch: RankingBatch) -> Tensor:
        """Return the weighted sum of the rows' losses; a rank without rows has zero."""
        if batch.num_rows == 0:
            return torch.stack([p.sum() * 0 for p in self.parameters()]).sum()
        logits = row_logits(self.model(batch).float(), batch)  # [B, T]
        if self.loss == "mse":
            losses = (logits - batch.labels).square()  # [B, T]
        else:
            losses = F.binary_cross_entropy_with_logits(logits, batch.labels, reduction="none")
        by_row = losses @ self.get_buffer("label_weights")  # [B]
        total = (by_row * batch.row_weight).sum()
        if self.embedding_l2 > 0:
            total = total + batch.weight * self.embedding_l2 / 2 * self._sum_of_squares()
        return total

    def _sum_of_squares(self) -> Tensor:
        tables = [p for name, p in self.named_parameters() if name.endswith("embedding.weight")]
        return torch.stack([table.square().sum() for table in tables]).sum()


def row_logits(logits: Tensor, batch: RankingBatch) -> Tensor:
    """Return the logits of the rows as they were drawn: [B, T].

    Let an item be in n * q rows as a drawn negative for each positive row of the log. Then the
    rows' odds of being positive are the model's own, p, over n * q, so that the rows are told
    apart by log p - log(n * q); the model alone gives log p, free of how negatives were drawn.
    Source: Gutmann & Hyvarinen 2012, with its nu = n; Mnih & Teh 2012. That a user's own items
    are left out among the drawn ones is not made up for.

    Args:
        logits: [B, T] of the model.
        batch: Its `log_rate` is log(n * q), or 0.
    """
    return logits - batch.log_rate[:, None]
