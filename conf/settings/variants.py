"""Variants of a run's configuration: changes to its section `train`, checked."""

from typing import Any

from conf.errors import ConfigError
from conf.settings.choosing import Compare, Tune, broken_comparison_rules, section_of_model
from conf.settings.config import Config
from conf.settings.rules import broken_rules


def with_changes(config: Config, where: str, changes: dict[str, Any]) -> Config:
    """Return the configuration with changes to `train`.

    Args:
        config: The configuration to change.
        where: Name of the changes in an error message.
        changes: The changes, in the form of one model of `compare.models`.

    Returns:
        The changed configuration, with `compare` and `tune` empty: they do not concern it.

    Raises:
        ConfigError: With every rule that is broken.
    """
    try:
        section = section_of_model(config.train, changes)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error
    problems = broken_rules(config.input, config.etl, section, config.privacy)
    if problems:
        raise ConfigError(f"{where}: {'; '.join(problems)}")
    return config.model_copy(update={"train": section, "compare": Compare(), "tune": Tune()})


def comparable(config: Config, changes: dict[str, Any]) -> dict[str, Any]:
    """Return the models of `compare` that break no rule after changes to `train`."""
    train = section_of_model(config.train, changes)
    models = config.compare.models
    return {
        name: own
        for name, own in models.items()
        if not broken_comparison_rules(train, Compare(models={name: own}))
    }
