"""The ranking model: a logit or a rating for each label of an impression.

Pure torch: no Ray, no Petastorm, no files.

Legend of shapes: B rows, L history length, F fields, W width, T labels, U users, V items,
R representation, E experts, I inputs of a gate or of attention.
"""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from conf.contract import PADDING_IDX, UNKNOWN_IDX
from trainer.networks.fields import FieldEmbedding, FieldSpec, Values
from trainer.networks.initialisation import initialise
from trainer.networks.inputs import RankingBatch
from trainer.networks.interactions import BODIES, WITH_LINEAR_PART, Crossed, DeepNetwork, Shape

_NORMAL_STD = 0.02  # standard deviation of dense layers with `init: normal`


class RankingModel(nn.Module):
    """Fields of user, item, history and impression, bodies that combine them, and label heads.

    The linear part's weights follow the vectors in the same tables, T numbers per row.
    """

    def __init__(
        self,
        *,
        users: int,
        items: int,
        user_fields: Sequence[Sequence[Any]],
        item_fields: Sequence[Sequence[Any]],
        context_fields: Sequence[Sequence[Any]],
        num_labels: int,
        interaction: str,
        width: int,
        history: str,
        attention_width: int,
        multi_task: str,
        experts: int,
        tower_hidden: Sequence[int],
        dropout: float,
        unknown_share: float,
        init: str,
        embedding_std: float,
        **body: Any,
    ) -> None:
        """Build an untrained model; `train.ranking` explains the numbers.

        It is long only because each argument takes a line here and above.

        Args:
            users: U, size of the user vocabulary, reserved numbers included.
            items: V, likewise.
            user_fields: Arguments of a `FieldSpec` for each field of the users' table.
            item_fields: The same for each field of the items' table.
            context_fields: The same for each field of the impressions.
            num_labels: T
            interaction: A name in `BODIES`; `linear` uses no vectors and ignores the width.
            width: W
            history: How the history is used: `none`, `mean` or `target_attention`.
            attention_width: Inner width of target attention.
            multi_task: `shared_bottom`, or `mmoe` for several experts if there are several
                labels.
            experts: Number of experts.
            tower_hidden: Widths of each label's own layers, if there are several labels.
            dropout: Share of values dropped in training.
            unknown_share: Share of ids that are treated as unknown in training.
            init: Name of the rule for dense layers, see `trainer.networks.initialisation`.
            embedding_std: Standard deviation of embeddings.
            body: Other fields of `Shape`.
        """
        super().__init__()
        self.history, self.unknown_share = history, unknown_share
        self.width = 0 if interaction == "linear" else width
        with_linear = interaction in WITH_LINEAR_PART
        inner = self.width + (num_labels if with_linear else 0)
        self.user_embedding = nn.Embedding(users, inner)
        self.item_embedding = nn.Embedding(items, inner)
        self.user_fields, self.item_fields, self.context_fields = (
            FieldEmbedding(fields=[FieldSpec(*field) for field in fields], width=inner)
            for fields in (user_fields, item_fields, context_fields)
        )
        self.register_buffer("known_users", torch.ones(users, dtype=torch.bool))  # [U]
        self.user_values: Values | None = None
        self.item_values: Values | None = None
        if history == "target_attention":
            of_item = (1 + self.item_fields.num_fields) * inner
            self.attention = TargetAttention(inputs=of_item, inner_width=attention_width)
        self._add_bodies(
            interaction,
            num_labels=num_labels,
            dropout=dropout,
            experts=experts if multi_task == "mmoe" and num_labels > 1 else 1,
            tower_hidden=tower_hidden if num_labels > 1 else (),
            body=body,
        )
        initialise(self, init=init, std=_NORMAL_STD, embedding_std=embedding_std)
        for part in (self.user_fields, self.item_fields, self.context_fields):
            part.initialise_numbers(embedding_std)

    def _add_bodies(
        self,
        interaction: str,
        *,
        num_labels: int,
        dropout: float,
        experts: int,
        tower_hidden: Sequence[int],
        body: dict[str, Any],
    ) -> None:
        """Add one body per expert, the mixer of the experts, and the label heads."""
        kinds = self._kinds_of_fields()
        shape = Shape(
            num_fields=len(kinds),
            dense_places=tuple(place for place, kind in enumerate(kinds) if kind == "numbers"),
            width=self.width,
            num_labels=num_labels,
            dropout=dropout,
            **body,
        )
        self.bodies = nn.ModuleList(BODIES[interaction](shape) for _ in range(experts))
        self.mixer: ExpertGates | SharedBottom = (
            ExpertGates(num_labels=num_labels, experts=experts, inputs=len(kinds) * self.width)
            if experts > 1
            else SharedBottom(num_labels=num_labels)
        )
        self.heads = LabelHeads(
            num_labels=num_labels,
            inputs=cast(int, self.bodies[0].out_width),
            tower_hidden=tower_hidden,
            dropout=dropout,
        )

    def _kinds_of_fields(self) -> list[str]:
        """Return the kind of each field in the order of `field_vectors`."""
        of_item = self.item_fields.kinds
        ids, own = ["categorical"] * 2, [*self.user_fields.kinds, *self.context_fields.kinds]
        past = [] if self.history == "none" else ["history"] * (1 + len(of_item))
        return [*ids, *of_item, *past, *own]

    def attach(self, user_values: Values, item_values: Values, device: torch.device) -> None:
        """Give the model the features of users and items, by their numbers in the dataset.

        They are not part of the weights: each dataset has its own.
        """
        self.user_values = Values(*(tensor.to(device) for tensor in user_values))
        self.item_values = Values(*(tensor.to(device) for tensor in item_values))

    def forward(self, batch: RankingBatch, owner: Tensor | None = None) -> Tensor:
        """Return logits or ratings, not corrected for the drawing of negatives: [B, T].

        Args:
            batch: The rows.
            owner: [B] int64, place of each row's history in `history_idx` of the batch, if several
                rows share one; None: each row has its own.
        """
        vectors = self.field_vectors(batch, owner)  # [B, F, W + linear]
        fields = vectors[..., : self.width]  # [B, F, W]
        crossed = self.mixer([body(fields) for body in self.bodies], fields.flatten(1))
        logits: Tensor = self.heads(crossed)  # [B, T]
        if vectors.shape[-1] > self.width:
            logits = logits + vectors[..., self.width :].sum(1)  # [B, T]
        return logits

    def field_vectors(self, batch: RankingBatch, owner: Tensor | None = None) -> Tensor:
        """Return the vectors of user, item, item fields, history, user fields, impression.

        Args:
            batch: The rows.
            owner: As for `forward`.
        """
        assert self.user_values is not None and self.item_values is not None, "call attach() first"
        user_idx = self._known(batch.user_idx, self.user_embedding.num_embeddings)  # [B]
        user_idx = user_idx.masked_fill(~self.get_buffer("known_users")[user_idx], UNKNOWN_IDX)
        user = self.user_embedding(user_idx)[:, None]  # [B, 1, W]
        items = self._item_vectors(batch.item_idx)  # [B, 1 + F of items, W]
        past = []
        if self.history != "none":
            past = [self._history_vectors(batch.history_idx, items, owner)]
        own = [
            self.user_fields(self.user_values.rows(batch.user_idx)),
            self.context_fields(batch.context),
        ]
        return torch.cat([user, items, *past, *own], dim=1)  # [B, F, W]

    def _item_vectors(self, item_idx: Tensor) -> Tensor:
        """Return the vectors of items and of their fields: [...] -> [..., 1 + F of items, W]."""
        assert self.item_values is not None
        number = self._known(item_idx, self.item_embedding.num_embeddings)
        own = self.item_embedding(number).unsqueeze(-2)  # [..., 1, W]
        return torch.cat([own, self.item_fields(self.item_values.rows(item_idx))], dim=-2)

    def _history_vectors(self, history_idx: Tensor, items: Tensor, owner: Tensor | None) -> Tensor:
        """Return the history as fields like an item's: [B, L], [B, F, W] -> [B, F, W]."""
        is_there = history_idx != PADDING_IDX  # [B, L]
        events = self._item_vectors(history_idx).flatten(2)  # [B, L, F * W]
        if self.history == "mean":
            mean = mean_of_history(events, is_there)
            return (mean if owner is None else mean[owner]).view_as(items)
        if owner is not None:
            events, is_there = events[owner], is_there[owner]
        summed: Tensor = self.attention(events, items.flatten(1), is_there)  # [B, F * W]
        return summed.view_as(items)

    def _known(self, number: Tensor, size: int) -> Tensor:
        """Return the numbers, with `UNKNOWN_IDX` for those that are new since the training."""
        number = number.long()
        lacking = number >= size
        if self.training and self.unknown_share > 0:
            drawn = torch.rand(number.shape, device=number.device) < self.unknown_share
            lacking = lacking | (drawn & (number != PADDING_IDX))
        return number.masked_fill(lacking, UNKNOWN_IDX)


def mean_of_history(events: Tensor, is_there: Tensor) -> Tensor:
    """Return the mean of a history's vectors, zero for an empty history.

    Args:
        events: [B, L, I]
        is_there: [B, L] bool

    Returns:
        [B, I]
    """
    mask = is_there.unsqueeze(-1).to(events.dtype)  # [B, L, 1]
    return (events * mask).sum(1) / mask.sum(1).clamp(min=1)


class TargetAttention(nn.Module):
    """The sum of a history's vectors, each weighted by its relevance to the candidate.

    The weights come from a small network over both vectors, their difference and their product.
    They are not normalised: their sum shows how relevant the history is to the candidate.
    Source: Zhou et al. 2018, eq. 3 and figure 2, with the element-wise instead of the outer product
    and ReLU instead of Dice.
    """

    def __init__(self, *, inputs: int, inner_width: int) -> None:
        super().__init__()
        self.inner = nn.Linear(4 * inputs, inner_width)
        self.outer = nn.Linear(inner_width, 1)

    def weights(self, events: Tensor, candidate: Tensor, is_there: Tensor) -> Tensor:
        """Return each event's weight, 0 for padding: [B, L, I], [B, I], [B, L] -> [B, L]."""
        beside = candidate[:, None].expand_as(events)  # [B, L, I]
        both = torch.cat([events, beside, events - beside, events * beside], dim=-1)  # [B, L, 4 I]
        weights: Tensor = self.outer(torch.relu(self.inner(both))).squeeze(-1)  # [B, L]
        return weights * is_there

    def forward(self, events: Tensor, candidate: Tensor, is_there: Tensor) -> Tensor:
        """Return the weighted sum: [B, L, I], [B, I], [B, L] -> [B, I]."""
        weights = self.weights(events, candidate, is_there)  # [B, L]
        return torch.bmm(weights[:, None], events).squeeze(1)


class LabelHeads(nn.Module):
    """A network for each label, with a single output."""

    def __init__(
        self, *, num_labels: int, inputs: int, tower_hidden: Sequence[int], dropout: float
    ) -> None:
        super().__init__()
        self.towers = nn.ModuleList(
            DeepNetwork(inputs, tower_hidden, dropout=dropout, batch_norm=False)
            for _ in range(num_labels)
        )
        ends = [cast(DeepNetwork, tower).out_width for tower in self.towers]
        self.ends = nn.ModuleList(nn.Linear(end, 1) for end in ends)

    def start_at(self, values: Tensor) -> None:
        """Set the biases to the values that the untrained heads start from: [T]."""
        for end, value in zip(self.ends, values, strict=True):
            nn.init.constant_(cast(nn.Linear, end).bias, float(value))

    def forward(self, crossed: Crossed) -> Tensor:
        """Return the logits from each label's input: [B, T, R] and [B, T] -> [B, T]."""
        logits = [
            end(tower(crossed.representation[:, label]))  # [B, 1]
            for label, (tower, end) in enumerate(zip(self.towers, self.ends, strict=True))
        ]
        return torch.cat(logits, dim=1) + crossed.direct


class SharedBottom(nn.Module):
    """All labels share one body. Source: Caruana 1997."""

    def __init__(self, *, num_labels: int) -> None:
        super().__init__()
        self.num_labels = num_labels

    def forward(self, bodies: Sequence[Crossed], inputs: Tensor) -> Crossed:
        """Return each label's input, the output of the one body: [B, T, R] and [B, T]."""
        (body,) = bodies
        return Crossed(body.representation[:, None].expand(-1, self.num_labels, -1), body.direct)


class ExpertGates(nn.Module):
    """Each label mixes the experts by shares that depend on the row.

    Source: Ma et al. 2018, section 4.2.
    """

    def __init__(self, *, num_labels: int, experts: int, inputs: int) -> None:
        super().__init__()
        self.num_labels, self.experts = num_labels, experts
        self.gate = nn.Linear(inputs, num_labels * experts)

    def shares(self, inputs: Tensor) -> Tensor:
        """Return each expert's share in each label, summing to 1: [B, I] -> [B, T, E]."""
        scores = self.gate(inputs).view(len(inputs), self.num_labels, self.experts)
        return torch.softmax(scores, dim=2)

    def forward(self, bodies: Sequence[Crossed], inputs: Tensor) -> Crossed:
        """Return each label's input, mixed from the experts: [B, T, R] and [B, T]."""
        shares = self.shares(inputs)  # [B, T, E]
        representation = torch.stack([body.representation for body in bodies], dim=1)  # [B, E, R]
        direct = torch.stack([body.direct for body in bodies], dim=2)  # [B, T, E]
        return Crossed(torch.bmm(shares, representation), (shares * direct).sum(2))
