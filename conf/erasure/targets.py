"""Erase users from the targets that lists were delivered to."""

import logging
from collections.abc import Callable
from pathlib import Path

from conf.erasure.receipts import Journal
from conf.errors import ConfigError, HeadraceError
from conf.privacy.delivered import places_left
from conf.settings.config import Config
from conf.settings.publishing.places import place_key

log = logging.getLogger(__name__)

DELIVERED = "deliver"
"""Before the name of a target, where results and receipts name folders."""
EraseDelivered = Callable[
    [Config, frozenset[str], str], tuple[dict[str, dict[str, int]], HeadraceError | None]
]
"""Removes users, given all their names and the mark of those who had been erased before, from the
targets of lists. Returns removed rows by target, and an error if one was not reached."""


def places_of(config: Config) -> dict[str, str]:
    """Return the names of the configured targets by their places."""
    return {place_key(target): name for name, target in config.deliver.items()}


def erase_targets(
    config: Config, names: frozenset[str], journal: Journal, erase_delivered: EraseDelivered | None
) -> None:
    """Erase users from the targets of lists; one that is not reached keeps the erasure open.

    Raises:
        HeadraceError: When one is not reached; its `made` is the result so far.
    """
    error = None
    if erase_delivered is not None and config.deliver:
        removed, error = erase_delivered(config, names, journal.erased_before)
        for name, rows in removed.items():
            journal.add(f"{DELIVERED}/{name}", rows)
        journal.reached(place for place, name in places_of(config).items() if name in removed)
    _require_all_reached(config, journal, error)
    for name in places_left(Path(config.run.output), places_of(config)).values():
        log.warning(
            "erase: %s got lists at a place that is no longer in the section deliver. They may "
            "still hold the users. Remove them by hand, then the entry with this target in "
            "lists/DELIVERED.json; or put the place back into deliver",
            name,
        )


def _require_all_reached(config: Config, journal: Journal, error: HeadraceError | None) -> None:
    """Refuse to close an erasure while a target may hold the users.

    A target that has another place now counts as reached there, if nothing was delivered to the
    first one: its address was corrected.

    Args:
        config: The run's configuration.
        journal: With the places that may hold them.
        error: About the targets that were not reached now.

    Raises:
        HeadraceError: Naming the targets.
    """
    places = places_of(config)
    got_lists = places_left(Path(config.run.output), places)
    left = {
        name
        for place, name in journal.targets.items()
        if place in got_lists or name not in places.values() or (place in places and error is None)
    }
    told = [] if error is None else [str(error)]
    if left:
        told.append(
            f"lists may still hold the users in {', '.join(sorted(left))}: no erasure has reached "
            f"{'it' if len(left) == 1 else 'them'} yet at the place that deliver named before; put "
            f"{'it' if len(left) == 1 else 'them'} back into deliver"
        )
    if not told:
        return
    raised = (ConfigError if error is None else type(error))(
        "the erasure is not finished, run it again with the same file: " + "; and ".join(told)
    )
    raised.made = journal.result("failed")
    raise raised
