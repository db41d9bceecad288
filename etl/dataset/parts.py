"""Write the parts of a dataset from the histories: shards for the trainer, tables with ids."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.contract import ITEM_IDX, TRAIN_EVENTS, USER_IDX
from conf.errors import InputError
from conf.settings.config import Config
from conf.settings.etl import shown_types
from conf.settings.input import InputField, TableSource
from etl.cleaning.tables import item_rows, user_rows
from etl.features.fill import apply_fills, fit_fills
from etl.features.predecessor import Predecessor
from etl.histories.sequences import evaluation_rows, num_windows, training_windows, whole_histories
from etl.spark.columns import (
    NUM_EVENTS,
    NUM_SHOWN,
    PLACE,
    TEST_PLACES,
    TRAIN_LENGTH,
    VALID_PLACES,
    WINDOW,
)
from etl.spark.folders import SCRATCH
from etl.spark.shards import cut_by_number, deal_out, num_shards, write_shards

_ITEMS_PER_FILE = 1_000_000


def write_parts(
    histories: DataFrame,
    examples: DataFrame,
    items: DataFrame,
    tables: Mapping[str, DataFrame],
    config: Config,
    folder: Path,
    *,
    before: Predecessor | None = None,
) -> dict[str, Any]:
    """Write train, valid, test, histories, users and items below `folder`.

    Args:
        histories: Histories as returned by `collect_histories`.
        examples: The same in the order that training rows and targets are cut from.
        items: The vocabulary with its training events.
        tables: The kept rows of the items and the users table, if there is one.
        config: The run's configuration.
        folder: Folder of the dataset.
        before: The dataset that this one extends, fill values included.

    Returns:
        Fill values for missing values, by table and field.

    Raises:
        InputError: When no item has training events, and no dataset is extended that has items.
    """
    known = items.where(F.col(TRAIN_EVENTS) > 0) if before is None else items
    if known.isEmpty():
        raise InputError(_without_training(config.etl.split.kind))
    rows = _count_rows(examples, config)
    _write_examples(examples, rows, config, folder)
    shards = num_shards(rows["users"], config.etl.row_group_rows, config.train.max_workers)
    catalogue, users, fills = _filled_tables(histories, items, tables, config, before)
    per_file = -(-rows["users"] // shards)
    numbered = {
        "histories": (whole_histories(histories), USER_IDX, per_file),
        "users": (users, USER_IDX, per_file),
        "items": (catalogue, ITEM_IDX, _ITEMS_PER_FILE),
    }
    for name, (frame, number, size) in numbered.items():
        frame = cut_by_number(frame, number, size)
        write_shards(frame, [number], folder / name, folder / SCRATCH / f"{name}-shards")
    return fills


def _without_training(kind: str) -> str:
    """Return cause and fix of a dataset without a training event, by `etl.split.kind`."""
    fixes = {
        "temporal": "set later days in etl.split.valid_from and test_from, or lower shares",
        "given": "add rows to the logs with part: train",
    }
    if kind in fixes:
        return (
            f"no event is in the training part, because etl.split ({kind}) puts all into "
            f"validation and test; {fixes[kind]}"
        )
    return (
        "no event is in the training part: all events that are left only show items "
        "(etl.event_types.NAME.shown_only), so they are in no history; add the events of users "
        "who act on items"
    )


def _write_examples(
    examples: DataFrame, rows: Mapping[str, int], config: Config, folder: Path
) -> None:
    """Write train, valid and test with the given numbers of rows."""
    etl = config.etl
    weights = [event_type.weight for event_type in etl.event_types.values()]
    windows = training_windows(examples, etl.window_length, etl.windows, weights)
    together = etl.split.ties == "together"
    has_many = etl.split.num_targets > 1 or etl.split.kind == "given" or together
    target_keys = [USER_IDX, PLACE] if has_many else [USER_IDX]
    dealt = {"train": (windows, [USER_IDX, WINDOW], [WINDOW])}
    for name, places in (("valid", VALID_PLACES), ("test", TEST_PLACES)):
        targets = evaluation_rows(
            examples, places, is_growing=etl.split.is_in_time_order, ties_together=together
        )
        dealt[name] = (targets, target_keys, [PLACE])
    for name, (frame, keys, leave_out) in dealt.items():
        shards = num_shards(rows[name], etl.row_group_rows, config.train.max_workers)
        if shards:
            frame = deal_out(
                frame, keys, num_rows=rows[name], num_shards=shards, seed=config.run.seed
            )
            write_shards(frame, keys, folder / name, folder / SCRATCH / f"{name}-shards", leave_out)


def _filled_tables(
    histories: DataFrame,
    items: DataFrame,
    tables: Mapping[str, DataFrame],
    config: Config,
    before: Predecessor | None,
) -> tuple[DataFrame, DataFrame, dict[str, Any]]:
    """Return the filled item and user tables, and the fill values.

    These are fitted on the items and the users with training events.
    """
    item_fields, user_fields = _fields(config.input.items), _fields(config.input.users)
    catalogue = item_rows(items, tables.get("items"), list(item_fields))
    # An extended dataset or `etl.catalogue: table` has items without training events too.
    trained = catalogue.where(F.col(TRAIN_EVENTS) > 0)
    in_training = histories.where(F.col(TRAIN_LENGTH) > 0)
    counts = [NUM_EVENTS, *([NUM_SHOWN] if shown_types(config.etl.event_types) else [])]
    of_users = [
        user_rows(rows, tables.get("users"), list(user_fields), counts)
        for rows in (in_training, histories)
    ]
    known = {
        "items": None if before is None else before.fills_of("items", config.input.items),
        "users": None if before is None else before.fills_of("users", config.input.users),
    }
    fills = {
        "items": fit_fills(trained, item_fields) if known["items"] is None else known["items"],
        "users": fit_fills(of_users[0], user_fields) if known["users"] is None else known["users"],
    }
    filled = (
        apply_fills(catalogue, item_fields, fills["items"]),
        apply_fills(of_users[1], user_fields, fills["users"]),
    )
    return *filled, {name: fitted for name, fitted in fills.items() if fitted}


def _count_rows(histories: DataFrame, config: Config) -> dict[str, int]:
    """Return the number of rows that each part will have."""
    row = histories.agg(
        F.sum(num_windows(config.etl.window_length, config.etl.windows)).alias("train"),
        F.sum(F.size(VALID_PLACES)).alias("valid"),
        F.sum(F.size(TEST_PLACES)).alias("test"),
        F.count(USER_IDX).alias("users"),
    ).head()
    assert row is not None  # an aggregate without groups has one row
    return {name: int(count) for name, count in row.asDict().items()}


def _fields(source: TableSource | None) -> Mapping[str, InputField]:
    return {} if source is None else source.fields
