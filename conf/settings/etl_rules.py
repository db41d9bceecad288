"""The rules between the sections `input`, `etl` and `privacy`."""

import re
from collections.abc import Iterable, Iterator, Mapping

from conf.settings.etl import RULES, Clean, Etl, field_rules
from conf.settings.features import (
    Bucketed,
    Categorical,
    Features,
    Hashed,
    TableFeatures,
    Tags,
    Text,
    Vector,
    vector_dimensions,
)
from conf.settings.input import Input, InputField
from conf.settings.privacy import Privacy

Rule = tuple[bool, str]
"""Whether the rule is broken, and the message for that case."""


def broken_etl_rules(given: Input, etl: Etl, privacy: Privacy) -> Iterator[str]:
    """Yield a message for each broken rule between `input`, `etl` and `privacy`."""
    yield from _about_time(given, etl)
    yield from _about_types(given, etl)
    yield from _about_cleaning(given, etl)
    yield from _about_features(given, etl.features)
    yield from _about_impressions(given, etl, privacy)
    yield from _about_counts(etl)
    yield from _about_catalogue(etl, privacy)
    yield from _about_dropped(etl.features, privacy)


def _about_cleaning(input_: Input, etl: Etl) -> list[str]:
    rules = [
        *([] if input_.is_dated else _rules_of_undated_logs(etl)),
        *_rules_of_cancellations(input_, etl),
        *_rules_of_budgets(input_, etl),
        (
            _is_reversed(etl.clean),
            f"etl.clean.keep_from={etl.clean.keep_from} is after "
            f"etl.clean.keep_to={etl.clean.keep_to}, so no event would be kept; swap them or "
            "change one",
        ),
        *_rules_of_splits(etl),
        *_rules_of_parts(input_, etl),
        *_rules_of_shown_types(etl),
        *_rules_of_catalogues(input_, etl),
    ]
    return [text for is_broken, text in rules if is_broken]


def _rules_of_undated_logs(etl: Etl) -> list[Rule]:
    timed = {
        "etl.clean.keep_from": etl.clean.keep_from,
        "etl.clean.keep_to": etl.clean.keep_to,
        "etl.clean.duplicate_seconds": etl.clean.duplicate_seconds,
        "etl.clean.max_events_per_user_minute": etl.clean.max_events_per_user_minute,
        "etl.clean.max_events_per_user_hour": etl.clean.max_events_per_user_hour,
        "etl.clean.max_events_per_user_day": etl.clean.max_events_per_user_day,
        "etl.session_gap_minutes": etl.session_gap_minutes,
        "etl.features.as_of": etl.features.as_of,
    }
    return [
        (
            value is not None,
            f"{key} is set, but input.events.*.time_unit is 'order', "
            "which has no days; set it to null",
        )
        for key, value in timed.items()
    ]


def _rules_of_cancellations(input_: Input, etl: Etl) -> list[Rule]:
    marks, section = etl.clean.cancellations, "etl.clean.cancellations"
    used_twice = sorted(set(marks.event_types) & set(etl.event_types))
    unknown = sorted(set(marks.cancelled_types) - set(etl.event_types))
    field = marks.id_field
    no_id = (
        marks.id_prefix is not None
        and field is None
        and not any(log.columns.event_id for log in input_.events.values())
    )
    return [
        (
            bool(used_twice),
            f"{section}.event_types: {', '.join(used_twice)} are also in "
            "etl.event_types; a cancellation is no target, so remove them there",
        ),
        (
            bool(unknown),
            f"{section}.cancelled_types: {', '.join(unknown)} are not in "
            f"etl.event_types, which has {', '.join(etl.event_types)}",
        ),
        (
            field is not None and not any(field in log.fields for log in input_.events.values()),
            f"{section}.id_field={field!r} is not a field of any log; "
            "declare it in input.events.*.fields",
        ),
        (
            no_id,
            f"{section}.id_prefix is set, but no log has columns.event_id; set it, or set id_field "
            "to the declared field that holds the order's id",
        ),
    ]


def _rules_of_budgets(input_: Input, etl: Etl) -> list[Rule]:
    tables = (etl.features.items, etl.features.users)
    known = {*RULES, *(rule for name in _checked_fields(input_) for rule in field_rules(name))}
    known.update(f"{name}_no_vector" for table in tables for name in vector_dimensions(table))
    return [
        (
            rule not in known,
            f"etl.clean.budgets.{rule}: there is no such rule; the rules are "
            f"{', '.join(sorted(known))}",
        )
        for rule in etl.clean.budgets
    ]


def _rules_of_splits(etl: Etl) -> list[Rule]:
    split = etl.split
    return [
        (
            split.num_targets > 1 and split.kind not in ("leave_last_n", "random"),
            f"etl.split.num_targets={split.num_targets} is for the kinds leave_last_n and random, "
            f"not {split.kind}; use one of those, or set it to 1",
        ),
    ]


def _rules_of_parts(input_: Input, etl: Etl) -> list[Rule]:
    parts = {name: log.part for name, log in input_.events.items()}
    given = [name for name, part in parts.items() if part is not None]
    missing = [name for name, part in parts.items() if part is None]
    is_given = etl.split.kind == "given"
    return [
        (
            is_given and bool(missing),
            f"input.events.{', '.join(missing)}.part is null, but "
            "etl.split.kind is 'given'; set it to train, valid or test for each log",
        ),
        (
            is_given and "train" not in parts.values(),
            "input.events has no log with part: train, which etl.split.kind 'given' needs",
        ),
        (
            not is_given and bool(given),
            f"input.events.{', '.join(given)}.part is set, but "
            f"etl.split.kind is {etl.split.kind!r}; set it to given, or the part to null",
        ),
    ]


def _rules_of_catalogues(input_: Input, etl: Etl) -> list[Rule]:
    if etl.catalogue != "table":
        return []
    draws = None if etl.impressions is None else etl.impressions.negatives
    return [
        (
            input_.items is None,
            "etl.catalogue='table' takes the items of input.items, which is "
            "null; set it, or set etl.catalogue to log",
        ),
        (
            draws == "uniform",
            "etl.impressions.negatives='uniform' would draw items of "
            "etl.catalogue='table' that nobody could act on; use popularity, session or logged",
        ),
    ]


def _rules_of_shown_types(etl: Etl) -> list[Rule]:
    shown = [name for name, kind in etl.event_types.items() if kind.shown_only]
    if not shown:
        return []
    named, spec = ", ".join(shown), etl.impressions
    labels = {} if spec is None else spec.labels
    wrong = [label for label, types in labels.items() if set(types) & set(shown)]
    return [
        (
            len(shown) == len(etl.event_types),
            f"etl.event_types: all of {named} are shown_only; "
            "at least one has to be an act of the user",
        ),
        (
            spec is None or spec.negatives != "logged",
            f"etl.event_types: {named} is shown_only, "
            "which needs etl.impressions.negatives: logged; set that, or remove the type, and its "
            "events are dropped",
        ),
        (
            bool(wrong),
            f"etl.impressions.labels.{', '.join(wrong)} names a type of etl.event_types "
            f"that is shown_only ({named}) and so no act; remove it from the label",
        ),
        (
            bool(set(etl.clean.cancellations.cancelled_types) & set(shown)),
            f"etl.clean.cancellations.cancelled_types: {named} is shown_only and cannot be "
            "cancelled; remove it",
        ),
    ]


def _checked_fields(input_: Input) -> Iterable[str]:
    tables = [table for table in (input_.items, input_.users) if table is not None]
    for source in (*input_.events.values(), *tables):
        yield from (name for name, field in source.fields.items() if _is_checked(field))


def _is_checked(field: InputField) -> bool:
    return field.type != "text" or bool(field.allowed)


def _is_reversed(clean: Clean) -> bool:
    both = clean.keep_from is not None and clean.keep_to is not None
    return both and clean.keep_from > clean.keep_to  # type: ignore[operator]


def _about_time(given: Input, etl: Etl) -> Iterator[str]:
    if given.is_dated:
        if etl.clean.latest_time is None and any(
            log.format == "table" for log in given.events.values()
        ):
            yield (
                "etl.clean.latest_time is null, but a log of input.events is a table, which has no "
                "files with a date; set it to the last day whose events are right"
            )
        return
    if etl.split.kind == "temporal":
        yield (
            "etl.split.kind is 'temporal', but the time_unit of input.events is 'order', which has "
            "no common time for all users; use leave_one_out"
        )


def _about_types(given: Input, etl: Etl) -> Iterator[str]:
    known = {*etl.event_types, *etl.clean.cancellations.event_types}
    for name, log in given.events.items():
        if log.event_type is not None and log.event_type not in known:
            yield (
                f"input.events.{name}.event_type={log.event_type!r} is not one of "
                f"etl.event_types: {', '.join(etl.event_types)}"
            )


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
