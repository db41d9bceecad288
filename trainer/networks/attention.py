"""Self-attention over a history: causal, and bidirectional with masked targets.

Pure torch. Histories are padded at the end, so no event sees padding.

Legend of shapes: B rows, L length, D width, H heads, E width of a head.
"""

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.networks.history_encoder import Changed, HistoryEncoder

_ROTARY_BASE = 10_000.0


class AttentionEncoder(HistoryEncoder):
    """Causal self-attention, normalised before each layer.

    Source: Kang & McAuley 2018, with the norms before the layers (Xiong et al. 2020) and no
    dropout on the attention weights. Rotary positions: Su et al. 2021, eq. 34. Gated: each layer's
    output is multiplied by a gate, the sigmoid of a linear map of the layer's input, as in the LiGR
    layer (Borisyuk et al. 2025) and similar to HSTU's gating (Zhai et al. 2024).
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
        positions: str = "learned",
        is_gated: bool = False,
    ) -> None:
        """Make the layers.

        Args:
            width: D
            blocks: Number of blocks: an attention layer and a feed-forward layer each.
            heads: H, which must divide D.
            feedforward_factor: Inner width of the feed-forward layers, divided by D.
            dropout: Share of values dropped in training.
            max_length: Length of the longest history.
            positions: `learned`, `rotary` or `none`.
            is_gated: Whether each layer's output is gated.
        """
        super().__init__()
        self.max_length = max_length
        if positions == "learned":
            self.position = nn.Parameter(torch.empty(max_length, width))  # [L, D]
        self.has_positions = positions == "learned"
        self.dropout = nn.Dropout(dropout)
        rotation = _rotation(max_length, width // heads) if positions == "rotary" else None
        self.register_buffer("rotation", rotation, persistent=False)  # [2, L, E / 2]
        self.blocks = nn.ModuleList(
            _AttentionBlock(width, heads, width * feedforward_factor, dropout, is_gated)
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
        hidden = self.placed(embedded)
        for block in self.blocks:
            hidden = block(hidden, self.rotation_to(hidden))
        encoded: Tensor = self.norm(hidden)
        return encoded

    def last(self, embedded: Tensor, lengths: Tensor) -> Tensor:
        """Return only the encoding of each row's last position, at lower cost.

        Args:
            embedded: [B, L, D]
            lengths: [B], at least 1.

        Returns:
            [B, D]
        """
        hidden = self.placed(embedded)
        rotation = self.rotation_to(hidden)
        for block in self.blocks[:-1]:
            hidden = block(hidden, rotation)
        final = cast(_AttentionBlock, self.blocks[-1])
        encoded: Tensor = self.norm(final.last(hidden, lengths, rotation))
        return encoded

    def memory(self, embedded: Tensor) -> list[Tensor]:
        """Return each block's keys and values: each [B, 2, H, L, E]."""
        hidden = self.placed(embedded)
        rotation = self.rotation_to(hidden)
        found = []
        for number, block in enumerate(self.blocks):
            found.append(cast(_AttentionBlock, block).keys_and_values(hidden, rotation))
            if number < len(self.blocks) - 1:
                hidden = block(hidden, rotation)
        return found

    def last_of_changed(self, memory: list[Tensor], changed: Changed) -> Tensor:
        """See `HistoryEncoder`; for scoring, without dropout."""
        hidden = changed.rest  # [M, T, D]
        rows, length, _ = hidden.shape
        steps = torch.arange(length, device=hidden.device)  # [T]
        # The last of the rows may be padded beyond the longest history.
        places = (changed.shared[:, None] + steps).clamp(max=self.max_length - 1)  # [M, T]
        if self.has_positions:
            hidden = hidden + self.position[places]
        rotation: Tensor | None = self.rotation  # type: ignore[assignment]
        if rotation is not None:
            rotation = rotation[:, places][:, :, None]  # [2, M, 1, T, E / 2]
        most = changed.most_shared  # P
        is_shared = torch.arange(most, device=hidden.device) < changed.shared[:, None]  # [M, P]
        is_before = steps <= steps[:, None]  # [T, T]
        sees = torch.cat(
            [
                is_shared[:, None].expand(rows, length, most),
                is_before.expand(rows, length, length),
            ],
            dim=2,
        )  # [M, T, P + T]
        at_end = (torch.arange(rows, device=hidden.device), changed.lengths - 1)
        for number, (block, whole) in enumerate(zip(self.blocks, memory, strict=True)):
            before = whole[:, :, :, :most][changed.owner]  # [M, 2, H, P, E]
            asks = None if number < len(self.blocks) - 1 else at_end
            hidden = cast(_AttentionBlock, block).after(hidden, before, rotation, sees, asks)
        encoded: Tensor = self.norm(hidden)  # [M, D]
        return encoded

    def placed(self, embedded: Tensor) -> Tensor:
        """Return the input of the first block: [B, L, D] -> [B, L, D]."""
        if self.has_positions:
            embedded = embedded + self.position[: embedded.shape[1]]
        placed: Tensor = self.dropout(embedded)
        return placed

    def rotation_to(self, hidden: Tensor) -> Tensor | None:
        """Return the rotation of each position, or None if there is none: [2, L, E / 2]."""
        rotation: Tensor | None = self.rotation  # type: ignore[assignment]
        return None if rotation is None else rotation[:, : hidden.shape[1]]


class _AttentionBlock(nn.Module):
    def __init__(
        self, width: int, heads: int, inner_width: int, dropout: float, is_gated: bool
    ) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.feedforward_norm = nn.LayerNorm(width)
        self.feedforward_in = nn.Linear(width, inner_width)
        self.feedforward_out = nn.Linear(inner_width, width)
        self.dropout = nn.Dropout(dropout)
        self.attention_gate = nn.Linear(width, width) if is_gated else None
        self.feedforward_gate = nn.Linear(width, width) if is_gated else None

    def forward(
        self, hidden: Tensor, rotation: Tensor | None = None, is_there: Tensor | None = None
    ) -> Tensor:
        """Return the block's output: [B, L, D] -> [B, L, D]; causal if `is_there` is None."""
        normed = self.attention_norm(hidden)
        rows, length, width = hidden.shape
        shape = (rows, length, 3, self.heads, width // self.heads)
        query, key, value = self.query_key_value(normed).view(shape).permute(2, 0, 3, 1, 4)
        if rotation is not None:
            query, key = _rotated(query, rotation), _rotated(key, rotation)
        if is_there is None:
            mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        else:
            mask = is_there[:, None, None]  # [B, 1, 1, L]
            mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        joined = mixed.transpose(1, 2).reshape(rows, length, width)  # [B, L, D]
        return self._feed_forward(self._added(hidden, normed, self.attention_out(joined)))

    def last(self, hidden: Tensor, lengths: Tensor, rotation: Tensor | None) -> Tensor:
        """Return the output of `forward` at each row's last position: [B, L, D], [B] -> [B, D]."""
        rows, length, width = hidden.shape
        normed = self.attention_norm(hidden)  # [B, L, D]
        at_end = (torch.arange(rows, device=hidden.device), lengths - 1)
        weight, bias = self.query_key_value.weight, self.query_key_value.bias
        query = F.linear(normed[at_end], weight[:width], bias[:width])  # [B, D]
        query = query.view(rows, self.heads, 1, -1)  # [B, H, 1, E]
        key_value = F.linear(normed, weight[width:], bias[width:])  # [B, L, 2 D]
        shape = (rows, length, 2, self.heads, width // self.heads)
        key, value = key_value.view(shape).permute(2, 0, 3, 1, 4)  # each [B, H, L, E]
        if rotation is not None:
            key = _rotated(key, rotation)
            query = _rotated(query, rotation[:, lengths - 1][:, :, None, None])
        is_there = torch.arange(length, device=hidden.device) < lengths[:, None]  # [B, L]
        mixed = F.scaled_dot_product_attention(
            query, key, value, attn_mask=is_there[:, None, None]
        )  # [B, H, 1, E]
        attended = self.attention_out(mixed.reshape(rows, width))  # [B, D]
        return self._feed_forward(self._added(hidden[at_end], normed[at_end], attended))

    def keys_and_values(self, hidden: Tensor, rotation: Tensor | None) -> Tensor:
        """Return keys and values of all positions: [B, L, D] -> [B, 2, H, L, E]."""
        rows, length, width = hidden.shape
        weight, bias = self.query_key_value.weight[width:], self.query_key_value.bias[width:]
        found = F.linear(self.attention_norm(hidden), weight, bias)  # [B, L, 2 D]
        shape = (rows, length, 2, self.heads, width // self.heads)
        both = found.view(shape).permute(0, 2, 3, 1, 4)
        if rotation is None:
            return both.contiguous()
        return torch.stack([_rotated(both[:, 0], rotation), both[:, 1]], dim=1)

    def after(
        self,
        hidden: Tensor,
        before: Tensor,
        rotation: Tensor | None,
        sees: Tensor,
        asks: tuple[Tensor, Tensor] | None,
    ) -> Tensor:
        """Return the block's output at positions that follow P others.

        Args:
            hidden: [M, T, D]
            before: [M, 2, H, P, E] keys and values of the others.
            rotation: [2, M, 1, T, E / 2] of the positions; None: none.
            sees: [M, T, P + T] bool, which positions each sees.
            asks: The only positions to return, one of each row: [M] and [M]; None: all.

        Returns:
            [M, T, D], or [M, D] for the positions of `asks`.
        """
        rows, length, width = hidden.shape
        normed = self.attention_norm(hidden)  # [M, T, D]
        shape = (rows, length, 3, self.heads, width // self.heads)
        query, key, value = self.query_key_value(normed).view(shape).permute(2, 0, 3, 1, 4)
        if rotation is not None:
            query, key = _rotated(query, rotation), _rotated(key, rotation)
        key, value = torch.cat([before[:, 0], key], 2), torch.cat([before[:, 1], value], 2)
        if asks is not None:
            query = query[asks[0], :, asks[1]][:, :, None]  # [M, H, 1, E]
            hidden, normed, sees = hidden[asks], normed[asks], sees[asks][:, None]
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=sees[:, None])
        joined = mixed.transpose(1, 2).reshape(hidden.shape)
        return self._feed_forward(self._added(hidden, normed, self.attention_out(joined)))

    def _added(self, hidden: Tensor, normed: Tensor, attended: Tensor) -> Tensor:
        if self.attention_gate is not None:
            attended = attended * torch.sigmoid(self.attention_gate(normed))
        added: Tensor = hidden + self.dropout(attended)
        return added

    def _feed_forward(self, hidden: Tensor) -> Tensor:
        normed = self.feedforward_norm(hidden)
        inner = F.gelu(self.feedforward_in(normed))  # [..., inner]
        outcome: Tensor = self.feedforward_out(self.dropout(inner))  # [..., D]
        if self.feedforward_gate is not None:
            outcome = outcome * torch.sigmoid(self.feedforward_gate(normed))
        result: Tensor = hidden + self.dropout(outcome)
        return result


def _rotation(length: int, width: int) -> Tensor:
    """Return cosines and sines of each position's angles: [2, L, E / 2]."""
    speeds = _ROTARY_BASE ** (-torch.arange(0, width, 2).float() / width)  # [E / 2]
    angles = torch.arange(length)[:, None] * speeds  # [L, E / 2]
    return torch.stack([angles.cos(), angles.sin()])


def _rotated(vectors: Tensor, rotation: Tensor) -> Tensor:
    """Rotate each pair of values by its position's angle: [B, H, L, E] -> [B, H, L, E]."""
    cosines, sines = rotation.to(vectors.dtype)
    first, second = vectors.chunk(2, dim=-1)  # each [B, H, L, E / 2]
    turned = [first * cosines - second * sines, first * sines + second * cosines]
    return torch.cat(turned, dim=-1)


class BidirectionalEncoder(HistoryEncoder):
    """Self-attention over the whole history, in which some positions are masked and predicted.

    The next event is predicted at a masked position appended to the history. Source: Sun et al.
    2019 (BERT4Rec), with the norms before the layers; the first event of a row is never masked.
    """

    def __init__(self, *, width: int, max_length: int, **options: Any) -> None:
        """Make the layers.

        Args:
            width: D
            max_length: Length of the longest history; one more position is added for the mask.
            options: Other arguments of `AttentionEncoder`.
        """
        super().__init__()
        self.mask_vector = nn.Parameter(torch.empty(width))  # [D]
        self.layers = AttentionEncoder(width=width, max_length=max_length + 1, **options)

    def fill_in(self, embedded: Tensor, masked: Tensor, lengths: Tensor) -> Tensor:
        """Return the encoding of each position, computed without the masked events.

        Args:
            embedded: [B, L, D], L at most `max_length` + 1.
            masked: [B, L] bool.
            lengths: [B] number of events of each row, masked ones included.

        Returns:
            [B, L, D]
        """
        layers = self.layers
        embedded = torch.where(masked.unsqueeze(-1), self.mask_vector, embedded)
        hidden = layers.placed(embedded)
        rotation = layers.rotation_to(hidden)
        is_there = torch.arange(hidden.shape[1], device=hidden.device) < lengths[:, None]  # [B, L]
        for block in layers.blocks:
            hidden = block(hidden, rotation, is_there)
        encoded: Tensor = layers.norm(hidden)
        return encoded

    def last(self, embedded: Tensor, lengths: Tensor) -> Tensor:
        """Return the encoding of the position after each row: [B, L, D], [B] -> [B, D]."""
        behind = embedded.new_zeros((len(embedded), 1, embedded.shape[2]))
        longer = torch.cat([embedded, behind], dim=1)  # [B, L + 1, D]
        masked = torch.arange(longer.shape[1], device=embedded.device) == lengths[:, None]
        encoded = self.fill_in(longer, masked, lengths + 1)
        return encoded[torch.arange(len(embedded), device=embedded.device), lengths]
