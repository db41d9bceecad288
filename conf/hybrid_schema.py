"""The configuration's section `train.hybrid`: several models' scores blended into one."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from conf.section import Positive, Section

MemberName = Literal[
    "neural", "popularity", "recent_popularity", "markov", "item_knn", "ease", "als"
]


class Hybrid(Section):
    members: Annotated[tuple[MemberName, ...], Field(min_length=2)] = ("neural", "markov")
    """Models that are blended, each as the other sections describe it."""
    neural: str | None = None
    """Id of a neural model of the same dataset that is taken as it is; null: one is trained."""
    grid_parts: Positive = 4
    """The search for the weights, which add up to 1, begins with all multiples of one over this."""
    halvings: Annotated[int, Field(ge=0, le=8)] = 3
    """Then so often it takes a step half as long between each two members."""

    @field_validator("members")
    @classmethod
    def _each_once(cls, members: tuple[str, ...]) -> tuple[str, ...]:
        twice = sorted({name for name in members if members.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} stands there more than once; name each once")
        return members
