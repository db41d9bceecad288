"""Rules that hold between sections of the configuration."""

import re
from collections.abc import Iterator, Mapping

from conf.etl_rules import broken_cleaning_rules
from conf.etl_schema import Etl
from conf.feature_schema import (
    Bucketed,
    Categorical,
    Features,
    Hashed,
    TableFeatures,
    Tags,
    Text,
    Vector,
)
from conf.history_rules import broken_history_rules
from conf.input_schema import Input, InputField
from conf.privacy_schema import Privacy, misfits
from conf.ranking_rules import broken_ranking_rules
from conf.train_schema import Train


def broken_rules(given: Input, etl: Etl, train: Train, privacy: Privacy) -> list[str]:
    """Return what is wrong, each with key, value and rule."""
    return [
        *_about_time(given, etl),
        *_about_types(given, etl),
        *broken_cleaning_rules(given, etl),
        *_about_features(given, etl.features),
        *_about_impressions(given, etl, privacy),
        *_about_counts(etl),
        *_about_workers(train),
        *_about_recency(given, etl, train),
        *_about_network(given, train),
        *_about_content(etl, train),
        *broken_history_rules(etl, train),
        *_about_catalogue(etl, privacy),
        *_about_start(train),
        *broken_ranking_rules(etl, train),
        *misfits(privacy, given),
        *_about_dropped(etl.features, privacy),
    ]


def _about_time(given: Input, etl: Etl) -> Iterator[str]:
    if given.is_dated:
        if etl.clean.latest_time is None and any(
            log.format == "table" for log in given.events.values()
        ):
            yield (
                "etl.clean.latest_time is null, but a log of input.events is a table, which has no "
                "day that its files were written; set the last day whose events are right"
            )
        return
    if etl.split.kind == "temporal":
        yield (
            "etl.split.kind is 'temporal', but the time_unit of input.events is 'order': an order "
            "number has no common time; use leave_one_out"
        )


def _about_types(given: Input, etl: Etl) -> Iterator[str]:
    known = {*etl.event_types, *etl.clean.cancellations.event_types}
    for name, log in given.events.items():
        if log.event_type is not None and log.event_type not in known:
            yield (
                f"input.events.{name}.event_type={log.event_type!r} is none of "
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
                f"{where}.encodings.{name} is no field of input.{table}; declared are "
                f"{', '.join([*fields, *sorted(filled)]) or 'none'}"
            )
        elif isinstance(encoding, Tags | Text | Vector) and (
            name in filled or fields[name].type != "text"
        ):
            yield f"{where}.encodings.{name}.kind={encoding.kind!r} takes a field of type text"
    single = [
        n for n, e in spec.encodings.items() if isinstance(e, Categorical | Hashed | Bucketed)
    ]
    for name, crossed in spec.crosses.items():
        others = [part for part in crossed.of if part not in single]
        if others:
            yield (
                f"{where}.crosses.{name}: {', '.join(others)} cannot be crossed; a cross is of "
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
                    "it; take one of the two out"
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
                f"etl.impressions.labels.{label}: {', '.join(unknown)} is none of "
                f"etl.event_types: {', '.join(etl.event_types)}"
            )
    if spec.negatives == "session" and etl.session_gap_minutes is None:
        yield (
            "etl.impressions.negatives is 'session', but etl.session_gap_minutes is null; set it, "
            "or use uniform or popularity"
        )


def _about_counts(etl: Etl) -> Iterator[str]:
    """Names of event types stand in names of columns."""
    odd = [name for name in etl.event_types if not re.fullmatch(r"\w+", name) or name == "events"]
    if etl.features.as_of is not None and len(etl.event_types) > 1 and odd:
        yield (
            f"etl.features.as_of counts each of etl.event_types, and {', '.join(map(repr, odd))} "
            "cannot be part of a column's name (letters, digits and _, and not 'events')"
        )


def _about_workers(train: Train) -> Iterator[str]:
    if train.workers > train.max_workers:
        yield (
            f"train.workers={train.workers} is above train.max_workers={train.max_workers}; "
            "raise the latter"
        )


def _about_network(given: Input, train: Train) -> Iterator[str]:
    for key in ("time_gaps", "calendar"):
        if getattr(train.model, key) and not given.is_dated:
            yield (
                f"train.model.{key} needs the time of each event, but the time_unit of "
                "input.events is 'order'; set it to false"
            )
    if train.refit != "none" and train.algorithm == "hybrid" and train.hybrid.neural:
        yield (
            f"train.hybrid.neural={train.hybrid.neural} is a network that was trained already, and "
            f"train.refit={train.refit!r} trains all members anew; set one of them to null or none"
        )


def _about_content(etl: Etl, train: Train) -> Iterator[str]:
    wanted, encodings = train.model.content.features, etl.features.items
    known = [f"item_{name}" for name in (*encodings.encodings, *encodings.crosses)]
    twice = [] if isinstance(wanted, str) else [n for n in set(wanted) if wanted.count(n) > 1]
    if not wanted:
        yield "train.model.content.features is []; write none, all, or the features' names"
    if twice:
        yield f"train.model.content.features names {', '.join(sorted(twice))} twice; once will do"
    if wanted != "none" and not known:
        yield (
            f"train.model.content.features={wanted!r}, but etl.features.items.encodings is empty; "
            "say there how the fields of input.items become features"
        )
    elif not isinstance(wanted, str) and set(wanted) - set(known):
        yield (
            f"train.model.content.features: {', '.join(sorted(set(wanted) - set(known)))} is no "
            f"feature of etl.features.items, which makes {', '.join(known)}"
        )


def _about_catalogue(etl: Etl, privacy: Privacy) -> Iterator[str]:
    if etl.catalogue == "table" and privacy.min_users_per_item > 1:
        yield (
            f"privacy.min_users_per_item={privacy.min_users_per_item} keeps items of few users "
            "out of the catalogue, and etl.catalogue='table' would put them back; set it to log"
        )


def _about_start(train: Train) -> Iterator[str]:
    if train.warm_start.model == "current" and train.refit != "none":
        yield (
            f"train.warm_start.model='current' with train.refit={train.refit!r}: the next training "
            "would go on from a model that has seen what it holds out; set one of them to null or "
            "none"
        )
    for key, value in (
        ("warm_start.model", train.warm_start.model),
        ("save_optimizer", train.save_optimizer),
    ):
        if value and train.algorithm != "neural":
            yield (
                f"train.{key}={value} is of networks over the catalogue, but train.algorithm is "
                f"{train.algorithm!r}; leave it out"
            )


def _about_recency(given: Input, etl: Etl, train: Train) -> Iterator[str]:
    if "recent_popularity" not in train.members:
        return
    needs = "recent_popularity (train.algorithm, train.baselines or train.hybrid.members) needs"
    if not given.is_dated:
        yield (
            f"{needs} the time of each event, but the time_unit of input.events is 'order'; "
            "take popularity instead"
        )
    if not etl.split.is_in_time_order:
        yield (
            f"{needs} a training part that ends at one time, but etl.split.kind is "
            f"{etl.split.kind!r}; take popularity instead"
        )
    if etl.windows != "all":
        yield f"{needs} every training event, but etl.windows is {etl.windows!r}; set it to all"
