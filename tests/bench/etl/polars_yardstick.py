"""The ETL's transformation of the made-up shop's log, written in Polars for one machine.

`python -m tests.bench.etl.polars_yardstick LOG OUT` writes the same parts and prints what was made.
Negatives are drawn by another generator, so that only figures of logged events can be equal.
What it leaves out: the ledger by file, the quarantine's raw lines, the leak check, the report.
"""

import json
import sys
from pathlib import Path

import numpy as np
import polars as pl

from tests.bench.etl.polars_features import (
    DAY,
    TYPES,
    encode,
    encode_users,
    find_neighbours,
    select,
    with_counts,
)

HISTORY, WINDOW_LENGTH, MAX_PER_DAY = 20, 50, 500
_TEXTS = ("event_id", "user_id", "item_id", "event_type", "time", "price", "session_id")


def main(log: Path, out: Path) -> None:
    out.mkdir(parents=True)
    events, cuts = place(clean(log))
    events, items = number(events, cuts[0])
    histories(events).write_parquet(out / "histories.parquet")
    item_features = encode(items, pl.read_csv(log / "items.csv", infer_schema=False))
    users = events.group_by("user_id").agg((pl.col("time") < cuts[0]).sum().alias("trained"))
    user_features = encode_users(users, pl.read_csv(log / "users.csv", infer_schema=False))
    rows = impressions(events, len(items), cuts)
    for key, prefix in (("item", "item_"), ("user_id", "user_")):
        rows = with_counts(rows, events, key, prefix)
    find_neighbours(events, items, cuts[0]).write_parquet(out / "neighbours.parquet")
    item_features.write_parquet(out / "item_features.parquet")
    user_features.write_parquet(out / "user_features.parquet")
    select(rows, item_features, user_features)
    shuffled = rows.sample(fraction=1.0, shuffle=True, seed=1)
    for period in range(3):
        part = shuffled.filter(pl.col("period") == period)
        part.write_parquet(out / f"impressions-{period}.parquet", row_group_size=50_000)
    logged = rows.filter(pl.col("draw") == 0)
    trained = users["trained"].to_numpy().astype(int)
    windows = np.ceil(np.maximum(trained - 1, 0) / WINDOW_LENGTH)
    print(json.dumps({
        "events": len(events), "items": len(items), "train_rows": int(windows.sum()),
        "logged": len(logged),
        "item_events_28d": int(logged["item_events_28d"].cast(pl.Float64).sum()),
        "user_events_all": int(logged["user_events_all"].cast(pl.Float64).sum()),
        "history_items": int(logged["history"].list.len().sum()),
        "category": int(item_features["item_category"].sum()),
    }))  # fmt: skip


def clean(log: Path) -> pl.DataFrame:
    """Return the right events, each once, of people alone; the last of a user with one item."""
    schema = dict.fromkeys(_TEXTS, pl.String)
    raw = pl.scan_csv(log / "events/*.csv", schema=schema)
    typed = raw.with_columns(
        pl.col("time").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", strict=False, time_unit="us")
        .dt.timestamp("us").alias("time"),
        pl.col("price").cast(pl.Float64, strict=False),
        pl.col("event_type").cast(pl.Enum(TYPES), strict=False).to_physical().alias("type"),
    )  # fmt: skip
    latest = pl.datetime(2027, 1, 1, time_unit="us").dt.timestamp("us")
    right = typed.filter(
        pl.col("user_id").is_not_null() & pl.col("item_id").is_not_null()
        & pl.col("time").is_not_null() & (pl.col("time") < latest) & (pl.col("price") >= 0)
        & pl.col("type").is_not_null()
    )  # fmt: skip
    once = right.unique("event_id", keep="any")
    in_day = once.group_by("user_id", pl.col("time") // DAY).len()
    bots = in_day.filter(pl.col("len") > MAX_PER_DAY).select("user_id").unique()
    people = once.join(bots, on="user_id", how="anti")
    ordered = people.sort("user_id", "item_id", "time", "type", "price")
    last = ordered.unique(["user_id", "item_id"], keep="last")
    return last.select("user_id", "item_id", "time", "type").collect()


def place(events: pl.DataFrame) -> tuple[pl.DataFrame, tuple[int, int]]:
    """Return events in the order of the histories, with period and session, and the two cuts."""
    times = events["time"].sort().to_numpy()
    at = [times[int(np.floor(np.round(len(times) * share, 6)))] for share in (0.8, 0.9)]
    cuts = (int(at[0]), int(at[1]))
    gap = pl.col("time") - pl.col("time").shift().over("user_id")
    placed = events.sort("user_id", "time", "item_id", "type").with_columns(
        pl.int_range(pl.len()).over("user_id").alias("place"),
        gap.alias("gap"),
        (pl.col("time") >= cuts[0]).cast(pl.Int32)
        .add((pl.col("time") >= cuts[1]).cast(pl.Int32)).alias("period"),
        (gap > 30 * 60_000_000).fill_null(False).cast(pl.Int32).cum_sum().over("user_id")
        .alias("session"),
    )  # fmt: skip
    in_session = pl.int_range(pl.len()).over("user_id", "session").alias("session_place")
    return placed.with_columns(in_session), cuts


def number(events: pl.DataFrame, valid_from: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the events with their items' numbers, and the vocabulary."""
    counts = events.filter(pl.col("time") < valid_from).group_by("item_id").len("n")
    items = counts.sort("n", "item_id", descending=[True, False]).with_row_index("item", offset=2)
    items = items.with_columns(pl.col("item").cast(pl.Int32))
    joined = events.join(items.select("item_id", "item"), on="item_id", how="left",
                         maintain_order="left")  # fmt: skip
    return joined.with_columns(pl.col("item").fill_null(1)), items


def histories(events: pl.DataFrame) -> pl.DataFrame:
    return events.group_by("user_id", maintain_order=True).agg("item", "type", "time")


def impressions(events: pl.DataFrame, num_items: int, cuts: tuple[int, int]) -> pl.DataFrame:
    """Return the events with context and history, and a negative for each that has an item."""
    before = events.select("user_id", pl.col("place").cast(pl.Int64), "item").rolling(
        "place", period=f"{HISTORY}i", closed="left", group_by="user_id"
    ).agg(pl.col("item").alias("history"))  # fmt: skip
    hour = ((pl.col("time") % DAY) // (DAY // 24) + 2).cast(pl.Int32)
    weekday = ((pl.col("time") // DAY - 4) % 7 + 2).cast(pl.Int32)
    made = events.with_columns(
        before["history"], hour.alias("hour"), weekday.alias("weekday"),
        pl.lit(0).alias("draw"), pl.lit(1.0, pl.Float32).alias("probability"),
        pl.col("place").cast(pl.Float64).log1p().cast(pl.Float32).alias("user_num_before"),
        (pl.col("gap") / 1e6).log1p().fill_null(-1.0).cast(pl.Float32).alias("user_gap"),
        pl.lit(1.0, pl.Float32).alias("label_seen"),
        (pl.col("type") == 2).cast(pl.Float32).alias("label_bought"),
    ).drop("item_id", "session", "gap")  # fmt: skip
    positives = made.filter(pl.col("item") > 1)
    drawn = np.random.default_rng(1).integers(2, num_items + 2, len(positives), dtype=np.int32)
    first = positives.group_by("user_id", "item").agg(pl.col("period").min().alias("known_from"))
    negatives = (
        positives.with_columns(
            pl.Series("item", drawn), pl.lit(1).alias("draw"),
            pl.lit(1 / num_items, pl.Float32).alias("probability"),
            pl.lit(0.0, pl.Float32).alias("label_seen"),
            pl.lit(0.0, pl.Float32).alias("label_bought"),
        )
        .join(first, on=["user_id", "item"], how="left")
        .filter((pl.col("known_from") <= pl.col("period")).fill_null(False).not_())
        .drop("known_from")
    )  # fmt: skip
    return pl.concat([made, negatives])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
