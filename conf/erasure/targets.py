"""Erase users from the targets that lists were delivered to."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from conf.erasure.receipts import Journal
from conf.errors import ConfigError, HeadraceError
from conf.privacy.delivered import forget_delivered, places_left, read_delivered
from conf.settings.config import Config
from conf.settings.publishing.places import places_of

log = logging.getLogger(__name__)

DELIVERED = "deliver"
"""Before the name of a target, where results and receipts name folders."""
Note = Callable[[str, dict[str, int]], None]
"""Takes the name of a target, and how much was removed there so far, by kind of lists."""
EraseDelivered = Callable[
    [Config, frozenset[str], str, Note], tuple[set[str], HeadraceError | None]
]
"""Removes users, given all their names and the mark of those who had been erased before, from the
targets of lists. Notes what it removes at once, as a kill may follow. Returns the names of the
targets that were reached, and an error if one was not."""


def give_up(config: Config, journal: Journal, gone: Sequence[str]) -> None:
    """Give up targets that are gone for good; the receipt names them.

    Args:
        config: The run's configuration, without these targets.
        journal: Of the erasure.
        gone: Names of the targets.

    Raises:
        ConfigError: When a name is that of a target of the configuration, or of none.
    """
    if not gone:
        return
    workspace, places = Path(config.run.output), places_of(config.deliver)
    noted = read_delivered(workspace)
    unreached = {place: name for place, name in journal.targets.items() if place not in places}
    left = {**places_left(noted, places), **unreached}
    for name in gone:
        if name in left.values() or name in journal.targets_gone.values():
            continue
        if name in config.deliver:
            raise ConfigError(
                f"--gone={name!r}: deliver.{name} is still a target; take it out of deliver, or "
                "run without --gone if the erasure can reach it"
            )
        known = ", ".join(sorted(set(left.values()))) or "none"
        raise ConfigError(
            f"--gone={name!r} is no target that lists were delivered to; those that deliver no "
            f"longer names: {known}"
        )
    given_up = {place: name for place, name in left.items() if name in gone}
    journal.give_up(given_up)
    forget_delivered(workspace, given_up)
    for name in given_up.values():
        log.warning("erase: %s is given up; the receipt says that it was not reached", name)


def erase_targets(
    config: Config, names: frozenset[str], journal: Journal, erase_delivered: EraseDelivered | None
) -> None:
    """Erase users from the targets of lists; one that is not reached keeps the erasure open.

    Raises:
        HeadraceError: When one is not reached; its `made` is the result so far.
    """
    error, places = None, places_of(config.deliver)
    if erase_delivered is not None and config.deliver:

        def note(name: str, rows: dict[str, int]) -> None:
            journal.add(f"{DELIVERED}/{name}", rows)

        reached, error = erase_delivered(config, names, journal.erased_before, note)
        journal.reached(place for place, name in places.items() if name in reached)
    former = places_left(read_delivered(Path(config.run.output)), places)
    _require_all_reached(places, former, journal, error)
    for name in former.values():
        log.warning(
            "erase: %s got lists at a place that is no longer in the section deliver. They may "
            "still hold the users. Remove them by hand, then the entry with this target in "
            "lists/DELIVERED.json; or put the place back into deliver",
            name,
        )


def _require_all_reached(
    places: Mapping[str, str],
    former: Mapping[str, str],
    journal: Journal,
    error: HeadraceError | None,
) -> None:
    """Refuse to close an erasure while a target may hold the users.

    A target that has another place now counts as reached there, if nothing was delivered to the
    first one: its address was corrected.

    Args:
        places: Names of the configured targets, by place.
        former: Targets that got lists at a place where no target is now, by place.
        journal: With the places that may hold the users.
        error: About the configured targets that were not reached now.

    Raises:
        HeadraceError: Naming the targets.
    """
    left = {
        name
        for place, name in journal.targets.items()
        if place in former or (place not in places and name not in places.values())
    }
    told = [] if error is None else [str(error)]
    if left:
        it = "it" if len(left) == 1 else "them"
        flags = " ".join(f"--gone {name}" for name in sorted(left))
        told.append(
            f"lists may still hold the users in {', '.join(sorted(left))}: no erasure has reached "
            f"{it} yet at the place that deliver named before; put {it} back into deliver or, if "
            f"that place is gone for good, run again with {flags} (the receipt will say so)"
        )
    if not told:
        return
    # Only a change of the configuration helps where something is left: a retry alone does not.
    raised = (ConfigError if left or error is None else type(error))(
        "the erasure is not finished, run it again with the same file: " + "; and ".join(told)
    )
    raised.made = journal.result("failed")
    raise raised
