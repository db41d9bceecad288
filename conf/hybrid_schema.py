"""The configuration's section `train.hybrid`: several models' scores blended into one."""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from conf.counting_schema import CountingName
from conf.section import Positive, Section, VersionName

MemberName = Literal["neural", CountingName]


class Hybrid(Section):
    members: Annotated[tuple[MemberName, ...], Field(min_length=2)] = ("neural", "markov")
    """Models that are blended, each as the other sections describe it."""
    neural: VersionName | None = None
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

    @model_validator(mode="after")
    def _has_use_for_neural(self) -> "Hybrid":
        if self.neural is not None and "neural" not in self.members:
            raise ValueError(
                f"neural={self.neural}, but members has no neural; add it there, or set neural=null"
            )
        return self
