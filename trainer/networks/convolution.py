"""Convolutional encoders: dilated over the whole history, and over its newest events only.

Pure torch. Legend of shapes: B rows, L length, D width, W window, K kernel size, G vertical
filters, M horizontal filters of each height.
"""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.networks.history_encoder import HistoryEncoder


class Convolution(nn.Conv1d):
    """A convolution over positions, which always runs in single precision on CPUs.

    In bfloat16, oneDNN's threads on CPUs wait for one another without releasing their cores. If a
    core is shared, or a container may use fewer cores than it sees, training almost stops.
    """

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the convolved inputs: [N, D, L] -> [N, M, L']."""
        if inputs.device.type != "cpu":
            return super().forward(inputs)
        with torch.autocast("cpu", enabled=False):
            return super().forward(inputs.float())


class DilatedEncoder(HistoryEncoder):
    """Residual blocks of two dilated causal convolutions.

    Source: Yuan et al. 2019 (NextItNet), the residual block of fig. 3b: dilations d and 2 d, the
    sequence of d repeated over the blocks.
    """

    def __init__(
        self,
        *,
        width: int,
        blocks: int,
        kernel_size: int,
        dilations: tuple[int, ...],
        dropout: float,
    ) -> None:
        """Make the layers.

        Args:
            width: D
            blocks: Number of residual blocks.
            kernel_size: K
            dilations: Dilations of the blocks, repeated in turn.
            dropout: Share of values dropped in training.
        """
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(
            _DilatedBlock(width, kernel_size, dilations[block % len(dilations)], dropout)
            for block in range(blocks)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, embedded: Tensor) -> Tensor:
        """Return the encoding of each position: [B, L, D] -> [B, L, D]."""
        hidden = self.dropout(embedded)
        for block in self.blocks:
            hidden = block(hidden)
        encoded: Tensor = self.norm(hidden)
        return encoded

    def last(self, embedded: Tensor, lengths: Tensor) -> Tensor:
        """Return the encoding of each row's last position: [B, L, D], [B] -> [B, D].

        Only the positions that the last one depends on are computed.
        """
        blocks = [cast(_DilatedBlock, block) for block in self.blocks]
        wanted = [[0]]  # positions, counted backwards from the last one
        for block in reversed(blocks):
            read = {*_reached(block.first, _reached(block.second, wanted[0])), *wanted[0]}
            wanted.insert(0, sorted(place for place in read if place < embedded.shape[1]))
        before = torch.tensor(wanted[0], device=embedded.device)  # [P]
        places = (lengths[:, None] - 1 - before).clamp(min=0)[..., None]  # [B, P, 1]
        hidden = self.dropout(embedded).gather(1, places.expand(-1, -1, embedded.shape[2]))
        for block, given, found in zip(blocks, wanted, wanted[1:], strict=False):
            hidden = block.at(hidden, given, found, lengths)
        encoded: Tensor = self.norm(hidden[:, 0])
        return encoded


class _DilatedBlock(nn.Module):
    def __init__(self, width: int, kernel_size: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.first = Convolution(width, width, kernel_size, dilation=dilation)
        self.second = Convolution(width, width, kernel_size, dilation=2 * dilation)
        self.first_norm, self.second_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor) -> Tensor:
        inner = F.relu(self.first_norm(_causal(self.first, hidden)))
        inner = F.relu(self.second_norm(_causal(self.second, inner)))
        result: Tensor = hidden + self.dropout(inner)
        return result

    def at(self, hidden: Tensor, given: list[int], wanted: list[int], lengths: Tensor) -> Tensor:
        """Return the output at some positions, counted backwards from each row's last.

        Args:
            hidden: [B, P, D] input at the given positions; any value before a row's first.
            given: [P] positions; one that is not given is before the first of every row.
            wanted: [Q] positions to return.
            lengths: [B]

        Returns:
            [B, Q, D]
        """
        inside = [place for place in _reached(self.second, wanted) if place <= max(given)]  # [I]
        inner = _convolved_at(self.first, hidden, given, inside, lengths)  # [B, I, D]
        inner = F.relu(self.first_norm(inner))
        inner = _convolved_at(self.second, inner, inside, wanted, lengths)  # [B, Q, D]
        inner = F.relu(self.second_norm(inner))
        result: Tensor = hidden[:, [given.index(place) for place in wanted]] + self.dropout(inner)
        return result


class CaserEncoder(HistoryEncoder):
    """Horizontal and vertical filters over the window of newest events at each position.

    Source: Tang & Wang 2018 (Caser), eq. 3 to 10, without the user's embedding, because a user who
    is new since the training has none.
    """

    def __init__(
        self,
        *,
        width: int,
        window: int,
        vertical_filters: int,
        horizontal_filters: int,
        dropout: float,
    ) -> None:
        """Make the filters.

        Args:
            width: D
            window: W, newest events that a position sees.
            vertical_filters: G, each a weighted sum over the window.
            horizontal_filters: M of each height from 1 to W, pooled over the window.
            dropout: Share of values dropped in training.
        """
        super().__init__()
        self.window = window
        self.vertical = nn.Linear(window, vertical_filters, bias=False)
        self.horizontal = nn.ModuleList(
            Convolution(width, horizontal_filters, height) for height in range(1, window + 1)
        )
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(vertical_filters * width + horizontal_filters * window, width)

    def forward(self, embedded: Tensor) -> Tensor:
        """Return the encoding of each position: [B, L, D] -> [B, L, D]."""
        rows, length, width = embedded.shape
        padded = F.pad(embedded, (0, 0, self.window - 1, 0))  # [B, L + W - 1, D]
        windows = padded.unfold(1, self.window, 1)  # [B, L, D, W]
        return self._encoded(windows.reshape(rows * length, width, self.window)).view(
            rows, length, width
        )

    def last(self, embedded: Tensor, lengths: Tensor) -> Tensor:
        """Return the encoding of each row's last position: [B, L, D], [B] -> [B, D]."""
        padded = F.pad(embedded, (0, 0, self.window - 1, 0))  # [B, L + W - 1, D]
        places = lengths[:, None] - 1 + torch.arange(self.window, device=embedded.device)  # [B, W]
        rows = torch.arange(len(embedded), device=embedded.device)[:, None]
        return self._encoded(padded[rows, places].transpose(1, 2))

    def _encoded(self, windows: Tensor) -> Tensor:
        """Return the encoding of windows: [N, D, W] -> [N, D]."""
        pooled = [F.relu(filters(windows)).amax(2) for filters in self.horizontal]  # each [N, M]
        summed = self.vertical(windows).flatten(1)  # [N, D G]
        encoded: Tensor = F.relu(self.out(self.dropout(torch.cat([summed, *pooled], dim=1))))
        return encoded


def _causal(convolution: Convolution, hidden: Tensor) -> Tensor:
    """Apply a convolution so that no position sees later ones: [B, L, D] -> [B, L, D]."""
    before = (convolution.kernel_size[0] - 1) * convolution.dilation[0]
    convolved: Tensor = convolution(F.pad(hidden.transpose(1, 2), (before, 0)))
    return convolved.transpose(1, 2)


def _reached(convolution: Convolution, wanted: list[int]) -> list[int]:
    """Return the positions that a convolution reads for some: [Q] -> [P], backwards."""
    taps = [tap * convolution.dilation[0] for tap in range(convolution.kernel_size[0])]
    return sorted({place + tap for place in wanted for tap in taps})


def _convolved_at(
    convolution: Convolution, hidden: Tensor, given: list[int], wanted: list[int], lengths: Tensor
) -> Tensor:
    """Apply a causal convolution at some positions only: [B, P, D] -> [B, Q, D].

    Args:
        convolution: The layer.
        hidden: [B, P, D] inputs; those before a row's first position count as 0.
        given: [P] positions of the inputs, counted backwards from each row's last.
        wanted: [Q] positions to compute.
        lengths: [B]
    """
    is_there = torch.tensor(given, device=hidden.device) < lengths[:, None]  # [B, P]
    hidden = F.pad(hidden * is_there[..., None], (0, 0, 0, 1))  # [B, P + 1, D], zeros at the end
    column = {place: number for number, place in enumerate(given)}
    size, dilation = convolution.kernel_size[0], convolution.dilation[0]
    taps = [tap * dilation for tap in range(size - 1, -1, -1)]  # [K], oldest first
    read = [column.get(place + tap, len(given)) for place in wanted for tap in taps]  # [Q K]
    values = hidden.index_select(1, torch.tensor(read, device=hidden.device))  # [B, Q K, D]
    weight = convolution.weight.transpose(1, 2).flatten(1)  # [D, K D]
    return F.linear(values.view(len(hidden), len(wanted), -1), weight, convolution.bias)
