"""Names for a made-up shop's categories and items."""

from collections.abc import Sequence

import numpy as np

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


def category_names(count: int) -> list[str]:
    """Return as many different names of categories."""
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
