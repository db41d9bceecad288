"""Figures of lists with intervals, and what each step of making them changes.

Legend of shapes: N targets, K list length, V catalogue.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from conf.contract import Manifest
from serving.judging.work import Judged
from trainer.data.trained_on import read_train_events
from trainer.evaluation.figures import users_in
from trainer.evaluation.intervals import difference
from trainer.evaluation.list_figures import list_figures
from trainer.evaluation.metrics import METRICS, figures, gains, rank_counts
from trainer.evaluation.ranks import Ranked, joined
from trainer.evaluation.segments import Division, divisions_of, popularity_of, segment_figures

SHARE = "share"
ANY = "any"  # of several channels or rules


class Measured(NamedTuple):
    """How lists are measured."""

    length: int
    """K"""
    at: Sequence[int]
    """Figures at each k up to K are computed."""
    reference: str
    """Lists that the others are compared with."""
    seed: int


def at_of(metrics_at: Sequence[int], length: int) -> tuple[int, ...]:
    """Return the k of `train.metrics_at` that a list is long enough for, and its length."""
    return tuple(sorted({*(k for k in metrics_at if k < length), length}))


def figures_of(
    parts: Sequence[Judged], names: Sequence[str], folder: Path, manifest: Manifest, how: Measured
) -> dict[str, Any]:
    """Return all figures of the lists of all row groups.

    Args:
        parts: One for each row group.
        names: Of the lists.
        folder: Folder of the dataset.
        manifest: Its manifest.
        how: How they are measured.

    Returns:
        `rows`, by name of the lists: `figures`; `bounds`, those at K with their interval; `lists`,
        see `trainer.evaluation.list_figures`, with `items_per_list`; `seconds`; `difference` from
        the reference at K, with interval and p-value. `segments` and `differences` at K. `named`
        and `excluded`: the share of targets that each channel names, and that each rule excludes.
    """
    ranked = joined([part.ranked for part in parts], names)
    events = read_train_events(folder, manifest)
    kinds, users = popularity_of(events), ranked.users
    trained = users_in(folder, manifest, "train")
    divisions = divisions_of(
        users, ranked.lengths, ranked.targets, trained_users=trained, kinds=kinds
    )
    gained = _gains(ranked, how.length)
    leads = _leads(gained, how.reference)
    segments = segment_figures(gained, users, divisions, seed=how.seed)
    whole = segments.get("all", {}).get("all", {})
    rows = {
        name: {
            **_row(name, ranked, events, kinds, how.at),
            "bounds": whole.get(name, {}),
            "difference": _differences(leads.get(name, {}), users, how.seed),
        }
        for name in ranked.ranks
    }
    return {
        "targets": len(users),
        "users": len(np.unique(users)),
        "length": how.length,
        "reference": how.reference,
        "rows": rows,
        "segments": segments,
        "differences": segment_figures(leads, users, divisions, seed=how.seed),
        "named": _shares([part.named for part in parts], users, how.seed),
        "excluded": _shares([part.excluded for part in parts], users, how.seed),
    }


def _row(
    name: str, ranked: Ranked, events: np.ndarray, kinds: np.ndarray, at: Sequence[int]
) -> dict[str, Any]:
    """Return what one kind of lists gets without the others."""
    ranks, given = torch.from_numpy(ranked.ranks[name]), ranked.given[name]
    targets = len(ranked.users)
    return {
        "figures": figures(rank_counts(ranks, max(at)), at),
        "lists": {
            **list_figures(given, events, kinds),
            "items_per_list": int(given.times.sum()) / targets if targets else None,
        },
        "seconds": round(ranked.seconds[name], 2),
    }


def _gains(ranked: Ranked, length: int) -> dict[str, dict[str, np.ndarray]]:
    told = [f"{name}@{length}" for name in METRICS]
    return {name: {key: gains(ranks, key) for key in told} for name, ranks in ranked.ranks.items()}


def _leads(
    gained: Mapping[str, Mapping[str, np.ndarray]], reference: str
) -> dict[str, dict[str, np.ndarray]]:
    """Return what each target gains over the reference: their mean is the paired difference."""
    base = gained[reference]
    return {
        name: {key: values - base[key] for key, values in own.items()}
        for name, own in gained.items()
        if name != reference
    }


def _differences(
    leads: Mapping[str, np.ndarray], users: np.ndarray, seed: int
) -> dict[str, dict[str, float | None]]:
    none = np.zeros(len(users))
    return {
        key: difference(lead, none, users, seed=seed)._asdict()
        for key, lead in leads.items()
        if len(users)
    }


def _shares(
    parts: Sequence[Mapping[str, np.ndarray]], users: np.ndarray, seed: int
) -> dict[str, dict[str, float | None]]:
    """Return the share of targets, with interval, by channel or rule and for any of them."""
    names = list(parts[0]) if parts else []
    if not names or not len(users):
        return {}
    of_each = {name: np.concatenate([part[name] for part in parts]) for name in names}
    of_each[ANY] = np.any(list(of_each.values()), axis=0)
    gained = {name: {SHARE: found.astype(float)} for name, found in of_each.items()}
    alone = {"all": Division(("all",), np.zeros(len(users), dtype=np.int64))}
    found = segment_figures(gained, users, alone, seed=seed)["all"]["all"]
    return {name: found[name][SHARE] for name in of_each}
