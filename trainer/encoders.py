"""Encoders of a history: one vector for each of its positions, made of what is before it.

Pure torch. Histories are padded behind, and every encoder is causal, so that padding is never
seen by an event and needs no mask.

Legend of shapes: B rows, L length, D width, H heads.
"""

from collections.abc import Callable
from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class AttentionEncoder(nn.Module):
    """Causal self-attention over learned positions, normalised before each layer.

    Source: Kang & McAuley 2018, with the norms before the layers (Xiong et al. 2020) and no
    dropout on the attention weights.
    """

    def __init__(
        self,
        *,
        width: int,
        blocks: int,
        heads: int,
        feedforward_factor: int,
        dropout: float,
        max_length: int,
    ) -> None:
        super().__init__()
        self.max_length = max_length
        self.position = nn.Parameter(torch.empty(max_length, width))  # [L, D]
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(
            _AttentionBlock(width, heads, width * feedforward_factor, dropout)
            for _ in range(blocks)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, embedded: Tensor) -> Tensor:
        """Return the encoding of each position.

        Args:
            embedded: [B, L, D], L at most `max_length`.

        Returns:
            [B, L, D]
        """
        hidden = self.dropout(embedded + self.position[: embedded.shape[1]])  # [B, L, D]
        for block in self.blocks:
            hidden = block(hidden)
        encoded: Tensor = self.norm(hidden)
        return encoded

    def last(self, embedded: Tensor, lengths: Tensor) -> Tensor:
        """Return the encoding of each row's last position alone, at a part of the cost.

        Args:
            embedded: [B, L, D]
            lengths: [B], at least 1.

        Returns:
            [B, D]
        """
        hidden = self.dropout(embedded + self.position[: embedded.shape[1]])  # [B, L, D]
        for block in self.blocks[:-1]:
            hidden = block(hidden)
        final = cast(_AttentionBlock, self.blocks[-1])
        encoded: Tensor = self.norm(final.last(hidden, lengths))
        return encoded


class _AttentionBlock(nn.Module):
    def __init__(self, width: int, heads: int, inner_width: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.feedforward_norm = nn.LayerNorm(width)
        self.feedforward_in = nn.Linear(width, inner_width)
        self.feedforward_out = nn.Linear(inner_width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor) -> Tensor:
        hidden = hidden + self.dropout(self._attend(self.attention_norm(hidden)))  # [B, L, D]
        return self._feed_forward(hidden)

    def last(self, hidden: Tensor, lengths: Tensor) -> Tensor:
        """Return what `forward` does at each row's last position: [B, L, D], [B] -> [B, D]."""
        rows, length, width = hidden.shape
        normed = self.attention_norm(hidden)  # [B, L, D]
        at_end = (torch.arange(rows, device=hidden.device), lengths - 1)
        weight, bias = self.query_key_value.weight, self.query_key_value.bias
        query = F.linear(normed[at_end], weight[:width], bias[:width])  # [B, D]
        key_value = F.linear(normed, weight[width:], bias[width:])  # [B, L, 2 D]
        shape = (rows, length, 2, self.heads, width // self.heads)
        key, value = key_value.view(shape).permute(2, 0, 3, 1, 4)  # each [B, H, L, D / H]
        is_there = torch.arange(length, device=hidden.device) < lengths[:, None]  # [B, L]
        mixed = F.scaled_dot_product_attention(
            query.view(rows, self.heads, 1, -1), key, value, attn_mask=is_there[:, None, None]
        )  # [B, H, 1, D / H]
        attended = self.attention_out(mixed.reshape(rows, width))  # [B, D]
        return self._feed_forward(hidden[at_end] + self.dropout(attended))

    def _feed_forward(self, hidden: Tensor) -> Tensor:
        inner = F.gelu(self.feedforward_in(self.feedforward_norm(hidden)))  # [..., inner]
        outcome: Tensor = self.feedforward_out(self.dropout(inner))  # [..., D]
        result: Tensor = hidden + self.dropout(outcome)
        return result

    def _attend(self, hidden: Tensor) -> Tensor:
        rows, length, width = hidden.shape
        projected = self.query_key_value(hidden)  # [B, L, 3 D]
        shape = (rows, length, 3, self.heads, width // self.heads)
        query, key, value = projected.view(shape).permute(2, 0, 3, 1, 4)  # each [B, H, L, D / H]
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        joined = mixed.transpose(1, 2).reshape(rows, length, width)  # [B, L, D]
        attended: Tensor = self.attention_out(joined)
        return attended


def initialise(module: nn.Module, *, init: str, embedding_std: float) -> None:
    """Set all weights: dense layers by the named rule, embeddings and positions N(0, std).

    Norms start as the identity, biases at zero. The names are those of `train.model.init`.
    """
    rules: dict[str, Callable[[Tensor], Tensor]] = {
        "xavier_uniform": nn.init.xavier_uniform_,
        "xavier_normal": nn.init.xavier_normal_,
        "normal": partial(nn.init.normal_, std=0.02),
    }
    for name, parameter in module.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
        elif "norm" in name:
            nn.init.ones_(parameter)
        elif name.endswith(("position", "item_embedding.weight")):
            nn.init.normal_(parameter, std=embedding_std)
        else:
            rules[init](parameter)
