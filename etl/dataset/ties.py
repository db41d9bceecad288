"""Events of one user at the same instant: how many there are, and what to say about them."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from conf.contract import HISTORY_TIMES
from conf.workspace.instants import num_tied
from etl.spark.times import MICROS_PER_DAY

_MANY = 0.1


@dataclass(frozen=True)
class Ties:
    """The times of the events in some histories."""

    events: int
    tied: int
    """Events that have the time of another event of their user."""
    whole_days: bool
    """Whether all events have the same time of day, so that their times are only days."""

    def warnings(self, *, is_dated: bool, ties: str) -> tuple[str, ...]:
        """Return what a person should know about the order of the events.

        Args:
            is_dated: Whether the times are times, not order numbers.
            ties: `etl.split.ties`.
        """
        told = []
        if is_dated and self.whole_days and self.events > 1:
            told.append("the times are days without a time of day")
        if self.tied > _MANY * self.events:
            told.append(
                f"{self.tied:,} of {self.events:,} events ({self.tied / self.events:.0%}) happened "
                "at the same time as another event of their user; the order among these is drawn "
                "at random, so it says nothing to a model of sequences"
            )
            if ties == "split":
                told.append(
                    "such events may lie in training and test: etl.split.ties=together prevents it"
                )
        return ("; ".join(told),) if told else ()


def read_ties(folder: Path) -> Ties:
    """Return the facts about the Parquet files of `histories/`."""
    events = tied = 0
    times_of_day: set[int] = set()
    for path in sorted(folder.glob("*.parquet")):
        for batch in pq.ParquetFile(path).iter_batches(columns=[HISTORY_TIMES]):
            times = batch[HISTORY_TIMES].flatten().to_numpy()
            events += len(times)
            tied += num_tied(batch)
            if len(times_of_day) < 2:
                times_of_day.update(pc.unique(times % MICROS_PER_DAY).to_pylist()[:2])
    return Ties(events, tied, whole_days=len(times_of_day) == 1)
