"""The rules of the log: its parts, times, types and cleaning, between `input` and `etl`."""

from collections.abc import Iterable, Iterator

from conf.settings.etl import RULES, Clean, Etl, field_rules
from conf.settings.features import vector_dimensions
from conf.settings.input import Input, InputField

Rule = tuple[bool, str]
"""Whether the rule is broken, and the message for that case."""


def broken_log_rules(given: Input, etl: Etl) -> Iterator[str]:
    """Yield a message for each broken rule between `input` and `etl` about rows and parts."""
    yield from _about_time(given, etl)
    yield from _about_types(given, etl)
    yield from _about_cleaning(given, etl)


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
    no_value = marks.negative_value and not any(log.columns.value for log in input_.events.values())
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
            no_value,
            f"{section}.negative_value is true, but no log has columns.value; set it to the column "
            "of the quantity",
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
    names = ("valid_from", "test_from", "valid_share", "test_share")
    changed = split.model_dump(include={*names}, exclude_defaults=True)
    given = [f"etl.split.{name}={changed[name]}" for name in names if name in changed]
    return [
        (
            bool(given) and split.kind != "temporal",
            f"{', '.join(given)}: only for the kind temporal, but etl.split.kind is "
            f"{split.kind!r}; set it to temporal, or leave these keys out",
        ),
        (
            split.num_targets > 1 and split.kind not in ("leave_last_n", "random"),
            f"etl.split.num_targets={split.num_targets} is for the kinds leave_last_n and random, "
            f"not {split.kind}; use one of those, or set it to 1",
        ),
        (
            split.ties == "together" and split.kind == "given",
            "etl.split.ties='together' keeps an instant in one part, but with "
            "etl.split.kind='given' the logs say which part an event is in; set ties to split",
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
