"""Read a YAML file and its overrides into a `Config`, or report all problems at once."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from yaml import YAMLError

from conf.errors import ConfigError
from conf.masking.origins import is_secret_key, remember_secrets
from conf.masking.texts import MASK, masked
from conf.settings.config import Config
from conf.settings.key_tree import described
from conf.settings.publishing.credentials import comes_from_environment, written_credentials
from conf.workspace.output_file import write_whole

_VARIABLE = re.compile(r"Environment variable '([^']*)' not found")
_SECRETS = {"key": "key_file", "former_keys": "former_key_files"}  # and what else to write
_MAY_HOLD_SECRETS = re.compile(r"privacy|spark|spark\.conf|deliver(\.\w+)?")


def load_config(path: Path, overrides: Sequence[str] = ()) -> Config:
    """Return the configuration in `path`, changed by `section.key=value` overrides.

    Raises:
        ConfigError: With every problem at once: file, dotted key, value, rule, nearest key.
    """
    if path.is_dir():
        raise ConfigError(f"configuration file {path} is a folder; name a file with --config")
    if not path.exists():
        raise ConfigError(f"configuration file {path} does not exist; name one with --config")
    return _checked(path, _merged_tree(path, overrides), overrides)


def _checked(path: Path, tree: Any, overrides: Sequence[str] = ()) -> Config:
    """Return the configuration of a tree of keys; errors name `path`, or the override at fault."""
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        problems = [_described(detail) + _named(overrides, detail) for detail in error.errors()]
        raise _refused(path, problems, overrides) from error


def _described(detail: ErrorDetails) -> str:
    """Return a message about one problem; the value of a secret key is not in it."""
    place = tuple(map(str, detail["loc"]))
    is_target = place[:1] == ("deliver",)
    is_hidden = is_secret_key(place) or (
        is_target and (len(place) < 3 or place[-1].endswith("url"))
    )  # an address that is refused may hold a password
    return described({**detail, "input": MASK} if is_hidden else detail, Config)


def _refused(path: Path, problems: Sequence[str], overrides: Sequence[str]) -> ConfigError:
    changed = f" with {len(overrides)} override(s)" if overrides else ""
    lines = "\n".join(f"  {problem}" for problem in problems)
    return ConfigError(masked(f"{path}{changed}: {len(problems)} problem(s)\n{lines}"))


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
    merged = _merged_with(_loaded(path), overrides)
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
    merged = _merged_with(_loaded(path), overrides)
    _require_key_from_environment(path, OmegaConf.to_container(merged, resolve=False))
    tree, problems = _resolved(merged, overrides)
    if problems:
        raise _refused(path, problems, overrides)
    remember_secrets(OmegaConf.to_container(merged, resolve=False), tree)
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
    for message in written_credentials(tree):
        raise ConfigError(f"{path}: {message}")
    section = tree.get("privacy") if isinstance(tree, dict) else None
    if not isinstance(section, dict):
        return
    for setting, instead in _SECRETS.items():
        value = section.get(setting)
        for key in value if isinstance(value, list) else [value]:
            if key is None or comes_from_environment(key):
                continue
            raise ConfigError(
                f"{path}: privacy.{setting} holds the key itself, which is not allowed; write "
                "${oc.env:NAME} and put the key into that variable, or name a file by "
                f"privacy.{instead}"
            )


def _merged_with(base: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """Make the changes `section.key=value` in `base`, the last one of a key last; return it.

    Raises:
        ConfigError: When an override is not of that form, or its value is no YAML or of another
            kind than that of the file.
    """
    for override in overrides:
        key, is_set, value = override.partition("=")
        if not is_set or not all(key.split(".")):
            raise ConfigError(f"override {_shown(override)!r} is not of the form section.key=value")
        try:
            base.merge_with(_change(override))  # `OmegaConf.merge` copies all of it each time
            if "".join(value.split()) == "{}":  # merging keeps what the section has
                OmegaConf.update(base, key, {}, merge=False)
        except TypeError as error:
            raise ConfigError(
                f"override {_shown(override)!r} does not fit what the file has at {key}: "
                "one is a section or a list, and the other is not; write it as the file does"
            ) from error
        except (OmegaConfBaseException, YAMLError, ValueError) as error:
            why = "" if _is_hidden(key) else f": {' '.join(str(error).split())}"
            raise ConfigError(
                f"override {_shown(override)!r} has a value that is no YAML{why}; "
                f"close its brackets and quotes, or put a text into quotes: \"{key}='...'\""
            ) from error
    return base


def _change(override: str) -> DictConfig:
    """Return the keys that an override sets; a text without quotes is taken as it is.

    YAML would take ` #` in it for the beginning of a comment, and the path would be another one.
    """
    change = OmegaConf.from_dotlist([override])
    key, _, value = override.partition("=")
    if " #" in value and value.lstrip()[0] not in "\"'|>&!#":
        node = yaml.safe_load(value)
        if isinstance(node, str):
            OmegaConf.update(change, key, value.strip())
    return change


def _named(overrides: Sequence[str], detail: ErrorDetails) -> str:
    """Return the overrides that a problem is about, to follow its message; "" for none.

    Args:
        overrides: Changes on the command line.
        detail: One detail of pydantic's error. A rule between sections has no place; it is about
            the keys that its message names.
    """
    place = ".".join(str(key) for key in detail["loc"])
    found = [one for one in overrides if _is_about(one.partition("=")[0], place, detail)]
    return _told(found)


def _resolved(merged: DictConfig, overrides: Sequence[str]) -> tuple[Any, list[str]]:
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
    return f"{key}=***" if is_set and _is_hidden(key) else masked(override)


def _is_hidden(key: str) -> bool:
    """Return whether the value of an override is not shown: it is a secret, or may hold one."""
    name = key.strip()
    return bool(_MAY_HOLD_SECRETS.fullmatch(name)) or is_secret_key(tuple(name.split(".")))


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
            f"the environment variable {name} is not set; set it, or, if it is no secret, give a "
            f"default after a comma: ${{oc.env:{name},DEFAULT}}"
        )
    reason = str(error.msg or error).splitlines()[0]
    return f"{reason}; name a key of this file with all its sections, or write ${{oc.env:NAME}}"
