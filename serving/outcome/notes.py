"""What a reader of the figures has to know, and the refusal of a log without any figure.

Legend of shapes: M impressions.
"""

from collections.abc import Sequence

import numpy as np

from conf.errors import InputError, VersionError
from conf.settings.config import Config
from conf.workspace.instants import HOUR, day_of
from serving.given_files.cells import EVENTS_OPTION
from serving.outcome.events import ACT, TOO_SMALL, Events, acts_of
from serving.outcome.impressions import Impressions, Ledger
from serving.outcome.showings import Days
from serving.outcome.timeline import Timeline

_MUCH = 0.05
"""Share of impressions that may be left out before a note says so."""


def require_some(ledger: Ledger, timeline: Timeline, days: Days, gone: Sequence[int]) -> None:
    """Refuse events of which none is of a list.

    Args:
        ledger: Of `join`.
        timeline: Has the versions.
        days: Which days count.
        gone: Numbers of the versions of these days that are gone.

    Raises:
        InputError: When no event is of a list.
        VersionError: When that is because lists are gone.
    """
    told = _of_showings(ledger)
    if sum(told.get(name, 0) for name in ("counted", "counted_of_another_list")):
        return
    why = ", ".join(f"{name} {count:,}" for name, count in told.items() if name != "counted")
    first, last = day_of(days.start), day_of(days.end - 1)
    if told.get("version_gone"):
        raise VersionError(
            f"the lists that were current from {first} to {last} are gone "
            f"({_named(timeline, gone)}), because their folders were removed; {why}; restore them, "
            "or give events of other days"
        )
    begin = day_of(timeline.stretches[0].start)
    raise InputError(
        f"no event of {EVENTS_OPTION} from {first} to {last} is of a published list: {why}; the "
        f"first publication that is known was on {begin}; give the events after it, with the ids "
        "of the log"
    )


def notes_of(
    config: Config,
    events: Events,
    shown: Impressions,
    ledger: Ledger,
    gone: Sequence[int],
    timeline: Timeline,
) -> list[str]:
    """Return a sentence for each thing that the figures do not say.

    Args:
        config: Has the section `outcome`.
        events: All events.
        shown: [M]
        ledger: Of `join`.
        gone: Numbers of the versions that are gone.
        timeline: Has the versions.
    """
    found = []
    window = round(config.outcome.within_hours * HOUR)
    young = int((shown.time + window > int(events.time.max())).sum())
    if young:
        found.append(
            f"{young:,} of {len(shown.time):,} impressions are younger than "
            f"{config.outcome.within_hours:g} hours at the end of the log, so acts on them may be "
            "missing"
        )
    if config.outcome.shown is None:
        found.append(
            "no event says what was shown (outcome.shown is null): a whole list counts as shown to "
            "its user on each day with an event of the user"
        )
    if not np.isin(events.kind, (ACT, TOO_SMALL)).any():
        found.append(
            f"no event has a type that counts as a success ({', '.join(acts_of(config))}); "
            f"{'set' if config.outcome.acted is None else 'correct'} outcome.acted if the events "
            "have other types"
        )
    told = _of_showings(ledger)
    unclear = told.get("in_several_scenarios", 0)
    if unclear > _MUCH * told["read"]:
        found.append(
            f"{unclear:,} of {told['read']:,} impressions are of an item that is in several lists "
            "of its user. They are not counted, so the figures cover only the other items; log "
            "list_id to count them"
        )
    if gone and told.get("version_gone"):
        found.append(f"lists that are gone are not counted: {_named(timeline, gone)}")
    return found


def _of_showings(ledger: Ledger) -> dict[str, int]:
    """Return what became of what was shown, or of the days of users."""
    return ledger["shown"] if "shown" in ledger else ledger["days"]


def _named(timeline: Timeline, versions: Sequence[int]) -> str:
    return ", ".join(timeline.versions[number] for number in versions)
