"""Write the parts of a dataset from the histories: shards for the trainer, tables with ids."""

from collections.abc import Mapping
from pathlib import Path

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.contract import ITEM_IDX, USER_IDX
from conf.input_schema import TableSource
from conf.schema import Config
from etl.columns import TEST_PLACE, VALID_PLACE, WINDOW
from etl.folders import SCRATCH
from etl.sequences import evaluation_rows, num_windows, training_windows, whole_histories
from etl.shards import cut_by_number, deal_out, num_shards, write_shards
from etl.tables import item_rows, user_rows

_ITEMS_PER_FILE = 1_000_000


def write_parts(
    histories: DataFrame,
    items: DataFrame,
    tables: Mapping[str, DataFrame],
    config: Config,
    folder: Path,
) -> None:
    """Write train, valid, test, histories, users and items below `folder`.

    Args:
        histories: As `collect_histories` returns them.
        items: The vocabulary with its training events.
        tables: The rows kept of the items and the users table, where there is one.
        config: The run's configuration.
        folder: Folder of the dataset.
    """
    etl = config.etl
    weights = [event_type.weight for event_type in etl.event_types.values()]
    windows = training_windows(histories, etl.window_length, etl.windows, weights)
    rows = _count_rows(histories, config)
    dealt = {
        "train": (windows, [USER_IDX, WINDOW], [WINDOW]),
        "valid": (evaluation_rows(histories, VALID_PLACE), [USER_IDX], []),
        "test": (evaluation_rows(histories, TEST_PLACE), [USER_IDX], []),
    }
    for name, (frame, keys, leave_out) in dealt.items():
        shards = num_shards(rows[name], etl.row_group_rows, config.train.max_workers)
        if shards:
            frame = deal_out(frame, keys, num_rows=rows[name], num_shards=shards,
                             seed=config.run.seed)  # fmt: skip
            write_shards(frame, keys, folder / name, folder / SCRATCH / f"{name}-shards", leave_out)
    shards = num_shards(rows["users"], etl.row_group_rows, config.train.max_workers)
    users = user_rows(histories, tables.get("users"), _features(config.input.users))
    catalogue = item_rows(items, tables.get("items"), _features(config.input.items))
    per_file = -(-rows["users"] // shards)
    numbered = {
        "histories": (whole_histories(histories), USER_IDX, per_file),
        "users": (users, USER_IDX, per_file),
        "items": (catalogue, ITEM_IDX, _ITEMS_PER_FILE),
    }
    for name, (frame, number, size) in numbered.items():
        frame = cut_by_number(frame, number, size)
        write_shards(frame, [number], folder / name, folder / SCRATCH / f"{name}-shards")


def _count_rows(histories: DataFrame, config: Config) -> dict[str, int]:
    """Return how many rows each part will have."""
    row = histories.agg(
        F.sum(num_windows(config.etl.window_length, config.etl.windows)).alias("train"),
        F.count(VALID_PLACE).alias("valid"),
        F.count(TEST_PLACE).alias("test"),
        F.count(USER_IDX).alias("users"),
    ).head()
    assert row is not None  # an aggregate without groups has one row
    return {name: int(count) for name, count in row.asDict().items()}


def _features(source: TableSource | None) -> tuple[str, ...]:
    return () if source is None else tuple(source.fields)
