"""Test targets that their user had before: how many there are, and what to say about them."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from conf.contract import HISTORY_ITEMS, TARGET_ITEM
from conf.workspace.seen_targets import num_seen

_MOST, _FEW_TARGETS = 0.5, 20


@dataclass(frozen=True)
class Seen:
    """The targets of the test part."""

    targets: int
    seen: int
    """Those whose item is in their history."""

    def warnings(self) -> tuple[str, ...]:
        """Return a warning if most targets can never be recommended without seen items."""
        if self.targets < _FEW_TARGETS or self.seen <= _MOST * self.targets:
            return ()
        return (
            f"{self.seen:,} of {self.targets:,} test targets ({self.seen / self.targets:.0%}) are "
            "items that their user had before: with score.drop_seen=true they cannot be "
            "recommended, and each is a miss; if people take the same item again, set "
            "score.drop_seen=false, else keep one event of each user and item with "
            "etl.repeated_items",
        )


def read_seen(folder: Path) -> Seen:
    """Return the facts about the Parquet files of `test/`."""
    targets = seen = 0
    for path in sorted(folder.glob("*.parquet")):
        for batch in pq.ParquetFile(path).iter_batches(columns=[HISTORY_ITEMS, TARGET_ITEM]):
            targets += batch.num_rows
            seen += num_seen(batch)
    return Seen(targets, seen)
