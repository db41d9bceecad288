"""What the items of a made-up shop look like: vectors such as a model of images makes.

Items of a category look alike, and one looks much like the one that people go on to from it: so
there is something to learn for items that nobody has taken yet.

Arrays: I items, C categories, D numbers of a vector.
"""

import numpy as np

WAVES = (1, 2, 4)
"""Turns of the looks along the items of a category."""
CATEGORY_NUMBERS = 6
DIMENSION = CATEGORY_NUMBERS + 2 * len(WAVES)
NOISE = 0.05


def item_images(rng: np.random.Generator, category: np.ndarray) -> np.ndarray:
    """Return a vector for each item: [I, D] float64.

    Args:
        rng: Source of the draws.
        category: [I], ascending; within one, items stand in the order in which people take them.
    """
    count = int(category.max(initial=0)) + 1
    kinds = rng.normal(0, 1, (count, CATEGORY_NUMBERS))  # [C, numbers]
    size = np.bincount(category, minlength=count)  # [C]
    place = np.arange(len(category)) - np.searchsorted(category, category)  # [I]
    angle = 2 * np.pi * (place / size[category])[:, None] * np.array(WAVES)  # [I, waves]
    looks = np.concatenate([kinds[category], np.cos(angle), np.sin(angle)], axis=1)  # [I, D]
    noisy: np.ndarray = looks + rng.normal(0, NOISE, looks.shape)
    return noisy
