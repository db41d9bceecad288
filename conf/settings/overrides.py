"""Changes to the configuration on the command line, and references to what is outside of it."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic_core import ErrorDetails
from yaml import YAMLError

from conf.errors import ConfigError

_VARIABLE = re.compile(r"Environment variable '([^']*)' not found")
_SECRET = ("privacy", "privacy.key")


def merged_with(base: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """Return the configuration with the changes `section.key=value`, the last one of a key last.

    Raises:
        ConfigError: When an override is not of that form, or its value is no YAML.
    """
    merged: Any = base
    for override in overrides:
        key, is_set, _ = override.partition("=")
        if not is_set or not all(key.split(".")):
            raise ConfigError(f"override {_shown(override)!r} is not of the form section.key=value")
        try:
            merged = OmegaConf.merge(merged, OmegaConf.from_dotlist([override]))
        except (OmegaConfBaseException, YAMLError, TypeError, ValueError) as error:
            why = "" if key in _SECRET else f": {' '.join(str(error).split())}"
            raise ConfigError(
                f"override {_shown(override)!r} has a value that is no YAML{why}; "
                f"close its brackets and quotes, or put a text into quotes: \"{key}='...'\""
            ) from error
    assert isinstance(merged, DictConfig)
    return merged


def named(overrides: Sequence[str], detail: ErrorDetails) -> str:
    """Return the overrides that a problem is about, to follow its message; "" for none.

    Args:
        overrides: Changes on the command line.
        detail: One detail of pydantic's error. A rule between sections has no place; it is about
            the keys that its message names.
    """
    place = ".".join(str(key) for key in detail["loc"])
    found = [one for one in overrides if _is_about(one.partition("=")[0], place, detail)]
    return _told(found)


def resolved(merged: DictConfig, overrides: Sequence[str]) -> tuple[Any, list[str]]:
    """Return the tree of keys with all references resolved, and a message for each that cannot be.

    The tree is None if there are such messages.
    """
    problems = []
    for key, text, error in _unresolved(merged, OmegaConf.to_container(merged, resolve=False)):
        own = [one for one in overrides if f"{key}.".startswith(f"{one.partition('=')[0]}.")]
        problems.append(f"{key}={text}: {_why(error)}{_told(own)}")
    return (None if problems else OmegaConf.to_container(merged, resolve=True)), problems


def _is_about(key: str, place: str, detail: ErrorDetails) -> bool:
    if not place:
        parts = key.split(".")
        names = [key, *(".".join(parts[:end]) for end in range(2, len(parts)))]
        one_of = "|".join(map(re.escape, names))
        return re.search(rf"(?<![\w.])({one_of})(?!\w|\.\w)", detail["msg"]) is not None
    if detail["type"] == "value_error" and key.startswith(f"{place}."):
        # A rule of a section is about the keys that it names, without the section.
        return re.search(rf"\b{re.escape(key[len(place) + 1 :])}\b", detail["msg"]) is not None
    return f"{key}.".startswith(f"{place}.") or f"{place}.".startswith(f"{key}.")


def _told(overrides: Sequence[str]) -> str:
    shown = " ".join(_shown(one) for one in overrides)
    return f" (override: {shown})" if overrides else ""


def _shown(override: str) -> str:
    key, is_set, _ = override.partition("=")
    return f"{key}=***" if is_set and key in _SECRET else override


def _unresolved(
    node: Any, written: Any, prefix: str = ""
) -> Iterator[tuple[str, str, OmegaConfBaseException]]:
    """Yield key, text and error of each reference below a node that leads to nothing."""
    for key, text in written.items() if isinstance(written, dict) else enumerate(written):
        place = f"{prefix}{key}"
        if isinstance(text, dict | list):
            yield from _unresolved(node[key], text, f"{place}.")
        elif isinstance(text, str) and "${" in text:
            try:
                node[key]
            except OmegaConfBaseException as error:
                yield place, text, error


def _why(error: OmegaConfBaseException) -> str:
    variable = _VARIABLE.search(str(error))
    if variable is not None:
        name = variable[1]
        return (
            f"the environment variable {name} is not set; set it, or write the value to take "
            f"without it after a comma: ${{oc.env:{name},VALUE}}"
        )
    reason = str(error.msg or error).splitlines()[0]
    return f"{reason}; name a key of this file with all its sections, or write ${{oc.env:NAME}}"
