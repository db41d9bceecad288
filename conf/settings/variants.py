"""The configuration of a run with something of its section `train` different, checked."""

from typing import Any

from conf.errors import ConfigError
from conf.settings.choosing import Compare, Tune, broken_comparison_rules, section_of_model
from conf.settings.config import Config
from conf.settings.rules import broken_rules


def with_changes(config: Config, where: str, changes: dict[str, Any]) -> Config:
    """Return the configuration with other settings in `train`.

    Args:
        config: What it is different from.
        where: What the settings are called in an error.
        changes: What of `train` is different, as of one model of `compare.models`.

    Returns:
        The configuration, without what the settings have no part in: `compare` and `tune`.

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


def require_comparable(config: Config, where: str, changes: dict[str, Any]) -> None:
    """Refuse settings with which the models of `compare` would break a rule.

    Raises:
        ConfigError: With every rule that is broken.
    """
    problems = broken_comparison_rules(section_of_model(config.train, changes), config.compare)
    if problems:
        raise ConfigError(f"{where}: {'; '.join(problems)}")
