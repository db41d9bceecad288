"""The configuration's section `compare`: models that are measured beside one another."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, get_origin

from pydantic import Field, ValidationError, model_validator

from conf.settings.key_tree import described, dotted_keys, parts_at
from conf.settings.section import Name, Positive, Section
from conf.settings.train import Train

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


FIXED = ("metric", "metrics_at", "baselines", "refit")


class Dimension(Section):
    choice: Annotated[tuple[Any, ...], Field(min_length=1)] | None = None
    """Values to choose from; a section's are mappings of what is different in it."""
    low: int | float | None = None
    """Smallest value of a range."""
    high: int | float | None = None
    """Largest value of it."""
    log: bool = False
    """Whether equal ratios are equally likely, not equal differences; `low` is above 0 then."""
    step: Annotated[int | float, Field(gt=0)] | None = None
    """Distance between the values of a range, from `low`; null: all of them, or whole numbers."""

    @model_validator(mode="after")
    def _is_one_of_two(self) -> "Dimension":
        if self.choice is not None:
            if self.log or any(one is not None for one in (self.low, self.high, self.step)):
                raise ValueError("has a choice, and low, high, log or step too; take one of them")
            return self
        if self.low is None or self.high is None:
            raise ValueError("needs choice: [...], or low and high")
        if self.low >= self.high:
            raise ValueError(f"low={self.low} has to be below high={self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"low={self.low} with log has to be above 0")
        if self.log and self.step is not None:
            raise ValueError("log and step exclude each other; leave one out")
        return self


class Pruning(Section):
    kind: Literal["none", "median", "halving"] = "median"
    """What gives up a network's trial early. median: its best figure so far is below the median of
    what the finished trials had by that epoch. halving: at epoch `warmup_epochs`, and then
    `reduction_factor` times as late again and again, only one in `reduction_factor` goes on."""
    warmup_epochs: Positive = 2
    """Epochs that every trial is trained."""
    startup_trials: Positive = 4
    """Of median: finished trials without which none is given up."""
    reduction_factor: Annotated[int, Field(ge=2)] = 3
    """Of halving."""


class Tune(Section):
    trials: Positive = 20
    """Settings to try, those included that are refused or given up; may be raised later on."""
    budget_seconds: Positive | None = None
    """No trial begins once the trials have taken so long together; null: no limit."""
    seed: Annotated[int, Field(ge=0)] = 1
    """Of what is tried."""
    sampler: Literal["tpe", "random"] = "tpe"
    """How settings are drawn: tpe draws more often what is like the best so far."""
    startup_trials: Positive = 8
    """Of tpe: trials drawn at random before that."""
    pruning: Pruning = Pruning()
    space: dict[str, Dimension] = {}
    """Keys below `train`, with dots, and what to try of each: `optimizer.learning_rate: {low:
    0.0001, high: 0.1, log: true}`, `model.width: {choice: [32, 64]}`."""


def nested(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by dotted key as a tree of mappings."""
    tree: dict[str, Any] = {}
    for key, value in chosen.items():
        *path, last = key.split(".")
        inner = tree
        for name in path:
            inner = inner.setdefault(name, {})
        inner[last] = value
    return tree


def is_whole(key: str) -> bool:
    """Return whether what stands at a key below `train` is a whole number."""
    parts = parts_at(Train, key.split("."))
    return int in parts and float not in parts


def broken_tuning_rules(tune: Tune) -> Iterator[str]:
    """Yield what is wrong, each with key, value and rule."""
    for key, dimension in tune.space.items():
        where, parts = f"tune.space.{key}", parts_at(Train, key.split("."))
        outer = [other for other in tune.space if key.startswith(f"{other}.")]
        if not _is_known(key):
            yield f"{where}: train has no such key; did you mean {_nearest(key)}?"
        elif key in FIXED:
            yield f"{where}: train.{key} is the same for all trials; set it in train"
        elif outer:
            yield f"{where} lies within tune.space.{outer[0]}; leave one of them out"
        elif dimension.choice is None:
            yield from _about_range(where, key, dimension, parts)


def _is_known(key: str) -> bool:
    """Return whether `train` has the key, or a mapping to whose entries it leads."""
    outer = key.rpartition(".")[0]
    is_entry = any(get_origin(part) is dict for part in parts_at(Train, outer.split(".")))
    return is_entry or key in dotted_keys(Train)


def _about_range(where: str, key: str, spec: Dimension, parts: list[Any]) -> Iterator[str]:
    if int not in parts and float not in parts:
        yield f"{where}: train.{key} is no number; give a choice: [...]"
    elif is_whole(key):
        for name in ("low", "high", "step"):
            value = getattr(spec, name)
            if value is not None and value != int(value):
                yield f"{where}.{name}={value}: train.{key} is a whole number; give one"


def _nearest(key: str) -> str:
    """Return the key that was most likely meant: of the same last part, or of like letters."""
    known = list(dotted_keys(Train))
    last = key.rpartition(".")[2]
    same = [other for other in known if other.rpartition(".")[2] == last]
    return difflib.get_close_matches(key, same or known, n=1, cutoff=0.0)[0]
