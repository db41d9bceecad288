"""Features of items, users and impressions: encode, measure, select, write.

All fitted values come from the training part only and are saved in `encoders/`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.contract import (
    ITEM_COUNTS,
    ITEM_ID,
    ITEM_IDX,
    TRAIN_EVENTS,
    USER_COUNTS,
    USER_ID,
    USER_IDX,
    Feature,
)
from conf.settings.config import Config
from conf.settings.features import TableFeatures
from conf.settings.input import TableSource
from etl.features.encoding import Fitted
from etl.features.fill import apply_fills
from etl.features.neighbours import ITEM_NEIGHBOURS, NEIGHBOUR_IDX, find_neighbours
from etl.features.predecessor import Predecessor
from etl.features.sample import mutual_information, sample_of
from etl.features.tables import Encoded, encode_table
from etl.impressions.events import LABEL
from etl.impressions.rows import ROW_KEYS, NumberedLog, counts_at_end, make_impressions
from etl.spark.columns import PERIOD, TRAIN_LENGTH
from etl.spark.folders import SCRATCH
from etl.spark.shards import (
    bucket_of,
    bucket_sizes,
    cut_by_number,
    deal_out,
    num_shards,
    write_shards,
)

ITEM_FEATURES, USER_FEATURES = "item_features", "user_features"
IMPRESSIONS, ENCODERS = "impressions", "encoders"
IMPRESSION_PARTS = tuple(f"{part}_{IMPRESSIONS}" for part in ("train", "valid", "test"))
_IN_TRAINING = "__in_training"
_ROWS_PER_FILE = 1_000_000


@dataclass(frozen=True)
class Prepared:
    """The data that features are made from: the numbered catalogue and users, and the tables."""

    items: DataFrame
    histories: DataFrame
    tables: Mapping[str, DataFrame]
    fills: Mapping[str, Mapping[str, Any]]
    """Fill values for missing values of items and users."""
    before: Predecessor | None
    """The dataset that this one extends."""

    def fitted_before(self, part: str, table: str, spec: TableFeatures) -> dict[str, Fitted] | None:
        """Return the fitted values of the previous dataset, None if it has none for `spec`."""
        return None if self.before is None else self.before.fitted_to(part, table, spec)

    def filled(self, rows: DataFrame, table: str, key: str, source: TableSource) -> DataFrame:
        """Return rows with the fields of their table, with missing values filled."""
        fields = self.tables[table].select(key, *source.fields)
        joined = rows.join(fields, key, "left")
        return apply_fills(joined, source.fields, self.fills.get(table, {}))


def write_features(
    made: Prepared, log: NumberedLog, config: Config, folder: Path
) -> dict[str, tuple[Feature, ...]]:
    """Write the parts configured by `etl.features` and `etl.impressions`; return their features.

    Args:
        made: Items, histories and the kept rows of the tables.
        log: The numbered events.
        config: The run's configuration.
        folder: Folder of the dataset.
    """
    scratch = folder / SCRATCH / "features"
    encoded = {
        part: table
        for part, table in (
            (ITEM_FEATURES, _items(made, config, scratch)),
            (USER_FEATURES, _users(made, config, scratch)),
            (IMPRESSIONS, _impressions(made, log, config, scratch)),
        )
        if table is not None
    }
    informed = _information(encoded, config, scratch / "information")
    chosen = {
        part: table.chosen(config.etl.features.selection, informed.get(part, {}))
        for part, table in encoded.items()
    }
    for part, table in chosen.items():
        _write(part, table, config, folder)
    if config.etl.features.neighbours is not None:
        _write_neighbours(made, config, folder)
    _write_counts(made, log, config, folder)
    write_encoders(folder / ENCODERS, {part: table.fitted for part, table in chosen.items()})
    return {part: table.features for part, table in chosen.items()}


def _items(made: Prepared, config: Config, scratch: Path) -> Encoded | None:
    spec, source = config.etl.features.items, config.input.items
    if not spec.encodings or source is None:
        return None
    rows = made.filled(made.items, "items", ITEM_ID, source)
    # Items known only from an earlier dataset or the items table have no training events.
    known = rows.withColumn(_IN_TRAINING, F.col(TRAIN_EVENTS) > 0)
    return encode_table(
        known,
        spec,
        prefix="item_",
        key=ITEM_IDX,
        is_training=_IN_TRAINING,
        scratch=scratch / "items",
        fitted=made.fitted_before(ITEM_FEATURES, "items", spec),
    )


def _users(made: Prepared, config: Config, scratch: Path) -> Encoded | None:
    spec, source = config.etl.features.users, config.input.users
    if not spec.encodings or source is None:
        return None
    people = made.histories.select(USER_ID, USER_IDX, TRAIN_LENGTH)
    rows = made.filled(people, "users", USER_ID, source)
    known = rows.withColumn(_IN_TRAINING, F.col(TRAIN_LENGTH) > 0)
    return encode_table(
        known,
        spec,
        prefix="user_",
        key=USER_IDX,
        is_training=_IN_TRAINING,
        scratch=scratch / "users",
        fitted=made.fitted_before(USER_FEATURES, "users", spec),
    )


def _impressions(made: Prepared, log: NumberedLog, config: Config, scratch: Path) -> Encoded | None:
    spec, features = config.etl.impressions, config.etl.features
    if spec is None:
        return None
    fitted = made.fitted_before(IMPRESSIONS, "events", features.events)
    return make_impressions(log, spec, features, scratch, fitted)


def _information(
    encoded: Mapping[str, Encoded], config: Config, scratch: Path
) -> dict[str, dict[str, float]]:
    """Return the mutual information of each feature with the first label, in the training part."""
    impressions = encoded.get(IMPRESSIONS)
    if impressions is None or config.etl.impressions is None:
        return {}
    label = LABEL + next(iter(config.etl.impressions.labels))
    sample = impressions.sample
    informed = {IMPRESSIONS: mutual_information(sample.table, impressions.features, label)}
    keys = {ITEM_FEATURES: ITEM_IDX, USER_FEATURES: USER_IDX}
    tables = [part for part in keys if part in encoded]
    rows = sample.frame.select(ITEM_IDX, USER_IDX, label)
    for part in tables:
        rows = rows.join(encoded[part].rows.drop(_IN_TRAINING), keys[part], "left")
    if tables:
        joined = sample_of(rows, scratch).table
        for part in tables:
            informed[part] = mutual_information(joined, encoded[part].features, label)
    return informed


def _write(part: str, table: Encoded, config: Config, folder: Path) -> None:
    if part != IMPRESSIONS:
        number = table.keys[0]
        cut = cut_by_number(table.rows, number, _ROWS_PER_FILE)
        write_shards(cut, [number], folder / part, folder / SCRATCH / f"{part}-shards")
        return
    seed = config.run.seed
    buckets = bucket_of(ROW_KEYS, seed).alias("bucket")
    sizes = bucket_sizes(table.rows.select(F.col(PERIOD).alias("part"), buckets))
    for period, name in enumerate(IMPRESSION_PARTS):
        of_part = sizes[period]
        shards = num_shards(sum(of_part), config.etl.row_group_rows, config.train.max_workers)
        if shards:
            frame = table.rows.where(F.col(PERIOD) == period).drop(PERIOD)
            dealt = deal_out(frame, ROW_KEYS, sizes=of_part, num_shards=shards, seed=seed)
            write_shards(
                dealt, ROW_KEYS, folder / name, folder / SCRATCH / f"{name}-shards", ROW_KEYS[1:]
            )


def _write_counts(made: Prepared, log: NumberedLog, config: Config, folder: Path) -> None:
    """Write the counts of items and users at the end of the dataset, if impressions have them."""
    spec = config.etl.features.as_of
    if spec is None or config.etl.impressions is None:
        return
    for part, asked, key, prefix in (
        (ITEM_COUNTS, made.items, ITEM_IDX, "item_"),
        (USER_COUNTS, made.histories, USER_IDX, "user_"),
    ):
        cut = cut_by_number(counts_at_end(asked, log, key, prefix, spec), key, _ROWS_PER_FILE)
        write_shards(cut, [key], folder / part, folder / SCRATCH / f"{part}-shards")


def _write_neighbours(made: Prepared, config: Config, folder: Path) -> None:
    spec = config.etl.features.neighbours
    assert spec is not None
    pairs = find_neighbours(
        made.histories,
        made.items,
        distance=spec.distance,
        min_count=spec.min_count,
        per_item=spec.per_item,
    )
    cut = cut_by_number(pairs, ITEM_IDX, _ROWS_PER_FILE)
    write_shards(
        cut,
        [ITEM_IDX, NEIGHBOUR_IDX],
        folder / ITEM_NEIGHBOURS,
        folder / SCRATCH / "neighbour-shards",
    )


def write_encoders(folder: Path, fitted: Mapping[str, Mapping[str, Fitted]]) -> None:
    """Write the fitted values of each part to a JSON file."""
    if not fitted:
        return
    folder.mkdir(exist_ok=True)
    for part, known in fitted.items():
        text = json.dumps(known, ensure_ascii=False, indent=1, sort_keys=True)
        (folder / f"{part}.json").write_text(text, encoding="utf-8")
