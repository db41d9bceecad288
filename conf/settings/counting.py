"""The section `train.counting`: models that count instead of training a network."""

from typing import Annotated, Literal

from pydantic import Field

from conf.settings.section import Positive, Section

CountingName = Literal["popularity", "recent_popularity", "markov", "item_knn", "ease", "als"]
AboveZero = Annotated[float, Field(gt=0)]
Decay = Annotated[float, Field(gt=0, le=1)]
AtLeastZero = Annotated[float, Field(ge=0)]


class Als(Section):
    """Alternating least squares: item vectors fitted to the items that each user had."""

    factors: Positive = 128
    """Width of the item vectors."""
    regularisation: AboveZero = 1.0
    """Penalty on the squares of the user and item vectors."""
    alpha: AboveZero = 10.0
    """Extra confidence in an item that a user has had: 1 + alpha, or 1 + alpha r if it has r times
    the mean confidence (see `etl.event_types.NAME.weight`); all other items have 1."""
    iterations: Positive = 15
    """Rounds of fitting; each solves for all users, then for all items."""
    history_decay: Decay = 0.8
    """At scoring, weight of an event relative to the next newer one; 1: all weigh the same."""


class Ease(Section):
    """EASE, a linear model of all items on all others, in closed form."""

    regularisation: AboveZero = 250.0
    """Number added to the diagonal of the items' co-occurrence counts. If events differ in
    confidence, a pair of events of mean confidence counts 1."""
    history_decay: Decay = 0.8
    """At scoring, weight of an event relative to the next newer one; 1: all weigh the same."""
    weights_per_item: Positive = 1000
    """Weights of largest magnitude that are kept for each item of a history, 8 bytes each. If it
    is at least the number of items, all are kept and the model is exact."""
    max_items: Positive = 30_000
    """Largest catalogue that the model is fitted to; a larger one is refused. Memory is 12 bytes
    times the square of the number of items, time grows with its cube."""


class ItemKnn(Section):
    """Nearest neighbours among items: similar items were used by the same users."""

    neighbours: Positive = 200
    """Most similar items that are kept for each item."""
    similarity: Literal["cosine", "jaccard"] = "cosine"
    """Similarity of two items, computed from their sets of users."""
    shrinkage: AtLeastZero = 10.0
    """Number added to the denominator of the similarity, in users; pairs with few users count
    less."""
    history_decay: Decay = 0.8
    """At scoring, weight of an event relative to the next newer one; 1: all weigh the same."""


class RecentPopularity(Section):
    """Popularity in which older events count less. Needs a log with times, split in time order."""

    half_life_days: AboveZero = 30.0
    """Age at which a training event counts half; ages are counted from the newest training event.
    Needs `etl.windows: all`."""


class Counting(Section):
    """Settings of the models that count instead of training a network."""

    recent_popularity: RecentPopularity = RecentPopularity()
    """Settings of the algorithm `recent_popularity`."""
    item_knn: ItemKnn = ItemKnn()
    """Settings of the algorithm `item_knn`."""
    ease: Ease = Ease()
    """Settings of the algorithm `ease`."""
    als: Als = Als()
    """Settings of the algorithm `als`."""
