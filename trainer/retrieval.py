"""The retrieval model: score every item of the catalogue for a user's history.

Pure torch: no Ray, no Petastorm, no files.

Legend of shapes: B rows, L length, D width, V catalogue, N positions with a target.
"""

import torch
from torch import Tensor, nn

from conf.contract import NUM_RESERVED, PADDING_IDX
from trainer.encoders import AttentionEncoder, initialise
from trainer.inputs import HistoryBatch, TrainBatch
from trainer.losses import cross_entropy, draw_negatives, sampled_softmax


class RetrievalModel(nn.Module):
    """Item embeddings and an encoder; the score is the dot product of user and item vector."""

    def __init__(
        self,
        *,
        catalogue: int,
        width: int,
        blocks: int,
        heads: int,
        feedforward_factor: int,
        dropout: float,
        history_length: int,
        init: str,
        embedding_std: float,
        encoder: str = "attention",
    ) -> None:
        super().__init__()
        if encoder != "attention":
            raise ValueError(f"encoder={encoder!r} is unknown; there is: attention")
        self.catalogue = catalogue
        self.history_length = history_length
        self.item_embedding = nn.Embedding(catalogue, width)
        self.encoder = AttentionEncoder(
            width=width,
            blocks=blocks,
            heads=heads,
            feedforward_factor=feedforward_factor,
            dropout=dropout,
            max_length=history_length,
        )
        initialise(self, init=init, embedding_std=embedding_std)

    def embed(self, item_idx: Tensor) -> Tensor:
        """Return the input vectors of items: [B, L] -> [B, L, D]."""
        vectors: Tensor = self.item_embedding(item_idx)
        return vectors * (item_idx != PADDING_IDX).unsqueeze(-1)

    def encode_positions(self, item_idx: Tensor) -> Tensor:
        """Return the encoding of every position: [B, L] -> [B, L, D]."""
        encoded: Tensor = self.encoder(self.embed(item_idx))
        return encoded

    def encode_embedded(self, embedded: Tensor, lengths: Tensor) -> Tensor:
        """Return users' vectors from input vectors: [B, L, D], [B] -> [B, D]."""
        return self.encoder.last(embedded, lengths)

    def encode(self, batch: HistoryBatch) -> Tensor:
        """Return each user's vector after the newest event: [B, D]."""
        return self.encode_embedded(self.embed(batch.item_idx), batch.lengths)

    def item_vectors(self) -> Tensor:
        """Return the vectors that users are scored against: [V, D]."""
        return self.item_embedding.weight


class TrainingObjective(nn.Module):
    """A model with its loss, so that data parallelism wraps both."""

    def __init__(
        self,
        model: RetrievalModel,
        *,
        kind: str,
        num_negatives: int,
        negatives_for: str,
        item_probability: Tensor | None,
    ) -> None:
        """Combine them.

        Args:
            model: What is trained.
            kind: `cross_entropy` or `sampled_softmax`.
            num_negatives: For each position or for the batch.
            negatives_for: `position` or `batch`.
            item_probability: [V] to draw negatives from, 0 for reserved numbers; None: uniform.
        """
        super().__init__()
        self.model = model
        self.kind = kind
        self.num_negatives = num_negatives
        self.negatives_for = negatives_for
        self.register_buffer("item_probability", item_probability, persistent=False)

    def forward(self, batch: TrainBatch) -> Tensor:
        """Return the weighted sum of the losses of all targets; a rank without rows has zero."""
        wanted = batch.target_idx >= NUM_RESERVED  # [B, L]
        if not bool(wanted.any()):
            return torch.stack([p.sum() * 0 for p in self.parameters()]).sum()
        hidden = self.model.encode_positions(batch.item_idx)[wanted]  # [N, D]
        targets, weights = batch.target_idx[wanted], batch.target_weight[wanted]  # [N], [N]
        items = self.model.item_vectors()  # [V, D]
        if self.kind == "cross_entropy":
            return cross_entropy(hidden, items, targets, weights)
        probability: Tensor | None = self.item_probability  # type: ignore[assignment]
        by_position = self.negatives_for == "position"
        shape = (len(targets), self.num_negatives) if by_position else (self.num_negatives,)
        negatives = draw_negatives(shape, len(items), probability, hidden.device)
        return sampled_softmax(
            hidden,
            items,
            targets,
            weights,
            negatives=negatives,
            log_probability=None if probability is None else probability.log(),
        )


def item_sampling(train_events: Tensor) -> Tensor:
    """Return the popularity distribution of negatives: [V] counts -> [V], reserved ones 0.

    Every item has at least the chance of one event, so that none is out of reach.
    """
    counts = train_events.clamp(min=1).double()  # [V]
    counts[:NUM_RESERVED] = 0
    return (counts / counts.sum()).float()
