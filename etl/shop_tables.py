"""Write the tables of a made-up shop's items and users."""

import json
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv

from etl.shop import Shop
from etl.shop_looks import item_images
from etl.shop_names import category_names, item_titles

_BRANDS = ("Arden", "Birch & Co", "Calder", "Dunmore", "Eastbay", "Fenwick", "Gallow", "Harrow")
_AGE_BANDS = ("18-24", "25-34", "35-44", "45-54", "55-64", "65+")
_REGIONS = ("north", "south", "east", "west", "islands")


def write_tables(shop: Shop, folder: Path) -> None:
    """Write items.csv and users.csv."""
    spec, rng = shop.spec, np.random.default_rng([shop.spec.seed, 6])
    names = category_names(shop.num_categories)
    items = pa.table(
        {
            "item_id": numbered_ids("i", spec.num_items),
            "title": pa.array(item_titles(rng, names, shop.category)),
            "category": pa.array([names[category] for category in shop.category]),
            "brand": pa.array(rng.choice(_BRANDS, spec.num_items).tolist()),
            "price": pa.array(shop.price),
            "image": _vectors(item_images(np.random.default_rng([spec.seed, 7]), shop.category)),
            "released_on": pa.array([str(day) for day in _dates(spec.first_day, shop.released)]),
        }
    )
    users = pa.table(
        {
            "user_id": numbered_ids("u", spec.num_users),
            "age_band": pa.array(rng.choice(_AGE_BANDS, spec.num_users).tolist()),
            "region": pa.array(rng.choice(_REGIONS, spec.num_users).tolist()),
            "signed_up_on": pa.array([str(day) for day in _dates(spec.first_day, shop.joined)]),
        }
    )
    for name, table in (("items", items), ("users", users)):
        csv.write_csv(table, folder / f"{name}.csv", csv.WriteOptions(quoting_style="needed"))


def numbered_ids(prefix: str, count: int) -> pa.Array:
    """Return ids such as u0000123."""
    return pa.array([f"{prefix}{number:07d}" for number in range(1, count + 1)])


def _dates(first: date, days: np.ndarray) -> Iterator[date]:
    return (first + timedelta(days=int(day)) for day in days)


def _vectors(numbers: np.ndarray) -> pa.Array:
    return pa.array([json.dumps(row) for row in np.round(numbers, 3).tolist()])
