"""The configuration's section `etl`: which rows are used, and how they become a dataset."""

import re
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Annotated, Literal

from pydantic import Field, model_validator

from conf.settings.features import Features, Impressions
from conf.settings.section import Positive, Section, Share

NotNegative = Annotated[int, Field(ge=0)]
MAX_CONFIDENCE = 1e9
"""Events with a larger confidence are quarantined; it is far above any sensible one."""
# Reasons in the ledger that can have a budget; each field adds two, see `field_rules`.
RULES = (
    "redelivered_file", "file_damaged", "line_unparsable", "erased", "user_missing",
    "item_missing", "id_missing",
    "time_unparsable", "time_too_early", "time_in_future", "value_unparsable", "price_negative",
    "value_out_of_range", "confidence_out_of_range", "after_logical_date",
    "outside_window", "item_excluded",
    "event_type_not_used", "below_threshold", "duplicate", "near_duplicate", "cancelled",
    "cancellation", "cancellation_unmatched", "bot_per_minute", "bot_per_hour", "bot",
    "bot_in_total", "repeated_item", "answered",
)  # fmt: skip


class Confidence(Section):
    """How sure the value of an event makes us that the user wants the item."""

    field: str = "value"
    """The event's value, or a field of type number or integer of `input.events.NAME.fields`: hours
    played, a quantity, a rating."""
    transform: Literal["identity", "log1p", "binary"] = "log1p"
    """What becomes of the value. identity: it stays. log1p: ln(1 + value). binary: 1 from
    `threshold` on, else 0. With identity and log1p, events with a value below 0 are quarantined."""
    threshold: float | None = None
    """With binary, smallest value that becomes 1; null: every value above 0 does."""
    missing: Annotated[float, Field(ge=0, le=MAX_CONFIDENCE)] = 1.0
    """What an event without the value has instead of the transformed value."""

    @model_validator(mode="after")
    def _threshold_is_used(self) -> "Confidence":
        if self.threshold is not None and self.transform != "binary":
            raise ValueError(
                f"threshold={self.threshold} is for transform=binary, but transform="
                f"{self.transform}; use binary, or set threshold to null"
            )
        return self


class EventType(Section):
    """One type of event: a view, a purchase."""

    weight: Annotated[float, Field(ge=0, le=1e6)] = 1.0
    """Confidence in such an event, relative to other types: its weight as a training target of a
    network, and in all counting models. 0: the event says nothing, as with a dislike: it is in the
    history, and its item counts as seen, but it is no target and no reason to recommend
    anything."""
    confidence: Confidence | None = None
    """Factor of the weight that depends on the event's value; null: all such events count the
    same."""
    min_value: float | None = None
    """Smallest value; events with a smaller value, or without one, are dropped. null: no limit."""
    shown_only: bool = False
    """Whether such an event only shows an item to the user. Then it is an impression, but in no
    history and no target. Needs `etl.impressions.negatives: logged`."""


class Split(Section):
    """How the log is divided into the training, validation and test part."""

    kind: Literal["leave_one_out", "leave_last_n", "temporal", "random", "given"] = "leave_one_out"
    """leave_one_out: each user's last event is the test, the one before it the validation.
    leave_last_n: each user's last `etl.split.num_targets` events are the test, as many before them
    the validation; the history of each is all events before it.
    temporal: two instants cut the log for all users; a user's first event after a cut is the
    target, all events before the cut are its history. Needs a log with times.
    random: `etl.split.num_targets` events of each user are drawn for each of test and validation.
    Training then sees events after a target; use it only to compare with figures made this way.
    given: each log of `input.events` is one part; all events of the validation and test part are
    targets, the earlier parts are their history."""
    num_targets: Positive = 1
    """Targets of a user in each of validation and test, with the kinds leave_last_n and random.
    Users with too few events (less than twice this number plus one) are in the training part
    only."""
    ties: Literal["split", "together"] = "split"
    """What happens to a user's events of the same instant, whose order the log does not tell.
    split: they have an order drawn at random for each user, so an instant may lie in two parts, and
    a target's history may contain events of its own instant. together: an instant is in one part;
    where other settings count targets they count instants, all events of an instant are targets,
    and the history of each is all earlier instants. Excludes the kind given."""
    cold_users: Literal["keep", "drop"] = "keep"
    """Whether users without an event in the training part are measured."""
    cold_items: Literal["keep", "drop"] = "keep"
    """Whether targets are measured whose item has no event in the training part."""
    valid_from: date | None = None
    """First day (UTC) of the validation part of a temporal split; null: see
    `etl.split.valid_share`."""
    test_from: date | None = None
    """First day (UTC) of the test part of a temporal split; null: see `etl.split.test_share`."""
    valid_share: Share = 0.1
    """Share of all events in the validation part of a temporal split. No effect with
    `etl.split.valid_from`."""
    test_share: Share = 0.1
    """Share of all events in the test part of a temporal split. No effect with
    `etl.split.test_from`."""

    @property
    def is_in_time_order(self) -> bool:
        """Whether a user's test events are the newest, and the training events the oldest."""
        return self.kind not in ("random", "given")


class LeakCheck(Section):
    """A check that reads the raw log again and shows for a sample that no row knows the future."""

    users: Positive = 200
    """Users whose rows are computed again."""
    items: Positive = 200
    """Items of the vocabulary whose events are counted again."""
    impressions: Positive = 1000
    """Impressions of those users that are computed again."""


def acts_differ(event_types: Iterable[EventType]) -> bool:
    """Return whether acts can have different confidences; otherwise all of them count as 1."""
    acts = [kind for kind in event_types if not kind.shown_only]
    return len({kind.weight for kind in acts}) > 1 or any(kind.confidence for kind in acts)


def shown_types(event_types: Mapping[str, EventType]) -> list[int]:
    """Return the numbers of the event types that only show an item."""
    return [number for number, kind in enumerate(event_types.values()) if kind.shown_only]


class Budget(Section):
    """Limits for the rows that one rule removes."""

    warn_above: Share | None = None
    """Share of an input's rows; if the rule removes more, the ledger gets a warning. null: no
    limit."""
    stop_above: Share | None = None
    """Share of an input's rows; if the rule removes more, the run stops. null: no limit."""


class Cancellations(Section):
    """What marks an event as the cancellation of an earlier one; one mark is enough."""

    negative_value: bool = False
    """Whether a value below zero marks a cancellation; the value is a quantity then."""
    event_types: tuple[str, ...] = ()
    """Event types that are cancellations. They must not be in `etl.event_types`."""
    id_prefix: str | None = None
    """First characters of the ids of cancelling orders; null: ids mark nothing."""
    id_field: str | None = None
    """Field of `input.events.NAME.fields` that holds the order's id; null: the column
    `input.events.NAME.columns.event_id`."""
    cancelled_types: tuple[str, ...] = ()
    """Types of `etl.event_types` that can be cancelled; []: all."""

    @property
    def is_on(self) -> bool:
        """Whether anything marks a cancellation."""
        return self.negative_value or bool(self.event_types) or self.id_prefix is not None


class Clean(Section):
    """Which events are wrong (quarantined) or not wanted (dropped)."""

    earliest_time: date = date(1980, 1, 1)
    """Events before this day (UTC) are quarantined; most often their time unit is wrong."""
    latest_time: date | None = None
    """Events after this day (UTC) are quarantined: they are in the future. null: the day on which
    the newest file of the log was written. A log with the format table needs a day."""
    clock_skew_seconds: NotNegative = 0
    """Tolerance after `etl.clean.latest_time`: later events within it are not quarantined."""
    keep_from: date | None = None
    """Events before this day (UTC) are dropped; null: no limit."""
    keep_to: date | None = None
    """Events after this day (UTC) are dropped; null: no limit."""
    allow_negative_value: bool = False
    """Whether values below zero are allowed; if not, such events are quarantined."""
    min_value: float | None = None
    """Events with a smaller value are quarantined, except cancellations; null: no limit."""
    max_value: float | None = None
    """Events with a larger value are quarantined, except cancellations; null: no limit."""
    id_normal_form: Literal["none", "nfc"] = "none"
    """none: ids keep their bytes. nfc: ids of users, items and events that differ only in how
    accents are composed become one (Unicode NFC; needs Spark 4)."""
    trim_ids: bool = False
    """Whether white space and invisible characters (no-break and zero-width spaces, byte order
    marks) are removed from both ends of the ids of users, items and events, in logs and tables. If
    not, the ledger has a warning about ids with such ends."""
    item_pattern: str | None = None
    """Regular expression that the whole item id must match; other events are dropped, such as the
    postage in a log of purchases. null: all ids match."""
    duplicate_seconds: NotNegative | None = None
    """A user's event with the same type and item is dropped if it follows the one before within
    this number of seconds, whatever its value; null: only equal events are dropped."""
    cancellations: Cancellations = Cancellations()
    """Events that cancel earlier ones: both are dropped."""
    max_events_per_user_minute: Positive | None = None
    """Users with more events in any minute (UTC) lose all their events; null: no limit."""
    max_events_per_user_hour: Positive | None = None
    """Users with more events in any hour (UTC) lose all their events; null: no limit."""
    max_events_per_user_day: Positive | None = None
    """Users with more events on any day (UTC) lose all their events, as bots; null: no limit."""
    max_events_per_user: Positive | None = None
    """Users with more events in total lose all their events; null: no limit."""
    max_bad_share: Share = 0.2
    """Largest share of an input's rows in quarantine; with more the run stops."""
    budgets: dict[str, Budget] = {}
    """Limits for single rules, by their reason in the ledger (user_missing, duplicate)."""

    @model_validator(mode="after")
    def _pattern_can_be_read(self) -> "Clean":
        try:
            re.compile(self.item_pattern or "")
        except re.error as error:
            raise ValueError(f"item_pattern is not a regular expression: {error}") from error
        return self


class Etl(Section):
    """How the raw log becomes a dataset."""

    event_types: Annotated[dict[str, EventType], Field(min_length=1)]
    """Event types that are used, by their text in the log; events of other types are dropped."""
    clean: Clean = Clean()
    """Which events are quarantined or dropped."""
    min_events_per_user: Positive = 1
    """Fewest events of a user (k-core): users with fewer are dropped. Users and items are dropped
    in turns until none has too few."""
    min_events_per_item: Positive = 1
    """Fewest events of an item (k-core): items with fewer are dropped, in turns with the users."""
    repeated_items: Literal["keep", "first", "last", "strongest"] = "keep"
    """Which of a user's several events with one item are kept. keep: all. first, last: the first or
    the last, whatever its type. strongest: the last of those whose type has the largest
    `etl.event_types.NAME.weight`, with its own time and value."""
    session_gap_minutes: Positive | None = None
    """Longest gap in minutes between two events of one session; null: the log has no sessions."""
    split: Split = Split()
    """The training, validation and test part."""
    features: Features = Features()
    """How fields become features."""
    impressions: Impressions | None = None
    """Rows for a ranking model; null: none."""
    history_features: tuple[str, ...] = ()
    """Fields of `etl.features.events.encodings` that each event of a history has next to its item,
    type and time: device, channel, price paid. If the dataset extends another one, new categories
    get the next free numbers."""
    leak_check: LeakCheck | None = LeakCheck()
    """Check of a temporal split before the dataset is committed; null: none."""
    vocabulary: Literal["fresh", "extend"] = "fresh"
    """Numbering of users and items. fresh: a new one. extend: users and items of the newest
    published dataset keep their numbers, new ones follow, and fitted encodings are reused. With
    `--date`, only datasets of earlier logical dates count."""
    catalogue: Literal["log", "table"] = "log"
    """Items that have a number and can be recommended. log: those of the training part. table: also
    those that only `input.items` has; a model can know them by their features only. table needs
    `input.items`, and excludes `etl.impressions.negatives: uniform` and
    `privacy.min_users_per_item` above 1."""
    window_length: Positive = 50
    """Most targets in one training row; longer histories are cut into several rows."""
    windows: Literal["all", "last"] = "all"
    """Which rows of a history are trained on: all, or only the newest."""
    row_group_rows: Positive = 50_000
    """Most rows in one Parquet row group."""


def field_rules(field: str) -> tuple[str, str]:
    """Return the reasons of a declared field with a type, a range or a list of allowed texts."""
    return f"{field}_unparsable", f"{field}_out_of_range"
