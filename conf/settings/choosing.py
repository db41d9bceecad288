"""The configuration's sections `compare` and `tune`: how to choose a model."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, get_origin

from pydantic import Field, ValidationError, model_validator

from conf.settings.key_tree import described, dotted_keys, parts_at
from conf.settings.section import Name, Positive, Section
from conf.settings.train import Train

Changes = dict[str, Any]
FIXED = ("metric", "metrics_at", "baselines", "refit", "gate", "auto")


class Compare(Section):
    """Models that `headrace compare` measures on the same events."""

    models: dict[Name, Changes] = {}
    """For each model, by a name of your own, the changes to the section `train`:
    `{algorithm: ease}`, or `{model: {encoder: gru}}`."""
    reference: str | None = None
    """Model of `compare.models` that the others are tested against; null: the one with the highest
    `train.metric`."""
    explained_users: Annotated[int, Field(ge=0)] = 200
    """Users whose strongest reason is removed from the history, to test whether the score of their
    best item falls."""
    draws: Positive = 1000
    """Bootstrap draws of the users, for the confidence intervals."""


def section_of_model(train: Train, changes: Changes) -> Train:
    """Return `train` with a model's changes.

    Raises:
        ValueError: When the changes break a rule; the message names key and rule.
    """
    try:
        written = train.model_dump(exclude_unset=True)
        return Train.model_validate(_merged(written, changes))
    except ValidationError as error:
        problems = (described(detail, Train) for detail in error.errors())
        raise ValueError("; ".join(problems)) from error


def broken_comparison_rules(train: Train, compare: Compare) -> list[str]:
    """Return a message for each broken rule of `compare`: key, value and rule."""
    problems = []
    for name, changes in compare.models.items():
        try:
            section_of_model(train, changes)
        except ValueError as error:
            problems.append(f"compare.models.{name}: {error}")
    if compare.reference is not None and compare.reference not in compare.models:
        problems.append(
            f"compare.reference={compare.reference!r} is not one of compare.models: "
            f"{', '.join(compare.models) or 'there are none'}"
        )
    return problems


def _merged(section: dict[str, Any], changes: Changes) -> dict[str, Any]:
    """Return a section with changes; inner sections are merged key by key."""
    merged = dict(section)
    for key, value in changes.items():
        inner = merged.get(key)
        if isinstance(inner, dict) and isinstance(value, dict):
            merged[key] = _merged(inner, value)
        else:
            merged[key] = value
    return merged


class Dimension(Section):
    """Values to try for one key: a choice, or a range from `low` to `high`."""

    choice: Annotated[tuple[Any, ...], Field(min_length=1)] | None = None
    """Values to choose from; for a key that is a section, mappings with the changes to it. Excludes
    all other keys here."""
    low: int | float | None = None
    """Smallest value of the range. Needs `tune.space.NAME.high`."""
    high: int | float | None = None
    """Largest value of the range. Needs `tune.space.NAME.low`."""
    log: bool = False
    """Whether the range is drawn from on a logarithmic scale. Needs `tune.space.NAME.low` above 0,
    excludes `tune.space.NAME.step`."""
    step: Annotated[int | float, Field(gt=0)] | None = None
    """Distance between the values of the range, starting at `tune.space.NAME.low`; null: every
    value, or every whole number for a key that takes whole numbers."""

    @model_validator(mode="after")
    def _is_one_of_two(self) -> "Dimension":
        if self.choice is not None:
            if self.log or any(one is not None for one in (self.low, self.high, self.step)):
                raise ValueError("has a choice, and low, high, log or step too; keep one of them")
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
    """When the trial of a network is stopped early."""

    kind: Literal["none", "median", "halving"] = "median"
    """Rule that stops a trial. none: no trial is stopped. median: its best figure so far is below
    the median of the finished trials at that epoch. halving: at epoch
    `tune.pruning.warmup_epochs`, and at that number times each power of
    `tune.pruning.reduction_factor`, only one in `tune.pruning.reduction_factor` trials
    continues."""
    warmup_epochs: Positive = 2
    """Epochs that every trial is trained before it may be stopped."""
    startup_trials: Positive = 4
    """Finished trials that `median` needs before it stops any."""
    reduction_factor: Annotated[int, Field(ge=2)] = 3
    """With `halving`, one in this number of trials continues."""


class Tune(Section):
    """The search of `headrace tune` for the settings with the best validation figure."""

    trials: Positive = 20
    """Number of trials, including those that are refused or stopped early. Raise it to continue a
    finished search."""
    budget_seconds: Positive | None = None
    """No trial begins once all trials together have taken this number of seconds; null: no
    limit."""
    seed: Annotated[int, Field(ge=0)] = 1
    """Seed of the settings that are tried."""
    sampler: Literal["tpe", "random"] = "tpe"
    """How settings are drawn. tpe: more often near the best so far. random: all equally often."""
    startup_trials: Positive = 8
    """Trials that `tpe` draws at random before it uses their results."""
    pruning: Pruning = Pruning()
    """When the trial of a network is stopped early."""
    space: dict[str, Dimension] = {}
    """Keys below `train`, with dots, and the values to try for each:
    `optimizer.learning_rate: {low: 0.0001, high: 0.1, log: true}`, `model.width: {choice: [32,
    64]}`. The keys metric, metrics_at, baselines, refit, gate and auto are the same for all
    trials. Needs a `train.algorithm` other than `auto`, or the key algorithm in the space."""


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
    """Return whether a key below `train` takes a whole number."""
    parts = parts_at(Train, key.split("."))
    return int in parts and float not in parts


def broken_tuning_rules(tune: Tune) -> Iterator[str]:
    """Yield a message for each broken rule of `tune`: key, value and rule."""
    for key, dimension in tune.space.items():
        where, parts = f"tune.space.{key}", parts_at(Train, key.split("."))
        outer = [other for other in tune.space if key.startswith(f"{other}.")]
        if not _is_known(key):
            yield f"{where}: train has no such key; did you mean {_nearest(key)}?"
        elif key in FIXED:
            yield f"{where}: train.{key} is the same for all trials; set it in train"
        elif outer:
            yield f"{where} is inside tune.space.{outer[0]}; leave one of them out"
        elif dimension.choice is None:
            yield from _about_range(where, key, dimension, parts)


def _is_known(key: str) -> bool:
    """Return whether `train` has the key, or has a mapping that the key is an entry of."""
    outer = key.rpartition(".")[0]
    is_entry = any(get_origin(part) is dict for part in parts_at(Train, outer.split(".")))
    return is_entry or key in dotted_keys(Train)


def _about_range(where: str, key: str, spec: Dimension, parts: list[Any]) -> Iterator[str]:
    if int not in parts and float not in parts:
        yield f"{where}: train.{key} is not a number; give a choice: [...]"
    elif is_whole(key):
        for name in ("low", "high", "step"):
            value = getattr(spec, name)
            if value is not None and value != int(value):
                yield f"{where}.{name}={value}: train.{key} is a whole number; give one"


def _nearest(key: str) -> str:
    """Return the key that was most likely meant: the same last part, or similar letters."""
    known = list(dotted_keys(Train))
    last = key.rpartition(".")[2]
    same = [other for other in known if other.rpartition(".")[2] == last]
    return difflib.get_close_matches(key, same or known, n=1, cutoff=0.0)[0]
