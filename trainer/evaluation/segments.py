"""Accuracy by kinds of users and targets: who is served well, and who is not.

A division puts each target into exactly one segment, so the figure of all targets is the mean of
the segments' figures, weighted by their targets.

Legend of shapes: N targets, V catalogue, S segments, F figures of all models.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from conf.contract import NUM_RESERVED
from trainer.evaluation.intervals import as_bound, intervals

ACTIVITY = (1, 5, 10, 20, 50)
"""Fewest events in the history of each bin except the first."""
HEAD_SHARE, MID_SHARE = 0.5, 0.8
POPULARITY = ("head", "mid", "tail", "cold")


class Division(NamedTuple):
    """Targets divided into segments."""

    names: Sequence[str]
    """[S]"""
    of_target: np.ndarray
    """[N] int64 indices into `names`."""


def by_activity(lengths: np.ndarray, most: int | None = None) -> Division:
    """Divide targets by the number of events before them.

    Args:
        lengths: [N]
        most: The value at which `lengths` are cut; its bin contains all longer histories too.
            None: they are not cut.
    """
    starts = [start for start in ACTIVITY if most is None or start <= most]
    ends = [f"-{end - 1}" for end in starts[1:]]
    names = ["0", *(f"{start}{end}" for start, end in zip(starts, [*ends, "+"], strict=True))]
    return Division(names, np.searchsorted(starts, lengths, side="right"))


def by_user(users: np.ndarray, trained_users: np.ndarray) -> Division:
    """Divide targets by whether their user occurs in the training part."""
    return Division(("known", "new"), (~np.isin(users, trained_users)).astype(np.int64))


def by_popularity(targets: np.ndarray, kinds: np.ndarray) -> Division:
    """Divide targets by the kind of their item; `kinds`, [V], are those of `popularity_of`."""
    return Division(POPULARITY, kinds[targets])


def popularity_of(train_events: np.ndarray) -> np.ndarray:
    """Return the kind of each item, as index into `POPULARITY`: [V] int64.

    Head items are the most frequent ones, which together have half of the training events. Mid
    items are the next ones, up to 80 %, and tail items all others with an event. Items without an
    event are cold, and so is the unknown item. Among equally frequent items the smaller number
    comes first.

    Args:
        train_events: [V] int64, 0 at the reserved numbers.
    """
    order = np.argsort(-train_events, kind="stable")
    events = train_events[order]
    before = (np.cumsum(events) - events) / max(int(events.sum()), 1)
    kinds = np.zeros(len(events), dtype=np.int64)
    kinds[order] = np.searchsorted((HEAD_SHARE, MID_SHARE), before, side="right")
    kinds[train_events == 0] = POPULARITY.index("cold")
    return kinds


def segment_figures(
    gains: Mapping[str, Mapping[str, np.ndarray]],
    users: np.ndarray,
    divisions: Mapping[str, Division],
    *,
    seed: int,
    weights: np.ndarray | None = None,
) -> dict[str, dict[str, dict[str, Any]]]:
    """Return figures with intervals of each model in each segment that has targets.

    Args:
        gains: [N] gain of each target, by model and figure; the figure is their mean.
        users: [N] user of each target.
        divisions: Divisions by name.
        seed: Seed of the draws.
        weights: [N] weight of each target; None: equal weights.

    Returns:
        By division and segment: `targets`, and for each model its figures as value, low, high. A
        segment with a single user has no bounds: they are None.
    """
    each = np.ones(len(users)) if weights is None else weights  # [N]
    columns = [(model, name) for model, own in gains.items() for name in own]
    by_target = np.stack([gains[model][name] for model, name in columns], axis=1)  # [N, F]
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for title, (segments, places) in divisions.items():
        low, high = intervals(by_target, users, places, len(segments), weights=each, seed=seed)
        found[title] = {}
        for number, segment in enumerate(segments):
            here = np.flatnonzero(places == number)
            if not len(here):
                continue
            values = each[here] @ by_target[here] / each[here].sum()  # [F]
            one: dict[str, Any] = {"targets": len(here), **{model: {} for model in gains}}
            for place, (model, name) in enumerate(columns):
                one[model][name] = {
                    "value": float(values[place]),
                    "low": as_bound(low[number, place]),
                    "high": as_bound(high[number, place]),
                }
            found[title][segment] = one
    return found


def divisions_of(
    users: np.ndarray,
    lengths: np.ndarray | None,
    targets: np.ndarray,
    *,
    trained_users: np.ndarray,
    kinds: np.ndarray,
    most: int | None = None,
) -> dict[str, Division]:
    """Return all divisions; `all` has the one segment `all`.

    Args:
        users: [N]
        lengths: [N] events before each target; None if unknown.
        targets: [N] items.
        trained_users: Users that occur in the training part.
        kinds: [V] indices into `POPULARITY`, see `popularity_of`.
        most: The value at which `lengths` are cut; None: they are not cut.
    """
    activity = {} if lengths is None else {"activity": by_activity(lengths, most)}
    return {
        "all": Division(("all",), np.zeros(len(users), dtype=np.int64)),
        **activity,
        "users": by_user(users, trained_users),
        "popularity": by_popularity(targets, kinds),
    }


def num_items(kinds: np.ndarray) -> dict[str, int]:
    """Return the number of items of each kind in `POPULARITY`: [V] kinds."""
    counts = np.bincount(kinds[NUM_RESERVED:], minlength=len(POPULARITY))
    return dict(zip(POPULARITY, counts.tolist(), strict=True))
