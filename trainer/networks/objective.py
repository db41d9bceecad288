"""The training objective of the retrieval model: its loss over the catalogue.

Pure torch.

Legend of shapes: D width, V catalogue, N targets, K negatives, C candidates.
"""

import torch
from torch import Tensor, nn

from conf.contract import NUM_RESERVED
from trainer.networks import losses
from trainer.networks.inputs import TrainBatch
from trainer.networks.retrieval import RetrievalModel, Targets


class TrainingObjective(nn.Module):
    """A model with its loss, in one module so that data parallelism wraps both."""

    def __init__(
        self,
        model: RetrievalModel,
        *,
        kind: str,
        num_negatives: int,
        negatives_for: str,
        sampling: str,
        calibration: float,
        item_probability: Tensor | None,
        candidates: Tensor | None = None,
    ) -> None:
        """Combine the model and its loss.

        Args:
            model: The model to train.
            kind: Name of the loss, see `trainer.networks.losses`.
            num_negatives: Number of negatives for each position or for the batch.
            negatives_for: `position` or `batch`.
            sampling: `uniform`, `popularity` or `in_batch`.
            calibration: t of gBCE.
            item_probability: [V] probability of each item to be drawn, 0 for reserved numbers;
                None: uniform.
            candidates: [C] numbers of the items that compete with the targets: those that
                training sees. None: all.
        """
        super().__init__()
        self.model = model
        self.kind = kind
        self.num_negatives = num_negatives
        self.negatives_for = negatives_for
        self.sampling = sampling
        self.calibration = calibration
        self.register_buffer("item_probability", item_probability, persistent=False)
        self.register_buffer("candidates", candidates, persistent=False)
        left_out = None
        if candidates is not None:
            left_out = torch.ones(model.catalogue, dtype=torch.bool)
            left_out[candidates] = False
        self.register_buffer("left_out", left_out, persistent=False)

    def forward(self, batch: TrainBatch) -> Tensor:
        """Return the weighted sum of the losses of all targets; zero for a batch without any."""
        if not bool((batch.target_idx >= NUM_RESERVED).any()):
            return self._nothing(batch)
        targets = self.model.targets(batch)
        if self.kind == "cross_entropy":
            return self._cross_entropy(targets)
        positive, negative = self._scores(targets)  # [N], [N, K]
        weights = targets.weights
        if self.kind == "sampled_softmax":
            return losses.sampled_softmax(positive, negative, weights)
        if self.kind == "bpr":
            return losses.bayesian_ranking(positive, negative, weights)
        beta = 1.0
        if self.kind == "gbce":
            candidates = self._candidates()
            count = self.model.catalogue - NUM_RESERVED if candidates is None else len(candidates)
            drawn = len(positive) - 1 if self.sampling == "in_batch" else self.num_negatives
            beta = losses.gbce_exponent(drawn / count, self.calibration)
        return losses.binary_cross_entropy(positive, negative, weights, beta=beta)

    def _nothing(self, batch: TrainBatch) -> Tensor:
        """Return zero with a gradient for every weight, sparse if it is so on other ranks."""
        table = self.model.items.embedding
        rest = [p.sum() * 0 for p in self.parameters() if p is not table.weight]
        return torch.stack([table(batch.target_idx.new_zeros(0)).sum(), *rest]).sum()

    def _cross_entropy(self, targets: Targets) -> Tensor:
        left_out: Tensor | None = self.left_out  # type: ignore[assignment]
        return losses.cross_entropy(
            targets.hidden,
            self.model.item_vectors(),
            targets.item_idx,
            targets.weights,
            left_out=left_out,
        )

    def _scores(self, targets: Targets) -> tuple[Tensor, Tensor]:
        """Return the scores of the targets [N] and of their negatives [N, K].

        For sampled softmax they are corrected for the probability of being drawn. A negative that
        equals its target has -inf.
        """
        hidden, probability = targets.hidden, self._probability()
        own = self.model.vectors_of(targets.item_idx)  # [N, D]
        positive = (hidden * own).sum(1).float()  # [N]
        if self.sampling == "in_batch":
            negatives, vectors = targets.item_idx, own  # [K], [K, D]
        else:
            by_position = self.negatives_for == "position"
            shape = (len(hidden), self.num_negatives) if by_position else (self.num_negatives,)
            negatives = losses.draw_negatives(
                shape, self.model.catalogue, probability, hidden.device, self._candidates()
            )
            vectors = self.model.vectors_of(negatives)  # [N, K, D] or [K, D]
        negative = losses.products(hidden, vectors)  # [N, K]
        if probability is not None and self.kind == "sampled_softmax":
            log_probability = probability.log()
            positive = positive - log_probability[targets.item_idx]
            negative = negative - log_probability[negatives]
        same = targets.item_idx[:, None] == negatives  # [N, K]
        return positive, negative.masked_fill(same, -torch.inf)

    def _probability(self) -> Tensor | None:
        probability: Tensor | None = self.item_probability  # type: ignore[assignment]
        return probability

    def _candidates(self) -> Tensor | None:
        candidates: Tensor | None = self.candidates  # type: ignore[assignment]
        return candidates


def item_sampling(train_events: Tensor) -> Tensor:
    """Return each item's probability by popularity: [V] counts -> [V], reserved ones 0."""
    counts = train_events.double()  # [V]
    counts[:NUM_RESERVED] = 0
    return (counts / counts.sum()).float()
