"""Pairs of user and item that lists leave out because of what the user did.

Legend of shapes: U users asked for, E events of theirs, S pairs; a pair may occur more than once.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from conf.contract import HISTORY_TIMES, HISTORY_TYPES, Manifest
from conf.settings.score import Score
from conf.workspace.instants import newest_instant
from serving.rules.history import Seen
from trainer.data.columns import Events, Ragged, events_of
from trainer.models.popularity import MICROSECONDS_PER_DAY


class PastRule(NamedTuple):
    """Events whose items are left out."""

    name: str
    event_types: tuple[int, ...]
    since: int | None
    """Microseconds since 1970 UTC of the oldest event that counts; None: all count."""


def past_rules(score: Score, manifest: Manifest) -> list[PastRule]:
    """Return the rules of `score.rules.leave_out`."""
    rules = {} if score.rules is None else score.rules.leave_out
    return [
        PastRule(
            f"score.rules.leave_out.{name}",
            tuple(manifest.event_types.index(kind) for kind in rule.events),
            None if rule.days is None else _since(manifest, rule.days),
        )
        for name, rule in rules.items()
    ]


def fatigue_types(score: Score, manifest: Manifest) -> tuple[int, ...]:
    """Return the types of events after which an item may be shown again."""
    fatigue = None if score.rules is None else score.rules.fatigue
    names = () if fatigue is None else fatigue.events
    return tuple(manifest.event_types.index(name) for name in names)


def _since(manifest: Manifest, days: int) -> int:
    """Return the instant some days before the newest event, in microseconds since 1970 UTC."""
    newest = newest_instant(manifest)
    assert newest is not None  # a rule of the configuration: days need times
    return newest - days * MICROSECONDS_PER_DAY


def past_pairs(rule: PastRule, histories: Ragged, rows: np.ndarray) -> Seen:
    """Return the pairs that a rule leaves out for the chosen rows, numbered in their order: [S].

    Args:
        rule: The rule.
        histories: Histories of the dataset, with the types and times of the events.
        rows: [U]
    """
    events, counts = counting_events(rule.event_types, histories, rows, rule.since)
    return Seen(torch.from_numpy(events.row[counts]), torch.from_numpy(events.item[counts]))


def counting_events(
    event_types: Sequence[int],
    histories: Ragged,
    rows: np.ndarray,
    since: int | None,
    until: int | None = None,
) -> tuple[Events, np.ndarray]:
    """Return the E events of the chosen rows, and which of them are of some types and times.

    Args:
        event_types: The types.
        histories: Histories of the dataset, with the types and times of the events.
        rows: [U]
        since: Microseconds since 1970 UTC of the first instant; None: any.
        until: The instant after the last one; None: any.

    Returns:
        The events, and for each whether it counts: [E] bool.
    """
    events = events_of(histories, rows)
    beside = histories.beside or {}
    at = histories.offsets[rows][events.row] + events.place
    counts = np.isin(beside[HISTORY_TYPES][at], event_types)
    if since is not None:
        counts &= beside[HISTORY_TIMES][at] >= since
    if until is not None:
        counts &= beside[HISTORY_TIMES][at] < until
    return events, counts
