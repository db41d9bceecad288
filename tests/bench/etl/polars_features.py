"""The features of the Polars yardstick: encodings, counts as of a day, neighbours, selection."""

import numpy as np
import polars as pl

TYPES = ("view", "cart", "purchase")
DAY = 86_400_000_000  # microseconds
_WINDOWS_DAYS, _HALF_LIFE_DAYS, _SAMPLE_ROWS = (1, 7, 28), 14, 200_000


def encode(items: pl.DataFrame, table: pl.DataFrame) -> pl.DataFrame:
    rows = items.join(table, on="item_id", how="left")
    price = rows["price"].cast(pl.Float64)
    bounds = np.unique(np.quantile(price.to_numpy(), np.arange(1, 10) / 10))
    bucket = np.searchsorted(bounds, price.to_numpy(), side="right") + 2
    crossed = (pl.struct("category", "brand").hash() % 4096 + 1).cast(pl.Int32)
    return rows.select(
        "item",
        _categories(rows, "category", len(rows)).alias("item_category"),
        _categories(rows, "brand", len(rows)).alias("item_brand"),
        pl.Series("item_price", bucket.astype(np.int32)),
        crossed.alias("item_category_brand"),
    )


def encode_users(users: pl.DataFrame, table: pl.DataFrame) -> pl.DataFrame:
    rows = users.join(table, on="user_id", how="left").sort("trained", descending=True)
    trained = int((rows["trained"] > 0).sum())
    return rows.select(
        "user_id", *(_categories(rows, name, trained).alias(f"user_{name}")
                     for name in ("age_band", "region"))
    )  # fmt: skip


def _categories(rows: pl.DataFrame, name: str, trained: int) -> pl.Series:
    """Return the values' numbers: those of the first rows by frequency, others 1, none 0."""
    counts = rows[:trained].drop_nulls(name).group_by(name).len("n")
    known = counts.sort("n", name, descending=[True, False]).with_row_index("number", offset=2)
    numbers = rows.select(name).join(known, on=name, how="left", maintain_order="left")
    return numbers.select(
        pl.when(pl.col(name).is_null()).then(0).otherwise(pl.col("number").fill_null(1))
        .cast(pl.Int32)
    ).to_series()  # fmt: skip


def with_counts(rows: pl.DataFrame, events: pl.DataFrame, key: str, prefix: str) -> pl.DataFrame:
    """Add what was known of the item or the user before the day of each row."""
    rows = rows.with_columns((pl.col("time") // DAY).alias("day"))
    known = events.filter(pl.col("item") > 1).with_columns((pl.col("time") // DAY).alias("day"))
    newest = known["day"].max()
    kinds = {"events": pl.len(), **{t: (pl.col("type") == n).sum() for n, t in enumerate(TYPES)}}
    daily = known.group_by(key, "day").agg(
        *(kind.cast(pl.Int64).alias(name) for name, kind in kinds.items())
    ).sort(key, "day")  # fmt: skip
    weight = 2.0 ** ((pl.col("day") - newest) / _HALF_LIFE_DAYS)
    summed = daily.with_columns(
        *(pl.col(name).cum_sum().over(key) for name in kinds),
        (pl.col("events") * weight).cum_sum().over(key).alias("decayed"),
        pl.col("day").min().over(key).alias("first"),
    ).rename({"day": "upto"})  # fmt: skip
    asked = rows.select(key, "day").unique().sort(key, "day")
    for back in (0, *_WINDOWS_DAYS):
        # What was summed up to the day before the window.
        named = summed.rename({name: f"{name}_{back}" for name in (*kinds, "decayed", "first")})
        asked = asked.with_columns((pl.col("day") - back - 1).alias("asked")).join_asof(
            named, left_on="asked", right_on="upto", by=key, check_sortedness=False
        ).drop("asked", "upto", strict=False)  # fmt: skip
    ever = {name: pl.col(f"{name}_0").fill_null(0) for name in kinds}
    age = 2.0 ** ((newest - pl.col("day")) / _HALF_LIFE_DAYS)
    counts = asked.select(
        key, "day",
        *((ever[name] - pl.col(f"{name}_{days}").fill_null(0)).cast(pl.Float32)
          .alias(f"{prefix}{name}_{days}d") for name in kinds for days in _WINDOWS_DAYS),
        *(ever[name].cast(pl.Float32).alias(f"{prefix}{name}_all") for name in kinds),
        (pl.col("decayed_0").fill_null(0.0) * age).cast(pl.Float32).alias(f"{prefix}popularity"),
        (pl.col("day") - pl.col("first_0")).fill_null(-1).cast(pl.Float32)
        .alias(f"{prefix}age_days"),
    )  # fmt: skip
    return rows.join(counts, on=[key, "day"], how="left").drop("day")


def find_neighbours(events: pl.DataFrame, items: pl.DataFrame, valid_from: int) -> pl.DataFrame:
    train = events.filter(pl.col("time") < valid_from).select("user_id", "item")
    moved = [
        train.with_columns(pl.col("item").shift(-by).over("user_id").alias("other"))
        for by in (1, 2, 3)
    ]
    pairs = pl.concat(moved).filter(
        pl.col("other").is_not_null() & (pl.col("item") != pl.col("other"))
    )
    low, high = pl.min_horizontal("item", "other"), pl.max_horizontal("item", "other")
    counted = pairs.group_by(low.alias("item"), high.alias("other")).len("together")
    enough = counted.filter(pl.col("together") >= 5)
    turned = enough.select(pl.col("other").alias("item"), pl.col("item").alias("other"), "together")
    both = pl.concat([enough, turned])
    n = items.select("item", "n")
    joined = both.join(n, on="item").join(n.rename({"item": "other", "n": "m"}), on="other")
    cosine = pl.col("together") / (pl.col("n") * pl.col("m")).sqrt()
    ranked = joined.with_columns(cosine.alias("cosine")).sort(
        "item", "cosine", "other", descending=[False, True, False]
    )  # fmt: skip
    lift = pl.col("together") * items["n"].sum() / (pl.col("n") * pl.col("m"))
    return ranked.group_by("item", maintain_order=True).head(20).select(
        "item", "other", "together", lift.alias("lift")
    )  # fmt: skip


def select(rows: pl.DataFrame, items: pl.DataFrame, users: pl.DataFrame) -> dict[str, float]:
    """Return the figures that features are chosen by: shares, spans, correlations, information."""
    training = rows.filter(pl.col("period") == 0)
    names = [name for name in training.columns if name.startswith(("item_", "user_"))
             and name != "user_id"]  # fmt: skip
    training.select(
        *(pl.col(name).min().alias(f"{name}|min") for name in names),
        *(pl.col(name).max().alias(f"{name}|max") for name in names),
        *(pl.col(name).hash().sum().alias(f"{name}|hash") for name in names),
    )
    sample = training.sample(min(_SAMPLE_ROWS, len(training)), seed=1)
    np.corrcoef(sample.select(names).to_numpy(), rowvar=False)
    wide = sample.join(items, on="item", how="left").join(users, on="user_id", how="left")
    found = {}
    for name in [*names, *items.columns[1:], *users.columns[1:]]:
        values = wide[name].cast(pl.Float64).to_numpy()
        if name in names:
            bounds = np.unique(np.nanquantile(values, np.arange(1, 10) / 10))
            values = np.searchsorted(bounds, values, side="right")
        _, cells = np.unique(values, return_inverse=True)
        counts = np.zeros((2, cells.max() + 1))
        counts[0] = np.bincount(
            cells[wide["label_seen"].to_numpy() == 0], minlength=counts.shape[1]
        )
        counts[1] = np.bincount(cells) - counts[0]
        share = counts / counts.sum()
        chance = share.sum(axis=1, keepdims=True) * share.sum(axis=0)
        found[name] = float((share * np.log(np.where(share > 0, share / chance, 1))).sum())
    return found
