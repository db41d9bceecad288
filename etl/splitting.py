"""The split that the configuration asks for."""

from pyspark.sql import DataFrame

from conf.errors import ConfigError
from conf.etl_schema import Etl, Split
from etl.sessions import add_sessions
from etl.split import (
    add_places,
    drop_cold_targets,
    leave_last,
    split_at_random,
    split_by_time,
    time_at_shares,
)
from etl.times import day_start, iso_text


def split_events(kept: DataFrame, etl: Etl, seed: int, cuts: tuple[int, int] | None) -> DataFrame:
    """Add PLACE and PART to events, and their sessions where the configuration tells them apart.

    Args:
        kept: The events that are kept.
        etl: The section of the configuration.
        seed: Seed of what is drawn.
        cuts: What `find_cuts` returned.
    """
    split = etl.split
    events = add_places(kept, seed)
    if etl.session_gap_minutes is not None:
        events = add_sessions(events, etl.session_gap_minutes)
    if cuts is not None:
        events = split_by_time(events, *cuts)
    elif split.kind == "random":
        events = split_at_random(events, seed, split.num_targets)
    else:
        events = leave_last(events, split.num_targets)
    return drop_cold_targets(
        events, users=split.cold_users == "drop", items=split.cold_items == "drop"
    )


def find_cuts(kept: DataFrame, split: Split) -> tuple[int, int] | None:
    """Return the first instants of the validation and the test part of a temporal split.

    Raises:
        ConfigError: When they are in the wrong order.
    """
    if split.kind != "temporal":
        return None
    days = (split.valid_from, split.test_from)
    if None in days:
        row = time_at_shares(kept, split.valid_share, split.test_share).head()
        assert row is not None  # an aggregate without groups has one row
        by_share = (row["valid_from"], row["test_from"])
    else:
        by_share = (None, None)
    valid, test = (
        share if day is None else day_start(day) for day, share in zip(days, by_share, strict=True)
    )
    if valid > test:
        raise ConfigError(
            f"etl.split: the validation part begins at {iso_text(valid)}, behind the test part's "
            f"{iso_text(test)}; valid_from has to come first"
        )
    return valid, test
