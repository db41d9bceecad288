"""From bodies to labels: heads of each label's own, and gates that mix experts for it.

Pure torch.

Legend of shapes: B rows, T labels, E experts, R representation, I inputs of the gates.
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from trainer.interactions import Crossed, DeepNetwork


class LabelHeads(nn.Module):
    """A network for each label, with one number at its end."""

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
        """Let the untrained heads say these values: [T]."""
        for end, value in zip(self.ends, values, strict=True):
            nn.init.constant_(cast(nn.Linear, end).bias, float(value))

    def forward(self, crossed: Crossed) -> Tensor:
        """Return logits of what each label takes, [B, T, R] and [B, T]: [B, T]."""
        logits = [
            end(tower(crossed.representation[:, label]))  # [B, 1]
            for label, (tower, end) in enumerate(zip(self.towers, self.ends, strict=True))
        ]
        return torch.cat(logits, dim=1) + crossed.direct


class SharedBottom(nn.Module):
    """All labels take the same. Source: Caruana 1997."""

    def __init__(self, *, num_labels: int) -> None:
        super().__init__()
        self.num_labels = num_labels

    def forward(self, bodies: Sequence[Crossed], inputs: Tensor) -> Crossed:
        """Return what each label takes of the one body: [B, T, R] and [B, T]."""
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
        """Return each expert's share in each label: [B, I] -> [B, T, E], sums of 1."""
        scores = self.gate(inputs).view(len(inputs), self.num_labels, self.experts)
        return torch.softmax(scores, dim=2)

    def forward(self, bodies: Sequence[Crossed], inputs: Tensor) -> Crossed:
        """Return what each label takes of the experts: [B, T, R] and [B, T]."""
        shares = self.shares(inputs)  # [B, T, E]
        representation = torch.stack([body.representation for body in bodies], dim=1)  # [B, E, R]
        direct = torch.stack([body.direct for body in bodies], dim=2)  # [B, T, E]
        return Crossed(torch.bmm(shares, representation), (shares * direct).sum(2))
