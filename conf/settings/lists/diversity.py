"""The sections `score.diversity` and `score.exploration`: items that differ, and trials."""

from typing import Literal

from pydantic import model_validator

from conf.settings.section import Name, Positive, Section, Share

VECTORS = "vectors"


class Diversity(Section):
    """Maximal marginal relevance: each place takes a good item that differs from the others."""

    weight: Share = 0.3
    """How much the difference counts against the score: each place takes the item with the highest
    (1 - weight) times relevance minus weight times the largest similarity to an item of the list.
    0: the score alone decides."""
    among: Positive = 50
    """Best items of each user that it chooses among; at least `score.list_length`. Their scores are
    brought to a relevance from 0 to 1: the last of them has 0, the first 1."""
    by: Name = VECTORS
    """What makes two items similar. vectors: the cosine of their vectors in the model, only with a
    network or als. Otherwise a field of items: 1 for the same value, else 0; for a field that
    `etl.features` encodes as tags, the share of common tags (Jaccard)."""


class Exploration(Section):
    """Places of the model's lists that go to items drawn at random, with known probabilities."""

    share: Share = 0.1
    """Share of the places of the model's lists, pinned and refilled ones not counted."""
    weights: Literal["uniform", "new_first", "thompson"] = "uniform"
    """How likely each item is that the user may get and that is not in the list. uniform: all
    alike. new_first: in proportion to 1 / (1 + training events). thompson: in proportion to the
    probability that it has the highest success rate of all items, by Beta posteriors."""
    successes: tuple[str, ...] = ()
    """Types of events that count as successes, such as `[purchase]`; all other events of an item
    are failures. Only with `weights: thompson`, which needs it."""

    @model_validator(mode="after")
    def _successes_fit(self) -> "Exploration":
        if self.weights == "thompson" and not self.successes:
            raise ValueError(
                "weights is 'thompson', but successes is empty; name the types of events that "
                "count as successes, such as [purchase]"
            )
        if self.weights != "thompson" and self.successes:
            raise ValueError(
                f"successes is only for weights: thompson, but weights is {self.weights!r}; leave "
                "it out"
            )
        return self
