"""The retrieval model: score every item of the catalogue for a user's history.

Pure torch: no Ray, no Petastorm, no files.

Legend of shapes: B rows, L length, D width, V catalogue, N targets.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conf.contract import NUM_RESERVED, PADDING_IDX
from trainer.networks.attention import BidirectionalEncoder
from trainer.networks.encoders import build_encoder
from trainer.networks.event_context import EventContext
from trainer.networks.fields import FieldSpec
from trainer.networks.history_encoder import Changed
from trainer.networks.inputs import HistoryBatch, TrainBatch
from trainer.networks.item_vectors import ItemVectors


class Targets(NamedTuple):
    """Targets of a training step, and the encodings that predict them."""

    hidden: Tensor
    """[N, D] encoding that predicts each target."""
    item_idx: Tensor
    """[N] int64"""
    weights: Tensor
    """[N] float32"""


class RetrievalModel(nn.Module):
    """Item vectors and an encoder; the score is the dot product of user and item vector."""

    def __init__(
        self,
        *,
        catalogue: int,
        width: int,
        history_length: int,
        encoder: str,
        event_types: int,
        time_gaps: bool,
        calendar: bool,
        event_features: Sequence[Sequence[Any]],
        similarity: str,
        temperature: float,
        mask_share: float,
        content: Mapping[str, Any],
        **options: Any,
    ) -> None:
        """Make the network; `trainer.models.bundle.build_model` initialises it.

        It is long only because each argument takes a line here and above.

        Args:
            catalogue: V
            width: D
            history_length: Number of newest events that the encoder sees.
            encoder: Name, see `trainer.networks.encoders`.
            event_types: See `EventContext`.
            time_gaps: See `EventContext`.
            calendar: See `EventContext`.
            event_features: Features of the events to use, each as a `FieldSpec`.
            similarity: `dot`, or `cosine`: vectors are scaled to length 1.
            temperature: Divisor of the scores.
            mask_share: Share of targets that a bidirectional encoder masks in training.
            content: Features of the items to use: `fields`, each as a `FieldSpec`, `dropout`
                and `id_dropout`.
            options: Other arguments of the encoder.
        """
        super().__init__()
        self.history_length = history_length
        fields = [FieldSpec(*field) for field in content["fields"]]
        self.items = ItemVectors(
            catalogue=catalogue,
            width=width,
            fields=fields,
            dropout=content["dropout"],
            id_dropout=content["id_dropout"],
        )
        self.context = EventContext(
            width=width,
            event_types=event_types,
            time_gaps=time_gaps,
            calendar=calendar,
            fields=[FieldSpec(*field) for field in event_features],
        )
        self.encoder = build_encoder(encoder, width=width, history_length=history_length, **options)
        self.similarity, self.temperature = similarity, temperature
        self.mask_share = mask_share

    @property
    def catalogue(self) -> int:
        """V: size of the item vocabulary, reserved numbers included."""
        return self.items.embedding.num_embeddings

    def embed(self, batch: HistoryBatch) -> Tensor:
        """Return the input vectors of events: [B, L, D]."""
        vectors: Tensor = self.items(batch.item_idx)
        for part in self.context(batch):
            vectors = vectors + part
        return vectors * (batch.item_idx != PADDING_IDX).unsqueeze(-1)

    def encode_embedded(self, embedded: Tensor, lengths: Tensor) -> Tensor:
        """Return users' vectors from input vectors: [B, L, D], [B] -> [B, D]."""
        return self._scaled(self.encoder.last(embedded, lengths)) / self.temperature

    def encode(self, batch: HistoryBatch) -> Tensor:
        """Return each user's vector after the newest event: [B, D]."""
        return self.encode_embedded(self.embed(batch), batch.lengths)

    def gradient_times_input(self, batch: HistoryBatch, item_idx: Tensor) -> Tensor:
        """Return each event's first-order contribution to the scores of items: [B, K, L].

        It is the event's input vector times the gradient of the score with respect to this vector,
        summed over the width.

        Args:
            batch: Histories, in eval mode.
            item_idx: [B, K] int64
        """
        items, embedded = self.vectors_of(item_idx).detach(), self.embed(batch).detach()
        last = self.encoder.last(embedded, batch.lengths).detach()  # [B, D]
        copies = last[:, None].expand(items.shape)  # [B, K, D]
        with torch.enable_grad():
            copies = copies.clone().requires_grad_()
            scores = (self._scaled(copies) * items).sum() / self.temperature
            (weights,) = torch.autograd.grad(scores, copies)
        return self.encoder.gradient_times_input(embedded, batch.lengths, weights)

    def memory(self, batch: HistoryBatch) -> list[Tensor]:
        """Return what `encode_changed` reads of the beginnings of histories."""
        return self.encoder.memory(self.embed(batch))

    def encode_changed(
        self,
        memory: list[Tensor],
        owner: Tensor,
        shared: Tensor,
        rest: HistoryBatch,
        most_shared: int,
    ) -> Tensor:
        """Return the vectors of users whose histories begin like others: [M, D].

        Args:
            memory: Result of `memory` for the other histories, in eval mode.
            owner: [M] row that each begins like.
            shared: [M] number of events that they share.
            rest: [M, T] the events from there on, at least one of each.
            most_shared: At least the largest of `shared`, at most the length of the others.
        """
        changed = Changed(owner, shared, self.embed(rest), rest.lengths, most_shared)
        return self._scaled(self.encoder.last_of_changed(memory, changed)) / self.temperature

    def targets(self, batch: TrainBatch) -> Targets:
        """Return all targets of the batch with their encodings, in one pass."""
        if isinstance(self.encoder, BidirectionalEncoder):
            return self._masked_targets(batch, self.encoder)
        wanted = batch.target_idx >= NUM_RESERVED  # [B, L]
        hidden = self.encoder(self.embed(batch.histories))[wanted]  # [N, D]
        hidden = self._scaled(hidden) / self.temperature
        return Targets(hidden, batch.target_idx[wanted], batch.target_weight[wanted])

    def item_vectors(self) -> Tensor:
        """Return the vectors that users are scored against: [V, D]."""
        return self._scaled(self.items.all())

    def vectors_of(self, item_idx: Tensor) -> Tensor:
        """Return the same as `item_vectors` for some items: [...] -> [..., D]."""
        return self._scaled(self.items(item_idx, are_candidates=True))

    def _scaled(self, vectors: Tensor) -> Tensor:
        return F.normalize(vectors, dim=-1) if self.similarity == "cosine" else vectors

    def _masked_targets(self, batch: TrainBatch, encoder: BidirectionalEncoder) -> Targets:
        """Mask a share of the targets, and always the last one of a row, as in scoring.

        Each target's weight is divided by its probability of being masked, so the expected sum is
        that of all targets.
        """
        longer = HistoryBatch(
            torch.cat([batch.item_idx[:, :1], batch.target_idx], dim=1),  # [B, L + 1]
            (batch.target_idx != PADDING_IDX).sum(1) + 1,
            *(_with_last(part) for part in batch.context),
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


def _with_last(part: Tensor | None) -> Tensor | None:
    """Return [B, L, ...] values of inputs as [B, L + 1, ...]; the last event has 0 everywhere."""
    return None if part is None else F.pad(part, (0, 0) * (part.dim() - 2) + (0, 1))
