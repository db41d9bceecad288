"""Read a YAML file and its overrides into a `Config`, or report all that is wrong with it."""

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from yaml import YAMLError

from conf.errors import ConfigError
from conf.key_tree import known_keys
from conf.schema import Config

_FROM_ENVIRONMENT = re.compile(r"^\$\{oc\.env:\w+(, *null)?\}$")


def load_config(path: Path, overrides: Sequence[str] = ()) -> Config:
    """Return the configuration in `path`, changed by `section.key=value` overrides.

    Raises:
        ConfigError: With every problem at once: file, dotted key, value, rule, nearest key.
    """
    if not path.is_file():
        raise ConfigError(f"configuration file {path} does not exist; name one with --config")
    tree = _merged_tree(path, overrides)
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        problems = [_describe(detail) for detail in error.errors()]
        lines = "\n".join(f"  {problem}" for problem in problems)
        raise ConfigError(f"{path}: {len(problems)} problem(s)\n{lines}") from error


def write_changed(
    path: Path,
    overrides: Sequence[str],
    settings: Mapping[str, Any],
    output: Path,
    comments: Sequence[str] = (),
) -> None:
    """Write the configuration in `path` with other settings, checked, and comments above it.

    What comes from the environment is written as it stands in the file, not its value.

    Args:
        path: The file to start from.
        overrides: Its changes, `section.key=value`.
        settings: Further changes by dotted key.
        output: The file to write.
        comments: Lines above all else.

    Raises:
        ConfigError: When the changed configuration breaks a rule.
    """
    merged = OmegaConf.merge(OmegaConf.load(path), OmegaConf.from_dotlist(list(overrides)))
    for key, value in settings.items():
        OmegaConf.update(merged, key, value)
    text = "".join(f"# {line}\n" for line in comments) + OmegaConf.to_yaml(merged)
    temporary = output.with_name(f".{output.name}.new")
    temporary.write_text(text, encoding="utf-8")
    try:
        load_config(temporary)
    except ConfigError:
        temporary.unlink()
        raise
    temporary.replace(output)


def _merged_tree(path: Path, overrides: Sequence[str]) -> Any:
    for override in overrides:
        if "=" not in override or override.startswith("="):
            raise ConfigError(f"override {override!r} is not of the form section.key=value")
    try:
        base = OmegaConf.load(path)
        merged = OmegaConf.merge(base, OmegaConf.from_dotlist(list(overrides)))
        _require_key_from_environment(path, OmegaConf.to_container(merged, resolve=False))
        return OmegaConf.to_container(merged, resolve=True)
    except (OmegaConfBaseException, YAMLError, TypeError, ValueError, OSError) as error:
        text = str(error).strip()
        raise ConfigError(f"{path} cannot be read as a configuration: {text}") from error


def _require_key_from_environment(path: Path, tree: Any) -> None:
    """Refuse a key that stands in a file or among a process's arguments."""
    section = tree.get("privacy") if isinstance(tree, dict) else None
    key = section.get("key") if isinstance(section, dict) else None
    if key is not None and not (isinstance(key, str) and _FROM_ENVIRONMENT.match(key)):
        raise ConfigError(f"{path}: privacy.key holds a text; write ${{oc.env:NAME}} and put the "
                          "key into that variable, or name a file by privacy.key_file")  # fmt: skip


def _describe(detail: ErrorDetails) -> str:
    keys = [str(key) for key in detail["loc"]]
    dotted = ".".join(keys) or "(whole file)"
    if detail["type"] == "extra_forbidden":
        nearest = difflib.get_close_matches(
            keys[-1], known_keys(Config, keys[:-1]), n=1, cutoff=0.4
        )
        hint = f"; did you mean {'.'.join([*keys[:-1], nearest[0]])}?" if nearest else ""
        return f"{dotted}: unknown key{hint}"
    if detail["type"] == "missing":
        return f"{dotted}: is missing and has no default"
    if detail["type"] == "value_error":
        return f"{dotted}: {detail['msg'].removeprefix('Value error, ')}"
    value = "***" if keys == ["privacy", "key"] else repr(detail["input"])
    return f"{dotted}={value}: {detail['msg']}"
