"""Read a YAML file and its overrides into a `Config`, or report all problems at once."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError
from yaml import YAMLError

from conf.errors import ConfigError
from conf.settings.config import Config
from conf.settings.key_tree import described
from conf.settings.overrides import merged_with, named, resolved
from conf.workspace.output_file import write_whole

_FROM_ENVIRONMENT = re.compile(r"^\$\{oc\.env:\w+(, *null)?\}$")


def load_config(path: Path, overrides: Sequence[str] = ()) -> Config:
    """Return the configuration in `path`, changed by `section.key=value` overrides.

    Raises:
        ConfigError: With every problem at once: file, dotted key, value, rule, nearest key.
    """
    if not path.is_file():
        raise ConfigError(f"configuration file {path} does not exist; name one with --config")
    return _checked(path, _merged_tree(path, overrides), overrides)


def _checked(path: Path, tree: Any, overrides: Sequence[str] = ()) -> Config:
    """Return the configuration of a tree of keys; errors name `path`, or the override at fault."""
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        problems = [
            described(detail, Config) + named(overrides, detail) for detail in error.errors()
        ]
        raise _refused(path, problems, overrides) from error


def _refused(path: Path, problems: Sequence[str], overrides: Sequence[str]) -> ConfigError:
    changed = f" with {len(overrides)} override(s)" if overrides else ""
    lines = "\n".join(f"  {problem}" for problem in problems)
    return ConfigError(f"{path}{changed}: {len(problems)} problem(s)\n{lines}")


def write_changed(
    path: Path,
    overrides: Sequence[str],
    settings: Mapping[str, Any],
    output: Path,
    comments: Sequence[str] = (),
    *,
    without_models: Sequence[str] = (),
) -> None:
    """Write the configuration in `path` with changed settings, checked, and comments above it.

    References to the environment are written as references, not as their values.

    Args:
        path: The file to start from.
        overrides: Changes to it, `section.key=value`.
        settings: Further changes by dotted key.
        output: The file to write.
        comments: Lines at the top of the file.
        without_models: Models of `compare` to leave out, because they do not fit the settings.

    Raises:
        ConfigError: When the changed configuration breaks a rule.
    """
    merged = merged_with(_loaded(path), overrides)
    for key, value in settings.items():
        OmegaConf.update(merged, key, value)
    for name in without_models:
        del merged.compare.models[name]
        if merged.compare.get("reference") == name:
            merged.compare.reference = None
    text = "".join(f"# {line}\n" for line in comments) + OmegaConf.to_yaml(merged)
    _checked(output, OmegaConf.to_container(OmegaConf.create(text), resolve=True))
    write_whole(output, text)


def _merged_tree(path: Path, overrides: Sequence[str]) -> Any:
    merged = merged_with(_loaded(path), overrides)
    _require_key_from_environment(path, OmegaConf.to_container(merged, resolve=False))
    tree, problems = resolved(merged, overrides)
    if problems:
        raise _refused(path, problems, overrides)
    return tree


def _loaded(path: Path) -> DictConfig:
    """Return the keys of a file.

    Raises:
        ConfigError: When it is no YAML, or holds no keys.
    """
    try:
        base = OmegaConf.load(path)
    except (OmegaConfBaseException, YAMLError, TypeError, ValueError, OSError) as error:
        raise ConfigError(
            f"{path} cannot be read as a configuration: {str(error).strip()}"
        ) from error
    if not isinstance(base, DictConfig):
        raise ConfigError(
            f"{path} cannot be read as a configuration: it holds a list; write sections with keys, "
            "as in conf/demo.yaml"
        )
    return base


def _require_key_from_environment(path: Path, tree: Any) -> None:
    """Refuse a key that is written in the file or in the process's arguments."""
    section = tree.get("privacy") if isinstance(tree, dict) else None
    key = section.get("key") if isinstance(section, dict) else None
    if key is not None and not (isinstance(key, str) and _FROM_ENVIRONMENT.match(key)):
        raise ConfigError(
            f"{path}: privacy.key holds the key itself, which is not allowed; write "
            "${oc.env:NAME} and put the key into that variable, or name a file by "
            "privacy.key_file"
        )
