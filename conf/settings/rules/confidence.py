"""The rules of the confidence in events, between `input`, `etl.event_types` and `privacy`."""

from collections.abc import Iterator

from conf.settings.etl import Etl
from conf.settings.input import Input
from conf.settings.privacy import Privacy


def broken_confidence_rules(given: Input, etl: Etl, privacy: Privacy) -> Iterator[str]:
    """Yield a message for each broken rule about the confidence in events."""
    acts = {name: kind for name, kind in etl.event_types.items() if not kind.shown_only}
    if acts and not any(kind.weight for kind in acts.values()):
        yield (
            f"etl.event_types: {', '.join(acts)} all have weight=0, so there would be nothing to "
            "learn from; at least one needs a weight above 0"
        )
    for name, kind in etl.event_types.items():
        if kind.confidence is None:
            continue
        where = f"etl.event_types.{name}.confidence"
        if kind.shown_only:
            yield f"{where} is set, but {name} is shown_only and in no history; set it to null"
        yield from _about_field(where, kind.confidence.field, given, privacy)


def _about_field(where: str, field: str, given: Input, privacy: Privacy) -> Iterator[str]:
    logs = given.events.values()
    numbers = {
        name
        for log in logs
        for name, spec in log.fields.items()
        if spec.type in ("number", "integer")
    }
    if any(log.columns.value is not None for log in logs):
        numbers.add("value")
    rule = privacy.columns.events.get(field)
    if field not in numbers:
        yield (
            f"{where}.field={field!r} is no number of the log; use one of "
            f"{', '.join(sorted(numbers)) or 'none'}, or declare it in input.events.*.fields as a "
            "number or integer (value: in input.events.*.columns.value)"
        )
    elif rule is not None and rule.method == "drop":
        yield (
            f"{where}.field={field!r}, but privacy.columns.events.{field} drops it; "
            "remove one of the two"
        )
