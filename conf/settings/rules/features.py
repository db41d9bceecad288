"""The rules of features, impressions and the catalogue, between `input`, `etl` and `privacy`."""

import re
from collections.abc import Iterator, Mapping

from conf.settings.etl import Etl
from conf.settings.features import (
    Bucketed,
    Categorical,
    Features,
    Hashed,
    TableFeatures,
    Tags,
    Text,
    Vector,
)
from conf.settings.input import Input, InputField
from conf.settings.privacy import Privacy


def broken_feature_rules(given: Input, etl: Etl, privacy: Privacy) -> Iterator[str]:
    """Yield a message for each broken rule about what is made of the fields."""
    yield from _about_features(given, etl.features)
    yield from _about_impressions(given, etl, privacy)
    yield from _about_counts(etl)
    yield from _about_catalogue(etl, privacy)
    yield from _about_dropped(etl.features, privacy)


def _about_features(given: Input, features: Features) -> Iterator[str]:
    events: dict[str, InputField] = {}
    for log in given.events.values():
        events |= log.fields
    declared = {
        "items": {} if given.items is None else given.items.fields,
        "users": {} if given.users is None else given.users.fields,
        "events": events,
    }
    for table, fields in declared.items():
        yield from _about_table(table, fields, getattr(features, table))


def _about_table(
    table: str, fields: Mapping[str, InputField], spec: TableFeatures
) -> Iterator[str]:
    where = f"etl.features.{table}"
    filled = {f"{name}_was_missing" for name, field in fields.items() if field.fill is not None}
    for name, encoding in spec.encodings.items():
        if name not in fields and name not in filled:
            yield (
                f"{where}.encodings.{name} is not a field of input.{table}; declared are "
                f"{', '.join([*fields, *sorted(filled)]) or 'none'}"
            )
        elif isinstance(encoding, Tags | Text | Vector) and (
            name in filled or fields[name].type != "text"
        ):
            yield f"{where}.encodings.{name}.kind={encoding.kind!r} needs a field of type text"
    single = [
        n for n, e in spec.encodings.items() if isinstance(e, Categorical | Hashed | Bucketed)
    ]
    for name, crossed in spec.crosses.items():
        others = [part for part in crossed.of if part not in single]
        if others:
            yield (
                f"{where}.crosses.{name}: {', '.join(others)} cannot be crossed; use only "
                f"categorical, hashed or bucketed fields: {', '.join(single) or 'there are none'}"
            )
        if name in spec.encodings:
            yield f"{where}.crosses.{name} has the name of a field; give it another"


def _about_dropped(features: Features, privacy: Privacy) -> Iterator[str]:
    for table in ("items", "users", "events"):
        rules = getattr(privacy.columns, table)
        for name in getattr(features, table).encodings:
            if name in rules and rules[name].method == "drop":
                yield (
                    f"etl.features.{table}.encodings.{name}: privacy.columns.{table}.{name} drops "
                    "it; remove one of the two"
                )


def _about_impressions(given: Input, etl: Etl, privacy: Privacy) -> Iterator[str]:
    spec = etl.impressions
    if spec is None:
        return
    values = [log for log in given.events.values() if log.columns.value is not None]
    rule = privacy.columns.events.get("value")
    is_dropped = rule is not None and rule.method == "drop"
    for label, types in spec.labels.items():
        if types == ("value",) and "value" not in etl.event_types and (not values or is_dropped):
            yield (
                f"etl.impressions.labels.{label} is the event's value, but no log of input.events "
                "has columns.value, or privacy.columns.events.value drops it"
            )
        unknown = [name for name in types if name not in etl.event_types]
        if unknown and types != ("value",):
            yield (
                f"etl.impressions.labels.{label}: {', '.join(unknown)} is not one of "
                f"etl.event_types: {', '.join(etl.event_types)}"
            )
    if spec.negatives == "session" and etl.session_gap_minutes is None:
        yield (
            "etl.impressions.negatives is 'session', but etl.session_gap_minutes is null; set it, "
            "or use uniform or popularity"
        )


def _about_counts(etl: Etl) -> Iterator[str]:
    """Event types whose names cannot be part of a column's name."""
    odd = [name for name in etl.event_types if not re.fullmatch(r"\w+", name) or name == "events"]
    if etl.features.as_of is not None and len(etl.event_types) > 1 and odd:
        yield (
            f"etl.features.as_of counts each of etl.event_types, and {', '.join(map(repr, odd))} "
            "cannot be part of a column's name; rename it (letters, digits and _, not 'events')"
        )


def _about_catalogue(etl: Etl, privacy: Privacy) -> Iterator[str]:
    if etl.catalogue == "table" and privacy.min_users_per_item > 1:
        yield (
            f"privacy.min_users_per_item={privacy.min_users_per_item} keeps items of few users "
            "out of the catalogue, but etl.catalogue='table' would put them back; set it to log"
        )
