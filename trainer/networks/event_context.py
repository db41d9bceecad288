"""Embeddings of an event's type, time and other features, in addition to its item.

Pure torch.

Legend of shapes: B rows, L length, D width, F features.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from trainer.networks.fields import FieldEmbedding, FieldSpec, Values
from trainer.networks.inputs import GAP_CLASSES, WEEK_HOURS, HistoryBatch

_DAY_HOURS = 24


class EventContext(nn.Module):
    """Vectors for the type, time and features of events; each part only if it is enabled."""

    def __init__(
        self,
        *,
        width: int,
        event_types: int,
        time_gaps: bool,
        calendar: bool,
        fields: Sequence[FieldSpec] = (),
    ) -> None:
        """Make the tables.

        Args:
            width: D
            event_types: Number of event types; 0: they are not used.
            time_gaps: Whether to use the time since the previous event.
            calendar: Whether to use the weekday and the hour of the day.
            fields: Features to use; each is categorical or a single number.
        """
        super().__init__()
        days = WEEK_HOURS // _DAY_HOURS
        self.type_embedding = nn.Embedding(event_types, width) if event_types else None
        self.gap_embedding = nn.Embedding(GAP_CLASSES, width) if time_gaps else None
        self.day_embedding = nn.Embedding(days, width) if calendar else None
        self.hour_embedding = nn.Embedding(_DAY_HOURS, width) if calendar else None
        self.specs = tuple(fields)
        self.features = FieldEmbedding(fields=fields, width=width) if fields else None

    @property
    def is_used(self) -> bool:
        """Whether any part is enabled."""
        return any(True for _ in self.children())

    def forward(self, batch: HistoryBatch) -> list[Tensor]:
        """Return the vectors to add to the item vectors: each [B, L, D]."""
        parts = []
        if self.type_embedding is not None:
            assert batch.type_idx is not None
            parts.append(self.type_embedding(batch.type_idx))
        if self.gap_embedding is not None:
            assert batch.gap_idx is not None
            parts.append(self.gap_embedding(batch.gap_idx))
        if self.day_embedding is not None and self.hour_embedding is not None:
            assert batch.hour_idx is not None
            parts.append(self.day_embedding(batch.hour_idx // _DAY_HOURS))
            parts.append(self.hour_embedding(batch.hour_idx % _DAY_HOURS))
        if self.features is not None:
            assert batch.feature_idx is not None and batch.feature_numbers is not None
            no_tags = batch.feature_idx.new_zeros((*batch.item_idx.shape, 0, 1))
            values = Values(batch.feature_idx, no_tags, batch.feature_numbers)
            parts.append(self.features(values).sum(-2))  # [B, L, F, D] -> [B, L, D]
        return parts
