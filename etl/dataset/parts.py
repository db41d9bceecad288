"""Write the parts of a dataset from the histories: shards for the trainer, tables with ids."""

from collections.abc import Mapping
from functools import reduce
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.contract import ITEM_IDX, TRAIN_EVENTS, USER_IDX
from conf.settings.config import Config
from conf.settings.etl import shown_types
from conf.settings.input import InputField, TableSource
from etl.cleaning.tables import item_rows, user_rows
from etl.features.fill import apply_fills, fit_fills
from etl.features.predecessor import Predecessor
from etl.histories.sequences import evaluation_rows, training_windows, whole_histories, window_keys
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
from etl.spark.shards import (
    bucket_of,
    bucket_sizes,
    cut_by_number,
    deal_out,
    num_shards,
    write_shards,
)

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
    """
    num_users = _write_examples(examples, config, folder)
    shards = num_shards(num_users, config.etl.row_group_rows, config.train.max_workers)
    catalogue, users, fills = _filled_tables(histories, items, tables, config, before)
    per_file = -(-num_users // shards)
    numbered = {
        "histories": (whole_histories(histories), USER_IDX, per_file),
        "users": (users, USER_IDX, per_file),
        "items": (catalogue, ITEM_IDX, _ITEMS_PER_FILE),
    }
    for name, (frame, number, size) in numbered.items():
        frame = cut_by_number(frame, number, size)
        write_shards(frame, [number], folder / name, folder / SCRATCH / f"{name}-shards")
    return fills


def _write_examples(examples: DataFrame, config: Config, folder: Path) -> int:
    """Write train, valid and test, and return the number of users."""
    etl, seed = config.etl, config.run.seed
    weights = [event_type.weight for event_type in etl.event_types.values()]
    together = etl.split.ties == "together"
    has_many = etl.split.num_targets > 1 or etl.split.kind == "given" or together
    target_keys = [USER_IDX, PLACE] if has_many else [USER_IDX]
    keys = {"train": [USER_IDX, WINDOW], "valid": target_keys, "test": target_keys}
    rows = {"train": training_windows(examples, etl.window_length, etl.windows, weights)}
    for name, places in (("valid", VALID_PLACES), ("test", TEST_PLACES)):
        rows[name] = evaluation_rows(
            examples, places, is_growing=etl.split.is_in_time_order, ties_together=together
        )
    counted = {**rows, "train": window_keys(examples, etl.window_length, etl.windows)}
    buckets = [
        frame.select(F.lit(name).alias("part"), bucket_of(keys[name], seed).alias("bucket"))
        for name, frame in counted.items()
    ]
    buckets.append(examples.select(F.lit("users").alias("part"), F.lit(0).alias("bucket")))
    sizes = bucket_sizes(reduce(DataFrame.union, buckets))
    for name, frame in rows.items():
        shards = num_shards(sum(sizes[name]), etl.row_group_rows, config.train.max_workers)
        if shards:
            dealt = deal_out(frame, keys[name], sizes=sizes[name], num_shards=shards, seed=seed)
            left_out = [WINDOW if name == "train" else PLACE]
            scratch = folder / SCRATCH / f"{name}-shards"
            write_shards(dealt, keys[name], folder / name, scratch, left_out)
    return sum(sizes["users"])


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


def _fields(source: TableSource | None) -> Mapping[str, InputField]:
    return {} if source is None else source.fields
