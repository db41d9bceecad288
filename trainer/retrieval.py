"""The retrieval model: score every item of the catalogue for a user's history.

Pure torch: no Ray, no Petastorm, no files.

Legend of shapes: B rows, L length, D width, V catalogue, N targets, K negatives.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conf.contract import NUM_RESERVED, PADDING_IDX
from trainer import losses
from trainer.bidirectional import BidirectionalEncoder
from trainer.encoders import build_encoder
from trainer.initialisation import initialise
from trainer.inputs import GAP_CLASSES, HistoryBatch, TrainBatch


class Targets(NamedTuple):
    """What a training step predicts, and from what."""

    hidden: Tensor
    """[N, D] encoding that predicts each target."""
    item_idx: Tensor
    """[N] int64"""
    weights: Tensor
    """[N] float32"""


class RetrievalModel(nn.Module):
    """Item embeddings and an encoder; the score is the product of user and item vector."""

    def __init__(
        self,
        *,
        catalogue: int,
        width: int,
        history_length: int,
        init: str,
        init_std: float,
        embedding_std: float,
        encoder: str,
        event_types: int,
        time_gaps: bool,
        similarity: str,
        temperature: float,
        mask_share: float,
        **options: Any,
    ) -> None:
        """Make and initialise the network.

        Args:
            catalogue: V
            width: D
            history_length: Newest events that the encoder sees.
            init: Name of the rule for dense layers, see `trainer.initialisation`.
            init_std: Deviation of the rule `normal`.
            embedding_std: Deviation of embeddings.
            encoder: Name, see `trainer.encoders`.
            event_types: Types whose embeddings enter each step; 0: they do not.
            time_gaps: Whether the time since the event before enters each step.
            similarity: `dot`, or `cosine`: vectors of length 1, divided by the temperature.
            temperature: Of the scores.
            mask_share: Share of targets that a bidirectional encoder masks in training.
            options: What the encoder takes besides.
        """
        super().__init__()
        self.catalogue = catalogue
        self.history_length = history_length
        self.item_embedding = nn.Embedding(catalogue, width)
        self.type_embedding = nn.Embedding(event_types, width) if event_types else None
        self.gap_embedding = nn.Embedding(GAP_CLASSES, width) if time_gaps else None
        self.encoder = build_encoder(encoder, width=width, history_length=history_length, **options)
        self.similarity, self.temperature = similarity, temperature
        self.mask_share = mask_share
        initialise(self, init=init, std=init_std, embedding_std=embedding_std)

    @property
    def takes_context(self) -> bool:
        """Whether types or time gaps of the events enter."""
        return self.type_embedding is not None or self.gap_embedding is not None

    def embed(self, batch: HistoryBatch) -> Tensor:
        """Return the input vectors of events: [B, L, D]."""
        vectors: Tensor = self.item_embedding(batch.item_idx)
        if self.type_embedding is not None:
            assert batch.type_idx is not None
            vectors = vectors + self.type_embedding(batch.type_idx)
        if self.gap_embedding is not None:
            assert batch.gap_idx is not None
            vectors = vectors + self.gap_embedding(batch.gap_idx)
        return vectors * (batch.item_idx != PADDING_IDX).unsqueeze(-1)

    def encode_embedded(self, embedded: Tensor, lengths: Tensor) -> Tensor:
        """Return users' vectors from input vectors: [B, L, D], [B] -> [B, D]."""
        return self._scaled(self.encoder.last(embedded, lengths)) / self.temperature

    def encode(self, batch: HistoryBatch) -> Tensor:
        """Return each user's vector after the newest event: [B, D]."""
        return self.encode_embedded(self.embed(batch), batch.lengths)

    def targets(self, batch: TrainBatch) -> Targets:
        """Return all that the batch has to predict, in one pass over it."""
        if isinstance(self.encoder, BidirectionalEncoder):
            return self._masked_targets(batch, self.encoder)
        wanted = batch.target_idx >= NUM_RESERVED  # [B, L]
        hidden = self.encoder(self.embed(batch.histories))[wanted]  # [N, D]
        hidden = self._scaled(hidden) / self.temperature
        return Targets(hidden, batch.target_idx[wanted], batch.target_weight[wanted])

    def item_vectors(self) -> Tensor:
        """Return the vectors that users are scored against: [V, D]."""
        return self._scaled(self.item_embedding.weight)

    def vectors_of(self, item_idx: Tensor) -> Tensor:
        """Return the vectors of some items alone: [...] -> [..., D]."""
        vectors: Tensor = self.item_embedding(item_idx)
        return self._scaled(vectors)

    def _scaled(self, vectors: Tensor) -> Tensor:
        return F.normalize(vectors, dim=-1) if self.similarity == "cosine" else vectors

    def _masked_targets(self, batch: TrainBatch, encoder: BidirectionalEncoder) -> Targets:
        """Mask a share of the targets, and the last of a row always, as scoring does.

        Each target's weight is divided by its chance of being masked, so that the sum is that of
        all targets in the mean.
        """
        longer = HistoryBatch(
            torch.cat([batch.item_idx[:, :1], batch.target_idx], dim=1),  # [B, L + 1]
            (batch.target_idx != PADDING_IDX).sum(1) + 1,
            *(_with_first(part) for part in (batch.type_idx, batch.gap_idx)),
        )
        places = torch.arange(longer.item_idx.shape[1], device=longer.item_idx.device)
        is_last = places == longer.lengths[:, None] - 1  # [B, L + 1]
        drawn = torch.rand(longer.item_idx.shape, device=longer.item_idx.device) < self.mask_share
        usable = (longer.item_idx >= NUM_RESERVED) & (places > 0)
        masked = (is_last | drawn) & usable
        encoded = encoder.fill_in(self.embed(longer), masked, longer.lengths)
        chance = torch.where(is_last, 1.0, self.mask_share)
        weights = F.pad(batch.target_weight, (1, 0)) / chance  # [B, L + 1]
        hidden = self._scaled(encoded[masked]) / self.temperature
        return Targets(hidden, longer.item_idx[masked], weights[masked])


class TrainingObjective(nn.Module):
    """A model with its loss, so that data parallelism wraps both."""

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
    ) -> None:
        """Combine them.

        Args:
            model: What is trained.
            kind: Name of the loss, see `trainer.losses`.
            num_negatives: For each position or for the batch.
            negatives_for: `position` or `batch`.
            sampling: `uniform`, `popularity` or `in_batch`.
            calibration: t of gBCE.
            item_probability: [V] chance of each item to be drawn, 0 for reserved numbers; None:
                uniform.
        """
        super().__init__()
        self.model = model
        self.kind = kind
        self.num_negatives = num_negatives
        self.negatives_for = negatives_for
        self.sampling = sampling
        self.calibration = calibration
        self.register_buffer("item_probability", item_probability, persistent=False)

    def forward(self, batch: TrainBatch) -> Tensor:
        """Return the weighted sum of the losses of all targets; a rank without rows has zero."""
        if not bool((batch.target_idx >= NUM_RESERVED).any()):
            return torch.stack([p.sum() * 0 for p in self.parameters()]).sum()
        targets = self.model.targets(batch)
        if self.kind == "cross_entropy":
            return losses.cross_entropy(
                targets.hidden, self.model.item_vectors(), targets.item_idx, targets.weights
            )
        positive, negative = self._scores(targets)  # [N], [N, K]
        weights = targets.weights
        if self.kind == "sampled_softmax":
            return losses.sampled_softmax(positive, negative, weights)
        if self.kind == "bpr":
            return losses.bayesian_ranking(positive, negative, weights)
        beta = 1.0
        if self.kind == "gbce":
            drawn_share = self.num_negatives / (self.model.catalogue - NUM_RESERVED)
            beta = losses.gbce_exponent(drawn_share, self.calibration)
        return losses.binary_cross_entropy(positive, negative, weights, beta=beta)

    def _scores(self, targets: Targets) -> tuple[Tensor, Tensor]:
        """Return the scores of the targets [N] and of their negatives [N, K].

        Sampled softmax takes them corrected for the chance of being drawn. A negative that is the
        target itself has -inf.
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
                shape, self.model.catalogue, probability, hidden.device
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


def item_sampling(train_events: Tensor) -> Tensor:
    """Return the popularity distribution of negatives: [V] counts -> [V], reserved ones 0.

    Every item has at least the chance of one event, so that none is out of reach.
    """
    counts = train_events.clamp(min=1).double()  # [V]
    counts[:NUM_RESERVED] = 0
    return (counts / counts.sum()).float()


def _with_first(part: Tensor | None) -> Tensor | None:
    """Return [B, L] values of inputs as [B, L + 1]; the last event has the class 0."""
    return None if part is None else F.pad(part, (0, 1))
