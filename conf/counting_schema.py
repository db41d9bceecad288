"""The configuration's section `train.counting`: models that need no gradient, only counts."""

from typing import Annotated, Literal

from pydantic import Field

from conf.section import Positive, Section

CountingName = Literal["popularity", "recent_popularity", "markov", "item_knn", "ease", "als"]

Decay = Annotated[float, Field(gt=0, le=1)]
AboveZero = Annotated[float, Field(gt=0)]
AtLeastZero = Annotated[float, Field(ge=0)]


class RecentPopularity(Section):
    half_life_days: AboveZero = 30.0
    """Age at which a training event counts half, from the newest training event on."""


class ItemKnn(Section):
    neighbours: Positive = 200
    """Most similar items that are kept of each item."""
    similarity: Literal["cosine", "jaccard"] = "cosine"
    """Of two items' sets of users."""
    shrinkage: AtLeastZero = 10.0
    """Users added to the denominator: what few users say counts less."""
    history_decay: Decay = 0.8
    """Weight of an event at scoring over that of the one after it; 1: all count the same."""


class Ease(Section):
    regularisation: AboveZero = 250.0
    """Added to the diagonal of the items' co-occurrence counts."""
    history_decay: Decay = 0.8
    """Weight of an event at scoring over that of the one after it; 1: all count the same."""
    weights_per_item: Positive = 1000
    """Weights of largest magnitude that are kept of each item of a history; with as many as there
    are items the model is exact, at 8 bytes a weight."""
    max_items: Positive = 30_000
    """Most items that it is fitted for: memory is 12 bytes times their square, time its cube."""


class Als(Section):
    factors: Positive = 128
    """Width of the items' vectors."""
    regularisation: AboveZero = 1.0
    """Penalty on the squares of users' and items' vectors."""
    alpha: AboveZero = 10.0
    """Confidence in an event over that in its absence, less one."""
    iterations: Positive = 15
    """Rounds, each once over users and once over items."""
    history_decay: Decay = 0.8
    """Weight of an event at scoring over that of the one after it; 1: all count the same."""


class Counting(Section):
    recent_popularity: RecentPopularity = RecentPopularity()
    item_knn: ItemKnn = ItemKnn()
    ease: Ease = Ease()
    als: Als = Als()
