"""Write the pages of the manual that follow from the code: settings, their uses, and commands.

`python -m docs.reference` writes them; with `--check` it only says which are out of date.
"""

import ast
import inspect
import re
import sys
import types
from collections.abc import Iterator
from datetime import date
from functools import cache
from itertools import pairwise
from pathlib import Path
from textwrap import dedent
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from conf.command.cli import app
from conf.settings.config import Config
from conf.settings.key_tree import fields_in, parts_at
from docs.partners import partners_of
from docs.uses import uses_page

FOLDER = Path(__file__).parent
SETTINGS_HEAD = """# Every setting

One YAML file describes a run; `section.key=value` after a command changes one key. This page lists
every key of that file. It is generated from the code, so it is always complete.

A change like `score.rules={caps: {brand: 2}}` adds its keys to those of the file. `score.rules={}`
removes the keys that the file has there, so that they have their defaults. To replace a section,
give both, the empty one first.

- **default**: *required* means that the file must set the key.
- **takes**: the type, its limits, and the unit in brackets.
- *Goes with*: other keys that a rule or a description names together with this one. A
  configuration that breaks a rule is refused before any work, and the error has the fix.
- `NAME` in a key is a name of your own. `null` is YAML's empty value.
- Unknown keys are refused, with the nearest right key. `${oc.env:VARIABLE}` reads a value from the
  environment.
"""
COMMANDS_HEAD = """# Every command

Every subcommand takes a configuration file and, after the flags, changes to it in the form
`section.key=value`. Progress and logs go to stderr, the result goes to stdout. The exit codes are
listed in [troubleshooting](troubleshooting.md).

`headrace --version` prints the version. `headrace --help` lists the subcommands, and
`headrace SUBCOMMAND --help` the flags of one.

`headrace --install-completion` adds completion of subcommands and flags to bash, zsh, fish or
PowerShell; open a new shell afterwards. `headrace --show-completion` prints the script instead.

This page is generated from the code.
"""
UNITS = {
    "seconds": "seconds", "minutes": "minutes", "hours": "hours", "days": "days", "mib": "MiB",
    "rows": "rows", "epochs": "epochs", "steps": "steps", "rounds": "rounds", "users": "users",
    "items": "items", "events": "events", "threads": "threads", "partitions": "partitions",
    "bytes": "bytes", "cpus": "CPUs", "words": "words", "buckets": "buckets", "files": "files",
    "workers": "workers", "trials": "trials", "share": "share, 0 to 1", "draws": "draws",
    "negatives": "items", "values": "values",
}  # fmt: skip
"""By the last word of a key."""


def settings_page() -> str:
    """Return the page of all keys."""
    together = partners()
    parts = [SETTINGS_HEAD]
    for section, paths in sorted(_places().items(), key=lambda place: _order(place[1][0])):
        parts.append(_section(section, paths, together))
    return "\n".join(parts)


def partners() -> dict[str, set[str]]:
    """Return, for each key, the keys that go with it; see `partners_of`."""
    return partners_of(
        {
            f"{_bare(path)}.{name}": text
            for path, section in sections(Config)
            for name, text in descriptions(section).items()
        }
    )


def default_of(key: str) -> str | None:
    """Return the default of a dotted key as YAML; None if there is no such key or default."""
    for path, section in sections(Config):
        if key.rpartition(".")[0] == _bare(path):
            field = fields_in(section).get(key.rpartition(".")[2])
            if field is not None and not field.is_required():
                return _default_text(field).strip("`")
    return None


def values_of(key: str) -> tuple[str, ...]:
    """Return the values that a setting takes if they are fixed."""
    found = [part for part in parts_at(Config, key.split(".")) if get_origin(part) is Literal]
    return tuple(str(value) for part in found for value in get_args(part))


def _places() -> dict[type[BaseModel], list[str]]:
    """Return the paths of each section; those of the same type have one part of the page."""
    places: dict[type[BaseModel], list[str]] = {}
    for path, section in sections(Config):
        places.setdefault(section, []).append(path)
    return {section: sorted(paths, key=_depth) for section, paths in places.items()}


def _depth(path: str) -> int:
    return path.count(".")


def _order(path: str) -> tuple[int, str]:
    """Sort by top section in the configuration's order, then sub-sections below their section."""
    return list(Config.model_fields).index(path.split(".")[0]), path


def sections(section: type[BaseModel], path: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield each section below `section` with its dotted path."""
    if path:
        yield path, section
    for name, field in fields_in(section).items():
        for suffix, inner in _inner(field.annotation, ""):
            yield from sections(inner, f"{path}.{name}{suffix}".lstrip("."))


def _inner(annotation: Any, suffix: str) -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield the sections that an annotation holds, with what their path adds."""
    origin, args = get_origin(annotation), get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield suffix, annotation
    elif origin is dict:
        yield from _inner(args[1], f"{suffix}.NAME")
    elif origin is Annotated:
        yield from _inner(args[0], suffix)
    elif origin in (Union, types.UnionType, tuple, list):
        inner = [one for one in args if one not in (type(None), Ellipsis)]
        for one in inner:
            for found, section in _inner(one, suffix):
                kind = _kind_of(section)
                yield (f"{found} ({kind})" if kind and len(inner) > 1 else found), section


def _kind_of(section: type[BaseModel]) -> str | None:
    """Return the value of `kind`, or of `method`, that chooses a section among others."""
    for name in ("kind", "method"):
        field = section.model_fields.get(name)
        if field is not None and get_origin(field.annotation) is Literal and field.is_required():
            return f"{name}: {' or '.join(map(str, get_args(field.annotation)))}"
    return None


def _section(section: type[BaseModel], paths: list[str], partners: dict[str, set[str]]) -> str:
    path = paths[0]
    text = [f"## {path}\n"]
    if len(paths) > 1:
        text.append(f"Likewise: {', '.join(f'`{other}`' for other in paths[1:])}.\n")
    doc = section.__dict__.get("__doc__")
    if doc:
        text.append(_one_line(doc.split("\n\n")[0]) + "\n")
    text.append("| key | takes | default | meaning |\n|---|---|---|---|")
    meanings = descriptions(section)
    for name, field in fields_in(section).items():
        others = sorted(partners.get(f"{_bare(path)}.{name}", set()))
        meaning = _one_line(meanings[name])
        unmentioned = [f"`{other}`" for other in others if f"`{other}" not in meaning]
        if unmentioned:
            meaning += f" *Goes with* {', '.join(unmentioned)}."
        unit = UNITS.get(name.split("_")[-1]) if _is_number(field.annotation) else None
        kind = _type_text(field.annotation, field.metadata)
        cells = [f"`{name}`", f"{kind} ({unit})" if unit else kind, _default_text(field), meaning]
        text.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(text) + "\n"


@cache
def descriptions(section: type[BaseModel]) -> dict[str, str]:
    """Return the docstrings below the fields of a section, "" if there is none.

    Pydantic could collect them itself, but would do so at each start of the command.
    """
    found = dict.fromkeys(section.model_fields, "")
    for base in reversed(section.__mro__):
        if base is BaseModel or not issubclass(base, BaseModel):
            continue
        body = ast.parse(dedent(inspect.getsource(base))).body[0].body  # type: ignore[attr-defined]
        for field, after in pairwise(body):
            if isinstance(field, ast.AnnAssign) and isinstance(after, ast.Expr):
                found[ast.unparse(field.target)] = ast.literal_eval(after.value)
    keys = {name: field.alias or name for name, field in section.model_fields.items()}
    return {keys.get(name, name): text for name, text in found.items()}


def _bare(path: str) -> str:
    """Return a section's path without the kinds that choose it."""
    return re.sub(r" \([^)]*\)", "", path)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _is_number(annotation: Any) -> bool:
    if annotation in (int, float):
        return True
    return any(_is_number(inner) for inner in get_args(annotation) if get_origin(inner) is not dict)


def _type_text(annotation: Any, metadata: list[Any] | None = None) -> str:
    """Return what a key takes, in words."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type_text(args[0], _constraints(args[1:]))
    if origin is Literal:
        return "one of " + ", ".join(f"`{value}`" for value in args)
    if origin in (Union, types.UnionType):
        shown = [_type_text(arg, metadata) for arg in args if arg is not type(None)]
        return " or ".join(dict.fromkeys(shown))
    if origin in (list, tuple):
        return f"list of {_type_text(args[0])}"
    if origin is dict:
        return f"mapping from {_type_text(args[0])} to {_type_text(args[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    names = {str: "text", bool: "true or false", int: "whole number", float: "number", date: "date"}
    return names.get(annotation, "value") + _limits(metadata or [])


def _constraints(metadata: Any) -> list[Any]:
    found: list[Any] = []
    for one in metadata:
        found.extend(one.metadata if isinstance(one, FieldInfo) else [one])
    return found


def _limits(metadata: list[Any]) -> str:
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    limits = [
        f"{text} {_number(getattr(one, name))}"
        for one in metadata
        for name, text in words.items()
        if hasattr(one, name)
    ]
    return ", " + " and ".join(limits) if limits else ""


def _number(value: float) -> str:
    """Return a limit without an exponent, with commas between groups of digits."""
    text = f"{value:,}" if isinstance(value, int) else f"{value:,.12f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _default_text(field: FieldInfo) -> str:
    if field.is_required():
        return "*required*"
    default = field.default
    if default is PydanticUndefined and field.default_factory is not None:
        default = field.default_factory()  # type: ignore[call-arg]
    if isinstance(default, BaseModel):
        default = default.model_dump(mode="json", exclude_defaults=True)
        if not default:
            return ""
    text = yaml.safe_dump(_plain(default), default_flow_style=True, width=10_000).strip()
    return f"`{text.removesuffix('...').strip()}`"


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value


def commands_page() -> str:
    """Return the page of all subcommands with their flags."""
    root = typer.main.get_command(app)
    groups: dict[str, list[str]] = {}
    for name, command in root.commands.items():  # type: ignore[attr-defined]
        panel = getattr(command, "rich_help_panel", None) or "Other"
        groups.setdefault(panel, []).append(_command(name, command))
    parts = [COMMANDS_HEAD]
    for panel, texts in groups.items():
        parts += [f"## {panel}\n", *texts]
    return "\n".join(parts)


def _command(name: str, command: Any) -> str:
    text = [f"### headrace {name}\n", _one_line(command.help or ""), ""]
    text.append("| option | default | meaning |\n|---|---|---|")
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            shown = "`section.key=value ...`"
        else:
            shown = ", ".join(f"`{option}`" for option in parameter.opts)
        default = parameter.default
        if parameter.required:
            value = "*required*"
        elif default is None or default is False or callable(default):
            value = ""
        else:
            value = f"`{default}`"
        text.append(f"| {shown} | {value} | {_one_line(parameter.help or '')} |")
    return "\n".join(text) + "\n"


def main(arguments: list[str]) -> int:
    """Write the pages, or only compare them; return the exit code."""
    pages = {
        "settings.md": settings_page(),
        "commands.md": commands_page(),
        "uses.md": uses_page(),
    }
    stale = [
        name
        for name, text in pages.items()
        if not (FOLDER / name).is_file() or (FOLDER / name).read_text(encoding="utf-8") != text
    ]
    if "--check" in arguments:
        if stale:
            print(
                f"docs: {', '.join(stale)} is out of date; run python -m docs.reference",
                file=sys.stderr,
            )
        return 1 if stale else 0
    for name in stale:
        (FOLDER / name).write_text(pages[name], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
