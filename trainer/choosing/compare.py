"""Measure several models on the same targets: accuracy with intervals, cost, check of reasons.

Legend of shapes: N targets.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from conf.contract import Bundle, Manifest
from conf.settings.config import Config
from conf.workspace.versions import read_manifest
from trainer.cluster.ray_session import ray_session, require_room
from trainer.data.batches import histories_of
from trainer.data.columns import Columns
from trainer.evaluation.efficiency import flops_of_example, scored_per_second, training_cost
from trainer.evaluation.faithfulness import faithfulness
from trainer.evaluation.figures import some_histories
from trainer.evaluation.held_out import each_row_group
from trainer.evaluation.intervals import difference, interval
from trainer.evaluation.metrics import gains
from trainer.evaluation.ranks import Ranked, joined, rank_targets, with_all_models
from trainer.models.bundle import load_scorer, require_same_vocabulary, require_unseen
from trainer.models.scorer import Scorer
from trainer.training.progress import signs_of_life

_NO_REASONS = (0, 0.0, 0.0)


class Looked(NamedTuple):
    """The results for one row group."""

    ranked: Ranked
    reasons: dict[str, tuple[int, float, float]]
    """By model: users examined, and how many scores fell without the reason, and without another
    item."""


def run(config: Config, *, dataset_id: str, versions: Mapping[str, str]) -> dict[str, Any]:
    """Return the comparison of committed models on the test part of one dataset.

    Args:
        config: The run's configuration.
        dataset_id: The dataset.
        versions: Ids of the models, by their names in `compare.models`.
    """
    workspace = Path(config.run.output)
    manifest = read_manifest(workspace, "datasets", dataset_id, Manifest)
    for version in versions.values():
        bundle = read_manifest(workspace, "models", version, Bundle)
        require_same_vocabulary(bundle, manifest)
        require_unseen(bundle, "test")
    histories = some_histories(workspace / "datasets" / dataset_id, manifest)
    groups = max(len(manifest.row_groups("test")), 1)
    look = partial(
        rank_and_explain,
        batch_rows=config.train.eval_batch_rows,
        explained=-(-config.compare.explained_users // groups),
        drop_seen=config.score.drop_seen,
    )
    costs, found = {}, []
    with ray_session(config), signs_of_life("compare"):
        require_room(config)
        for name, version in versions.items():  # one at a time: two may not fit in memory
            _, scorer = load_scorer(workspace, version)
            costs[name] = {
                **training_cost(workspace / "models" / version),
                "flops_per_example": flops_of_example(scorer, histories),
            }
            found.append(each_row_group(config, manifest, "test", {name: scorer}, look))
    return compared(
        config, versions, costs, [_together(group) for group in zip(*found, strict=True)]
    )


def _together(parts: Sequence[Looked]) -> Looked:
    """Merge the results of several models for the same row group."""
    reasons = {name: found for part in parts for name, found in part.reasons.items()}
    return Looked(with_all_models([part.ranked for part in parts]), reasons)


def rank_and_explain(
    scorers: Mapping[str, Scorer],
    columns: Columns,
    *,
    batch_rows: int,
    explained: int,
    drop_seen: bool,
) -> Looked:
    """Rank the targets of a row group with each model, and check the reasons of some users."""
    ranked = rank_targets(
        scorers, columns, batch_rows=batch_rows, list_length=0, drop_seen=drop_seen
    )
    histories, users = histories_of(columns), len(ranked.users)
    reasons = dict.fromkeys(scorers, _NO_REASONS)
    some = np.linspace(0, users - 1, min(explained, users)).astype(np.int64)
    for name, scorer in scorers.items():
        if len(some):
            tried = faithfulness(scorer, histories, np.unique(some), drop_seen=drop_seen)
            reasons[name] = (
                tried.users,
                (tried.by_reason or 0.0) * tried.users,
                (tried.by_other or 0.0) * tried.users,
            )
    return Looked(ranked, reasons)


def compared(
    config: Config,
    versions: Mapping[str, str],
    costs: Mapping[str, dict[str, Any]],
    found: list[Looked],
) -> dict[str, Any]:
    """Return the figures of all models, and the significance of their differences."""
    ranked = joined([part.ranked for part in found], versions)
    users = ranked.users
    draws, seed, metric = config.compare.draws, config.run.seed, config.train.metric
    rows, own = {}, {}
    for name, version in versions.items():
        ranks = ranked.ranks[name]
        own[name] = gains(ranks, metric)
        shown = dict.fromkeys([metric, *(f"hr@{k}" for k in config.train.metrics_at)])
        looked, fell, other = np.sum([_NO_REASONS, *(p.reasons[name] for p in found)], axis=0)
        rows[name] = {
            "id": version,
            **{
                key: interval(gains(ranks, key), users, draws=draws, seed=seed)._asdict()
                for key in shown
            },
            **costs[name],
            "scored_per_second": scored_per_second(len(users), ranked.seconds[name]),
            "reasons": {
                "users": int(looked),
                "score_falls_without_the_reason": _share(fell, looked),
                "score_falls_without_another_item": _share(other, looked),
            },
        }
    reference = config.compare.reference or max(
        rows, key=lambda name: rows[name][metric]["value"] or 0.0
    )
    differences = {
        name: difference(own[name], own[reference], users, draws=draws, seed=seed)._asdict()
        for name in own
        if name != reference
    }
    return {
        "metric": metric,
        "targets": len(users),
        "models": rows,
        "reference": reference,
        "differences": differences,
    }


def _share(part: float, whole: float) -> float | None:
    """Return a share of the users examined; None if there were none."""
    return round(float(part / whole), 4) if whole else None
