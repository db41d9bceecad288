"""The configuration's section `etl`: what becomes of the rows."""

import re
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Literal

from pydantic import Field, model_validator

from conf.settings.features import Features, Impressions
from conf.settings.section import Positive, Section, Share


class EventType(Section):
    weight: Annotated[float, Field(gt=0)] = 1.0
    """Weight of such an event as a training target."""
    min_value: float | None = None
    """Events with a smaller value, or with none, are dropped."""
    shown_only: bool = False
    """Whether such an event only shows an item to the user: then it stands in no history, is no
    target, and is an impression alone. Takes `etl.impressions.negatives: logged`."""


class Split(Section):
    kind: Literal["leave_one_out", "leave_last_n", "temporal", "random", "given"] = "leave_one_out"
    """leave_one_out: a user's last event is the test, the one before it the validation.
    leave_last_n: the last `num_targets` events are the test, as many before them the validation;
    each is a target with all events before it as history.
    temporal: two instants cut the log for everybody; a user's first event behind a cut is the
    target, all events before the cut the history.
    random: `num_targets` events each are drawn, which shows training what came later: for
    comparison with figures made that way only.
    given: each log of `input.events` is one part and says which; all events of the validation
    and the test part are targets, with the parts before theirs as history."""
    num_targets: Positive = 1
    """leave_last_n and random: targets of a user in each of validation and test. Users with
    fewer than twice as many events and one more are in the training part alone."""
    cold_users: Literal["keep", "drop"] = "keep"
    """Whether users without an event in the training part are measured."""
    cold_items: Literal["keep", "drop"] = "keep"
    """Whether targets are measured whose item is not in the training part, so that no model
    can know it."""
    valid_from: date | None = None
    """First day (UTC) of the validation part of a temporal split."""
    test_from: date | None = None
    """First day (UTC) of the test part of a temporal split."""
    valid_share: Share = 0.1
    """Where the days are null: share of events between the two cuts."""
    test_share: Share = 0.1
    """Where the days are null: share of events behind the second cut."""

    @property
    def is_in_time_order(self) -> bool:
        """Whether a user's test events are the newest and the training ones the oldest."""
        return self.kind not in ("random", "given")


class LeakCheck(Section):
    """A second reading of the raw log that proves on a sample that nothing tells the future."""

    users: Positive = 200
    """Users whose rows are worked out anew."""
    items: Positive = 200
    """Items of the vocabulary that are counted anew."""
    impressions: Positive = 1000
    """Impressions of those users that are worked out anew."""


def shown_types(event_types: Mapping[str, EventType]) -> list[int]:
    """Return the numbers of the types that only show an item."""
    return [number for number, kind in enumerate(event_types.values()) if kind.shown_only]


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


NotNegative = Annotated[int, Field(ge=0)]


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


class Etl(Section):
    event_types: Annotated[dict[str, EventType], Field(min_length=1)]
    """Types that are used, with their weights; others are dropped."""
    clean: Clean = Clean()
    min_events_per_user: Positive = 1
    """k-core: users with fewer events are dropped, again and again until none is left."""
    min_events_per_item: Positive = 1
    """k-core: items with fewer events are dropped, likewise."""
    repeated_items: Literal["keep", "first", "last"] = "keep"
    """What of several events of one user with one item stays."""
    session_gap_minutes: Positive | None = None
    """A user's event more than this after the one before it begins a session; null: sessions
    are not counted."""
    split: Split = Split()
    features: Features = Features()
    impressions: Impressions | None = None
    """null: no rows for a ranking model."""
    history_features: tuple[str, ...] = ()
    """Fields of the events, of `features.events.encodings`, that every event of a history tells
    beside its item, type and time: device, channel, price paid. Categories are numbered from the
    training part; with `vocabulary: extend` new ones get numbers behind the old ones."""
    leak_check: LeakCheck | None = LeakCheck()
    """Of a temporal split, before the dataset is committed; null: none."""
    vocabulary: Literal["fresh", "extend"] = "fresh"
    """fresh: users and items are numbered anew. extend: those of the newest published dataset (of
    an earlier logical date, where one is given) keep their numbers, new ones follow, and what was
    fitted stays as it is."""
    catalogue: Literal["log", "table"] = "log"
    """Items that have a number and can be recommended. log: those of the training part. table: also
    those that the table of items has and the training part lacks, which a model can know by their
    features alone."""
    window_length: Positive = 50
    """Targets in one training row: longer histories are cut into several rows."""
    windows: Literal["all", "last"] = "all"
    """Whether all windows of a history are trained on, or the newest alone."""
    row_group_rows: Positive = 50_000
    """Most rows in one Parquet row group."""


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
