"""The keys that sections of the configuration may have, and error messages about wrong ones."""

import difflib
from collections.abc import Iterator, Sequence
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails


def known_keys(root: type[BaseModel], path: Sequence[str]) -> list[str]:
    """Return the keys that the section at `path` below `root` may hold."""
    return [key for part in parts_at(root, path) if _is_section(part) for key in fields_in(part)]


def fields_in(section: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return the fields of a section by their keys: `from` cannot be the name of a field."""
    return {field.alias or name: field for name, field in section.model_fields.items()}


def parts_at(root: type[BaseModel], path: Sequence[str]) -> list[Any]:
    """Return the types that the key at `path` below `root` may have; none if there is no key."""
    found: list[Any] = [root]
    for key in path:
        found = [inner for annotation in found for inner in _at_key(annotation, key)]
    return [part for annotation in found for part in _parts_of(annotation)]


def dotted_keys(root: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yield every dotted key below `root`: sections and the keys in them."""
    for name in fields_in(root):
        yield f"{prefix}{name}"
        for part in parts_at(root, [name]):
            if _is_section(part):
                yield from dotted_keys(part, f"{prefix}{name}.")


def _at_key(annotation: Any, key: str) -> list[Any]:
    """Return the types that a key of a section or mapping may have; the key may name a kind."""
    found: list[Any] = []
    for part in _parts_of(annotation):
        if get_origin(part) is dict:
            found.append(get_args(part)[1])
        elif _is_section(part) and key in fields_in(part):
            found.append(fields_in(part)[key].annotation)
        elif _is_section(part) and key in _kinds_of(part):
            found.append(part)
    return found


def _parts_of(annotation: Any) -> list[Any]:
    """Return the alternatives of an annotation, without constraints on their values."""
    if get_origin(annotation) is Annotated:
        return _parts_of(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [part for inner in get_args(annotation) for part in _parts_of(inner)]
    return [annotation]


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _kinds_of(section: type[BaseModel]) -> tuple[Any, ...]:
    kind = section.model_fields.get("kind")
    return () if kind is None else get_args(kind.annotation)


def described(detail: ErrorDetails, root: type[BaseModel]) -> str:
    """Return a message with the dotted key, value and rule, or the nearest key if it is unknown.

    Args:
        detail: One detail of pydantic's error.
        root: The section that was validated.
    """
    keys = [str(key) for key in detail["loc"]]
    dotted = ".".join(keys)
    if detail["type"] == "extra_forbidden":
        nearest = difflib.get_close_matches(keys[-1], known_keys(root, keys[:-1]), n=1, cutoff=0.4)
        hint = f"; did you mean {'.'.join([*keys[:-1], nearest[0]])}?" if nearest else ""
        return f"{dotted}: unknown key{hint}"
    if detail["type"] == "missing":
        return f"{dotted}: is missing and has no default"
    if detail["type"] == "value_error":
        rule = detail["msg"].removeprefix("Value error, ")
        return f"{dotted}: {rule}" if dotted else rule  # a rule between sections names its keys
    if detail["type"] in ("model_type", "dict_type"):
        inner = ".".join([*keys, next(iter(known_keys(root, keys)), "NAME")])
        return f"{dotted}={detail['input']!r}: is a section; set keys in it, such as {inner}"
    if detail["type"] == "union_tag_not_found":
        return f"{dotted}.{str(detail['ctx']['discriminator']).strip(chr(39))}: is missing"
    if detail["type"] == "union_tag_invalid":
        context = detail["ctx"]
        key = f"{dotted}.{str(context['discriminator']).strip(chr(39))}"
        return f"{key}={context['tag']!r}: is none of {context['expected_tags']}"
    value = "***" if keys == ["privacy", "key"] else repr(detail["input"])
    if detail["type"] in ("bool_parsing", "bool_type"):
        return f"{dotted}={value}: is neither true nor false"
    return f"{dotted}={value}: {detail['msg']}"
