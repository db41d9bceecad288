"""The configuration's section `etl`: what becomes of the rows."""

from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from conf.feature_schema import Features, Impressions
from conf.section import Positive, Section, Share


class EventType(Section):
    weight: Annotated[float, Field(gt=0)] = 1.0
    """Weight of such an event as a training target."""
    min_value: float | None = None
    """Events with a smaller value, or with none, are dropped."""


class Clean(Section):
    earliest_time: date = date(1980, 1, 1)
    """Events before this day (UTC) are quarantined: most often a wrong time unit."""
    latest_time: date | None = None
    """Events after this day (UTC) are quarantined as future ones; null: after the day of the
    newest modification of the event files, which cannot hold what came later."""
    allow_negative_value: bool = False
    """Whether a value below zero is right."""
    max_events_per_user_day: Positive | None = None
    """All events of a user who has more than this in one day are dropped as a bot's."""
    max_bad_share: Share = 0.2
    """More than this share of rows in quarantine stops the run."""


class Split(Section):
    kind: Literal["leave_one_out", "temporal"] = "leave_one_out"
    """leave_one_out: a user's last event is the test, the one before it the validation.
    temporal: two instants cut the log for everybody; a user's first event behind a cut is the
    target, all events before the cut the history."""
    valid_from: date | None = None
    """First day (UTC) of the validation part of a temporal split."""
    test_from: date | None = None
    """First day (UTC) of the test part of a temporal split."""
    valid_share: Share = 0.1
    """Where the days are null: share of events between the two cuts."""
    test_share: Share = 0.1
    """Where the days are null: share of events behind the second cut."""


class LeakCheck(Section):
    """A second reading of the raw log that proves on a sample that nothing tells the future."""

    users: Positive = 200
    """Users whose rows are worked out anew."""
    items: Positive = 200
    """Items of the vocabulary that are counted anew."""


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
    split: Split = Split()
    features: Features = Features()
    impressions: Impressions | None = None
    """null: no rows for a ranking model."""
    leak_check: LeakCheck | None = LeakCheck()
    """Of a temporal split, before the dataset is committed; null: none."""
    vocabulary: Literal["fresh", "extend"] = "fresh"
    """fresh: users and items are numbered anew. extend: those of the newest dataset of an earlier
    logical date keep their numbers, new ones follow, and what was fitted stays as it is."""
    window_length: Positive = 50
    """Targets in one training row: longer histories are cut into several rows."""
    windows: Literal["all", "last"] = "all"
    """Whether all windows of a history are trained on, or the newest alone."""
    row_group_rows: Positive = 50_000
    """Most rows in one Parquet row group."""
