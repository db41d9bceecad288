"""What the training part holds as a whole, and the refusal of one without an event."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow.compute as pc

from conf.contract import TRAIN_EVENTS, TRAIN_WEIGHT
from conf.errors import InputError
from etl.spark.folders import stored_batches


@dataclass(frozen=True)
class Training:
    """The sums over all items."""

    items: int
    """Number of items, those without training events included."""
    events: int
    weight: float | None
    """Sum of the confidences; None if events do not differ in them."""


def read_training(folder: Path) -> Training:
    """Return the sums over the stored rows of `number_items`."""
    items = events = 0
    weight: float | None = None
    for batch in stored_batches(folder, [TRAIN_EVENTS, TRAIN_WEIGHT]):
        items += batch.num_rows
        events += pc.sum(batch[TRAIN_EVENTS], min_count=0).as_py()
        if TRAIN_WEIGHT in batch.schema.names:
            weight = (weight or 0.0) + pc.sum(batch[TRAIN_WEIGHT], min_count=0).as_py()
    return Training(items, events, weight)


def require_some_training(training: Training, split_kind: str, *, is_extended: bool) -> None:
    """Refuse a dataset without a training event, unless it extends one that has items.

    Raises:
        InputError: With cause and fix, by `etl.split.kind`.
    """
    if training.events or (is_extended and training.items):
        return
    fixes = {
        "temporal": "set later days in etl.split.valid_from and test_from, or lower shares",
        "given": "add rows to the logs with part: train",
    }
    if split_kind in fixes:
        raise InputError(
            f"no event is in the training part, because etl.split ({split_kind}) puts all into "
            f"validation and test; {fixes[split_kind]}"
        )
    raise InputError(
        "no event is in the training part: all events that are left only show items "
        "(etl.event_types.NAME.shown_only), so they are in no history; add the events of users "
        "who act on items"
    )
