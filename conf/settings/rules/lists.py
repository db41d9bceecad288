"""The rules between `score.rules` and the log."""

from collections.abc import Iterator

from conf.settings.etl import Etl
from conf.settings.input import Input
from conf.settings.score import Score


def broken_list_rules(given: Input, etl: Etl, score: Score) -> Iterator[str]:
    """Yield a message for each broken rule about the rules of lists."""
    acts = [name for name, kind in etl.event_types.items() if not kind.shown_only]
    if score.exploration is not None and score.exploration.successes:
        key, successes = "score.exploration.successes", score.exploration.successes
        yield from _about_events(key, successes, acts, etl)
        if set(successes) >= set(etl.event_types):
            yield (
                f"{key} names every type of etl.event_types, so no event is a failure; name fewer"
            )
    if score.rules is None:
        return
    for name, rule in score.rules.leave_out.items():
        where = f"score.rules.leave_out.{name}"
        yield from _about_events(f"{where}.events", rule.events, acts, etl)
        if rule.days is not None and not given.is_dated:
            yield (
                f"{where}.days={rule.days}, but the events have no times (time_unit is 'order'); "
                "set it to null"
            )
    fatigue = score.rules.fatigue
    if fatigue is not None:
        yield from _about_events("score.rules.fatigue.events", fatigue.events, acts, etl)
        if not given.is_dated:
            yield (
                "score.rules.fatigue is set, but the events have no times (time_unit is 'order'); "
                "set it to null"
            )


def _about_events(key: str, events: tuple[str, ...], acts: list[str], etl: Etl) -> Iterator[str]:
    for event in events:
        if event in etl.event_types and event not in acts:
            yield f"{key}: {event} is shown_only and in no history; use {', '.join(acts) or 'none'}"
        elif event not in acts:
            yield f"{key}: {event!r} is not in etl.event_types; use {', '.join(acts)}"
