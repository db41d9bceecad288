"""Write the item and user tables of a made-up shop."""

import json
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv

from etl.made_up.shop import Shop

_BRANDS = ("Arden", "Birch & Co", "Calder", "Dunmore", "Eastbay", "Fenwick", "Gallow", "Harrow")
_AGE_BANDS = ("18-24", "25-34", "35-44", "45-54", "55-64", "65+")
_REGIONS = ("north", "south", "east", "west", "islands")
WAVES = (1, 2, 4)
"""Periods of the cyclic numbers along the items of a category."""
CATEGORY_NUMBERS = 6
DIMENSION = CATEGORY_NUMBERS + 2 * len(WAVES)
NOISE = 0.05
_KINDS: dict[str, tuple[str, ...]] = {
    "teapots": ("teapot", "milk jug", "sugar bowl", "tea caddy"),
    "lamps": ("reading lamp", "lantern", "night light", "floor lamp"),
    "knives": ("bread knife", "paring knife", "cleaver", "oyster knife"),
    "stationery": ("notebook", "fountain pen", "letter opener", "blotter"),
    "gardening": ("trowel", "watering can", "seed tray", "pruning saw"),
    "cycling": ("saddle bag", "bell", "rain cape", "bottle cage"),
    "baking": ("cake tin", "rolling pin", "pie dish", "dough scraper"),
    "toys": ("spinning top", "kite", "wooden train", "puzzle"),
    "textiles": ("blanket", "table runner", "cushion", "bath towel"),
    "camping": ("camp stove", "tin mug", "tarpaulin", "head torch"),
    "music": ("tambourine", "mouth organ", "music stand", "metronome"),
    "tools": ("spirit level", "mallet", "spokeshave", "screwdriver"),
}
_LOOKS = (
    "Blue",
    "Black",
    "Old rose",
    "Striped",
    "Plain",
    "Speckled",
    "Ivory",
    "Moss green",
    "Copper",
    "Smoked",
    "Ribbed",
    "Scarlet",
)
_MADE_OF = (
    "enamel",
    "oak",
    "linen",
    "brass",
    "stoneware",
    "walnut",
    "wool",
    "steel",
    "bamboo",
    "glass",
)


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


def item_images(rng: np.random.Generator, category: np.ndarray) -> np.ndarray:
    """Return a vector for each item: [I, D] float64.

    Args:
        rng: Source of the draws.
        category: [I], ascending; within a category, items are in the order in which users view
            them.
    """
    count = int(category.max(initial=0)) + 1
    kinds = rng.normal(0, 1, (count, CATEGORY_NUMBERS))  # [C, numbers]
    size = np.bincount(category, minlength=count)  # [C]
    place = np.arange(len(category)) - np.searchsorted(category, category)  # [I]
    angle = 2 * np.pi * (place / size[category])[:, None] * np.array(WAVES)  # [I, waves]
    looks = np.concatenate([kinds[category], np.cos(angle), np.sin(angle)], axis=1)  # [I, D]
    noisy: np.ndarray = looks + rng.normal(0, NOISE, looks.shape)
    return noisy


def category_names(count: int) -> list[str]:
    """Return `count` different category names."""
    kinds = list(_KINDS)
    rounds = range(-(-count // len(kinds)))
    return [kind if turn == 0 else f"{kind} {turn + 1}" for turn in rounds for kind in kinds][
        :count
    ]


def item_titles(rng: np.random.Generator, names: Sequence[str], category: np.ndarray) -> list[str]:
    """Return a readable title for each item, such as "Blue enamel teapot No. 12"."""
    looks, made_of = rng.choice(_LOOKS, len(category)), rng.choice(_MADE_OF, len(category))
    titles = []
    for number, (place, look, material) in enumerate(zip(category, looks, made_of, strict=True)):
        things = _KINDS[names[place].split(" ")[0]]
        titles.append(f"{look} {material} {things[number % len(things)]} No. {number + 1}")
    return titles
