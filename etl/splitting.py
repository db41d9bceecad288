"""The split that the configuration asks for."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.errors import ConfigError
from conf.etl_schema import Etl, Split, shown_types
from etl.columns import DRAW
from etl.sessions import add_sessions
from etl.shown import add_part_of_shown, is_act
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
    """Add PLACE, DRAW and PART to events, and their sessions where those are told apart.

    Args:
        kept: The events that are kept, with PART where the log gives it.
        etl: The section of the configuration.
        seed: Seed of what is drawn.
        cuts: What `find_cuts` returned.
    """
    some_are_shown = bool(shown_types(etl.event_types))
    placed = add_places(kept, seed, is_act(etl.event_types) if some_are_shown else None)
    if etl.session_gap_minutes is not None:
        placed = add_sessions(placed, etl.session_gap_minutes)
    if not some_are_shown:
        return _with_parts(placed, etl.split, seed, cuts)
    acts = _with_parts(placed.where(F.col(DRAW) == 0), etl.split, seed, cuts)
    together = acts.unionByName(placed.where(F.col(DRAW) > 0), allowMissingColumns=True)
    return add_part_of_shown(together, None if cuts is None else cuts[0])


def _with_parts(
    acts: DataFrame, split: Split, seed: int, cuts: tuple[int, int] | None
) -> DataFrame:
    if cuts is not None:
        acts = split_by_time(acts, *cuts)
    elif split.kind == "random":
        acts = split_at_random(acts, seed, split.num_targets)
    elif split.kind != "given":
        acts = leave_last(acts, split.num_targets)
    return drop_cold_targets(
        acts, users=split.cold_users == "drop", items=split.cold_items == "drop"
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
