"""The rules between `outcome` and the log."""

from collections.abc import Iterator

from conf.settings.etl import Etl
from conf.settings.input import Input
from conf.settings.publishing.outcome import Outcome


def broken_outcome_rules(given: Input, etl: Etl, outcome: Outcome) -> Iterator[str]:
    """Yield a message for each broken rule about outcomes."""
    fields = {} if given.users is None else given.users.fields
    if outcome.segment is not None and outcome.segment not in fields:
        yield (
            f"outcome.segment={outcome.segment!r} is not in input.users.fields; use "
            f"{', '.join(fields) or 'null, as there are none'}"
        )
    for name in outcome.acted:
        if name in etl.event_types and etl.event_types[name].shown_only:
            yield (
                f"outcome.acted: {name} is shown_only in etl.event_types, so it is no success; "
                "leave it out, or name it in outcome.shown"
            )
