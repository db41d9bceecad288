"""The rules of how numbers and times are written in the files of each input."""

import difflib
from collections.abc import Iterator
from zoneinfo import ZoneInfo, available_timezones

from conf.settings.input import EventSource, Input, Source
from conf.settings.rules.time_patterns import ISO, has_optional_offset, why_unusable

# Names of Python's that Java's time zones lack.
_NO_PLACES = ("Factory", "localtime", "posixrules")


def broken_file_rules(given: Input) -> Iterator[str]:
    """Yield a message for each broken rule about numbers and times in texts."""
    tables = {"items": given.items, "users": given.users}
    logs = {f"events.{name}": log for name, log in given.events.items()}
    for name, source in {**logs, **tables}.items():
        if source is not None:
            yield from _about_numbers(f"input.{name}", source)
            yield from _about_times(f"input.{name}", source)


def _about_numbers(where: str, source: Source) -> Iterator[str]:
    has_value = isinstance(source, EventSource) and source.columns.value is not None
    has_count = isinstance(source, EventSource) and not (
        source.time_unit == "iso" or source.is_ordered_by_lines
    )
    for name, is_set in (
        ("decimal", source.decimal != "."),
        ("thousands", source.thousands is not None),
    ):
        if is_set and not (has_value or has_count or _has_field(source, "integer", "number")):
            yield (
                f"{where}.{name}={getattr(source, name)!r}, but the input has no value, no time "
                "as a number and no field of type integer or number; remove it"
            )
    if isinstance(source, EventSource) and source.bad_value == "blank" and not has_value:
        yield (
            f"{where}.bad_value='blank', but {where}.columns.value is null; set that, or remove "
            "bad_value"
        )


def _about_times(where: str, source: Source) -> Iterator[str]:
    has_texts = _has_field(source, "time") or (
        isinstance(source, EventSource) and source.time_unit == "iso"
    )
    for name, is_set in (
        ("time_format", bool(source.time_format)),
        ("local_time_zone", source.local_time_zone is not None),
    ):
        if is_set and not has_texts:
            unit = "time_unit is not iso, and " if isinstance(source, EventSource) else ""
            yield (
                f"{where}.{name} is for texts of times, but {unit}no field has the type time; "
                "remove it"
                + (", or set time_unit to iso" if isinstance(source, EventSource) else "")
            )
    for pattern in source.time_format:
        reason = None if pattern == ISO else why_unusable(pattern)
        if reason is not None:
            yield f"{where}.time_format={pattern!r} cannot be used: {reason}"
        elif source.local_time_zone is not None and has_optional_offset(pattern):
            yield (
                f"{where}.time_format={pattern!r} may lack its offset, and {where}.local_time_zone "
                "is set; write two patterns, one with and one without the offset"
            )
    yield from _about_zone(where, source.local_time_zone)


def _about_zone(where: str, name: str | None) -> Iterator[str]:
    if name is None or _is_time_zone(name):
        return
    near = difflib.get_close_matches(name, sorted(available_timezones()), n=1)
    hint = f"did you mean {near[0]}?" if near else "use a name such as Europe/Berlin"
    yield f"{where}.local_time_zone={name!r} is not the name of a time zone; {hint}"


def _is_time_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (OSError, ValueError, LookupError):
        return False
    return name not in _NO_PLACES


def _has_field(source: Source, *types: str) -> bool:
    return any(field.type in types for field in source.fields.values())
