"""The configuration's section `etl.clean`: which rows are right, and which are wanted."""

import re
from datetime import date
from typing import Annotated, Literal

from pydantic import Field, model_validator

from conf.section import Positive, Section, Share

NotNegative = Annotated[int, Field(ge=0)]

# Reasons of the ledger that a budget can be set for; fields add two each, see `field_rules`.
RULES = (
    "redelivered_file", "file_damaged", "line_unparsable", "erased", "user_missing",
    "item_missing", "id_missing",
    "time_unparsable", "time_too_early", "time_in_future", "value_unparsable", "price_negative",
    "value_out_of_range", "after_logical_date", "outside_window", "item_excluded",
    "event_type_not_used", "below_threshold", "duplicate", "near_duplicate", "cancelled",
    "cancellation", "cancellation_unmatched", "bot_per_minute", "bot_per_hour", "bot",
    "bot_in_total", "repeated_item", "answered",
)  # fmt: skip


def field_rules(field: str) -> tuple[str, str]:
    """Return the reasons of a declared field that has a type, a range or a list of texts."""
    return f"{field}_unparsable", f"{field}_out_of_range"


class Budget(Section):
    warn_above: Share | None = None
    """Share of an input's rows; more of them by this rule are a warning in the ledger."""
    stop_above: Share | None = None
    """Share of an input's rows; more of them by this rule stop the run."""


class Cancellations(Section):
    """What marks an event as the cancellation of an earlier one; one mark is enough."""

    negative_value: bool = False
    """A value below zero: then the value is a quantity."""
    event_types: tuple[str, ...] = ()
    """Types that are cancellations. They stand in no other list of types."""
    id_prefix: str | None = None
    """What the ids of cancelling orders begin with."""
    id_field: str | None = None
    """Declared field of the events that holds the order's id; null: columns.event_id."""
    cancelled_types: tuple[str, ...] = ()
    """Types that can be cancelled; empty: all."""

    @property
    def is_on(self) -> bool:
        """Whether anything marks a cancellation."""
        return self.negative_value or bool(self.event_types) or self.id_prefix is not None


class Clean(Section):
    earliest_time: date = date(1980, 1, 1)
    """Events before this day (UTC) are quarantined: most often a wrong time unit."""
    latest_time: date | None = None
    """Events after this day (UTC) are quarantined as future ones; null: after the day of the
    newest modification of the event files, which cannot hold what came later."""
    clock_skew_seconds: NotNegative = 0
    """An event counts as a future one only when it is more than this behind the latest time."""
    keep_from: date | None = None
    """Events before this day (UTC) are dropped; null: none."""
    keep_to: date | None = None
    """Events after this day (UTC) are dropped; null: none."""
    allow_negative_value: bool = False
    """Whether a value below zero is right."""
    min_value: float | None = None
    """Events with a smaller value are quarantined; cancellations are not."""
    max_value: float | None = None
    """Events with a larger value are quarantined; cancellations are not."""
    id_normal_form: Literal["none", "nfc"] = "none"
    """none: ids come back byte for byte. nfc: ids of users and items that differ only in how
    accents are composed become one (Unicode NFC; takes Spark 4)."""
    item_pattern: str | None = None
    """Regular expression: events with an item whose id it does not match as a whole are dropped,
    such as postage in a log of purchases; null: none."""
    duplicate_seconds: NotNegative | None = None
    """A user's event of the same type with the same item at most so long after the one before
    it is dropped, whatever its value; null: only equal events are."""
    cancellations: Cancellations = Cancellations()
    max_events_per_user_minute: Positive | None = None
    """All events of a user who has more than this in one minute (UTC) are dropped."""
    max_events_per_user_hour: Positive | None = None
    """All events of a user who has more than this in one hour (UTC) are dropped."""
    max_events_per_user_day: Positive | None = None
    """All events of a user who has more than this in one day are dropped as a bot's."""
    max_events_per_user: Positive | None = None
    """All events of a user who has more than this in total are dropped."""
    max_bad_share: Share = 0.2
    """More than this share of rows in quarantine stops the run."""
    budgets: dict[str, Budget] = {}
    """Limits for single rules, by the reason that the ledger gives (user_missing, duplicate)."""

    @model_validator(mode="after")
    def _pattern_can_be_read(self) -> "Clean":
        try:
            re.compile(self.item_pattern or "")
        except re.error as error:
            raise ValueError(f"item_pattern is no regular expression: {error}") from error
        return self
