"""The loss of a ranking model, with a correction for drawn negatives.

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
    """A model with its loss, in one module so that data parallelism wraps both."""

    def __init__(
        self,
        model: RankingModel,
        *,
        loss: str,
        label_weights: Sequence[float],
        embedding_l2: float,
    ) -> None:
        """Combine the model and its loss.

        Args:
            model: The model to train.
            loss: `bce` or `mse`.
            label_weights: T weights.
            embedding_l2: Half of it times the sum of squares of all embeddings is added to the
                mean loss.
        """
        super().__init__()
        self.model = model
        self.loss, self.embedding_l2 = loss, embedding_l2
        self.register_buffer("label_weights", torch.tensor(label_weights), persistent=False)

    def forward(self, batch: RankingBatch) -> Tensor:
        """Return the weighted sum of the rows' losses; zero on a rank without rows."""
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
    """Return the logits of rows with drawn negatives: [B, T].

    Let an item be in n * q rows as a drawn negative for each positive row of the log. Then the
    odds that a row is positive are the model's own odds p, divided by n * q. So the logits of the
    rows are log p - log(n * q), and the model alone gives log p, independent of the drawing.
    Source: Gutmann & Hyvarinen 2012, with its nu = n; Mnih & Teh 2012. A user's own items are
    never drawn as negatives; this is not corrected for.

    Args:
        logits: [B, T] of the model.
        batch: Its `log_rate` is log(n * q), or 0.
    """
    return logits - batch.log_rate[:, None]
