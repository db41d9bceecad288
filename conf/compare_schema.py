"""The configuration's section `compare`: models that are measured beside one another."""

from typing import Annotated, Any

from pydantic import Field, ValidationError

from conf.problems import described
from conf.section import Name, Positive, Section
from conf.train_schema import Train

Changes = dict[str, Any]


class Compare(Section):
    models: dict[Name, Changes] = {}
    """For each model, what of the section `train` is different: `{algorithm: ease}`, or
    `{model: {encoder: gru}}`."""
    reference: str | None = None
    """Model that the others are tested against; null: the one of highest `train.metric`."""
    explained_users: Annotated[int, Field(ge=0)] = 200
    """Users whose best item's strongest reason is taken away, to see whether its score falls."""
    draws: Positive = 1000
    """Of users, for the intervals."""


def section_of_model(train: Train, changes: Changes) -> Train:
    """Return `train` with a model's changes.

    Raises:
        ValueError: When they break a rule, with key and rule.
    """
    try:
        return Train.model_validate(_merged(train.model_dump(), changes))
    except ValidationError as error:
        problems = (described(detail, Train) for detail in error.errors())
        raise ValueError("; ".join(problems)) from error


def broken_comparison_rules(train: Train, compare: Compare) -> list[str]:
    """Return what is wrong, each with key, value and rule."""
    problems = []
    for name, changes in compare.models.items():
        try:
            section_of_model(train, changes)
        except ValueError as error:
            problems.append(f"compare.models.{name}: {error}")
    if compare.reference is not None and compare.reference not in compare.models:
        problems.append(
            f"compare.reference={compare.reference!r} is none of compare.models: "
            f"{', '.join(compare.models) or 'there are none'}"
        )
    return problems


def _merged(section: dict[str, Any], changes: Changes) -> dict[str, Any]:
    """Return a section with changes, keys of inner sections one by one."""
    merged = dict(section)
    for key, value in changes.items():
        inner = merged.get(key)
        if isinstance(inner, dict) and isinstance(value, dict):
            merged[key] = _merged(inner, value)
        else:
            merged[key] = value
    return merged
