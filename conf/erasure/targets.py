"""Erase users from the targets that lists were delivered to."""

from collections.abc import Callable
from typing import Any

from conf.erasure.receipts import Journal
from conf.errors import ConfigError, HeadraceError
from conf.settings.config import Config

DELIVERED = "deliver"
"""Before the name of a target, where results and receipts name folders."""
EraseDelivered = Callable[
    [Config, frozenset[str]], tuple[dict[str, dict[str, int]], HeadraceError | None]
]


def result_of(status: str, journal: Journal) -> dict[str, Any]:
    """Return the result of an erasure so far."""
    return {
        "stage": "erase",
        "status": status,
        "users": len(journal.users),
        "found": len(journal.found),
        "not_found": len(journal.users) - len(journal.found),
        "removed": journal.removed,
        "anonymity": journal.anonymity,
        "learned_from_erased": journal.models,
    }


def erase_targets(
    config: Config, names: frozenset[str], journal: Journal, erase_delivered: EraseDelivered
) -> None:
    """Erase users from the targets of lists; one that is not reached keeps the erasure open.

    Raises:
        HeadraceError: When one is not reached; its `made` is the result so far.
    """
    journal.set_targets({*journal.targets, *config.deliver})
    removed, error = erase_delivered(config, names)
    for name, rows in removed.items():
        journal.add(f"{DELIVERED}/{name}", rows)
    journal.set_targets(journal.targets - removed.keys())
    if error is not None:
        told = type(error)(f"the erasure is not finished, run it again with the same file: {error}")
        told.made = result_of("failed", journal)
        raise told
    require_all_reached(config, journal)


def require_all_reached(config: Config, journal: Journal) -> None:
    """Refuse to close an erasure while a target may hold the users that is named no longer.

    Raises:
        ConfigError: Naming these targets.
    """
    left = sorted(journal.targets - config.deliver.keys())
    if left:
        error = ConfigError(
            f"the erasure is not finished: lists may still hold the users in {', '.join(left)}, "
            "which an interrupted erasure did not reach and deliver names no longer; put "
            f"{'it' if len(left) == 1 else 'them'} back into deliver and run the erasure again"
        )
        error.made = result_of("failed", journal)
        raise error
