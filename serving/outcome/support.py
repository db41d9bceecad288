"""Which places could have had the policy's item, so that it is right in the mean over all draws.

Exploration draws items that are not in the list, at places that are open to chance. So the item of
a policy could be at an open place unless the list had it elsewhere before the draw. The written
list does not say so if a drawn item replaced it there. But it says so if the item was kept, with a
known probability: such a place counts 1 - 1 / probability, which is at most 0 and makes up for the
lists in which the item was replaced.

Legend of shapes: P places with an item of the policy, R rows of lists.
"""

import numpy as np

from serving.outcome.impressions import Impressions
from serving.outcome.joining import find
from serving.outcome.listed import Listed

_CERTAIN = 1 - 1e-6
_NEVER = 1e-4
"""A probability below it is a rounding error of 0."""


def support_of(
    shown: Impressions, wanted: np.ndarray, lists: Listed, versions: np.ndarray
) -> np.ndarray:
    """Return whether the policy's item could have been at each place: [P] float64.

    1: it could. 0: it could not. Below 0: it could not, see above. Over all draws of the other
    places the mean of a place is 1 or 0, whatever happened at the place itself.

    Args:
        shown: [P] what was shown at the places.
        wanted: [P] items of the policy.
        lists: [R] the whole lists that the places are of.
        versions: [R] the version that each row of them is in.
    """
    owner = [shown.version, shown.user]
    is_open = lists.propensity < _CERTAIN
    num_open = find([versions[is_open], lists.user[is_open]], owner).num
    kept = np.flatnonzero(~lists.is_explored)
    at = find([versions[kept], lists.user[kept], lists.item[kept]], [*owner, wanted])
    is_elsewhere = at.num > 0
    found = np.ones(len(wanted))
    there = lists.propensity[kept[at.row[is_elsewhere]]]
    found[is_elsewhere] = 1 - 1 / _stays(
        there, num_open[is_elsewhere], shown.listed.is_explored[is_elsewhere]
    )
    found[~(shown.listed.propensity < _CERTAIN)] = 0.0
    found[shown.listed.item == wanted] = 1.0
    return found


def _stays(propensity: np.ndarray, num_open: np.ndarray, is_drawn: np.ndarray) -> np.ndarray:
    """Return how likely an item stays at its place, given what happened at another: [P] float64.

    All sets of places of a list are drawn with the same probability if they are equally large; how
    many are drawn is the share of the places, rounded up or down.

    Args:
        propensity: [P] of the item that stayed: 1, or 1 - share.
        num_open: [P] places of the list that can be drawn.
        is_drawn: [P] bool, whether the other place was drawn.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        share = 1 - propensity
        drawn = num_open * share
        least = np.floor(drawn)
        both = least * (2 * drawn - least - 1) / np.maximum(num_open * (num_open - 1), 1)
        both_stay = 1 - 2 * share + both
        found = np.where(is_drawn, 1 - both / share, both_stay / propensity)
    # If two items never stay together, this is right in the mean over what happens at the place.
    found = np.where(both_stay > _NEVER, found, propensity)
    return np.where(propensity < _CERTAIN, found, 1.0)
