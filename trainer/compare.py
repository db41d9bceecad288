"""Measure several models on the same targets: accuracy with intervals, cost, true reasons.

Legend of shapes: N targets, B rows.
"""

import json
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from conf.contract import USER_IDX, Manifest
from conf.schema import Config
from conf.workspace import read_manifest
from trainer.batches import histories_of
from trainer.bundle import METRICS_NAME, load_scorer, require_same_vocabulary, require_unseen
from trainer.columns import Columns, numbers_of
from trainer.faithfulness import faithfulness
from trainer.held_out import each_row_group, held_out_batches
from trainer.intervals import difference, interval
from trainer.metrics import gains
from trainer.ray_session import ray_session, require_room
from trainer.scorer import Scorer


class Ranked(NamedTuple):
    """Ranks of one row group's targets."""

    users: np.ndarray
    """[N]"""
    ranks: dict[str, np.ndarray]
    """[N] for each model."""
    seconds: dict[str, float]
    reasons: dict[str, tuple[int, float, float]]
    """Users looked at, and how many had a score that fell: without the reason, without another."""


def run(config: Config, *, dataset_id: str, versions: Mapping[str, str]) -> dict[str, Any]:
    """Return the comparison of committed models on the test part of one dataset.

    Args:
        config: The run's configuration.
        dataset_id: The dataset.
        versions: Ids of the models by the names of `compare.models`.
    """
    workspace = Path(config.run.output)
    manifest = read_manifest(workspace, "datasets", dataset_id, Manifest)
    scorers, costs = {}, {}
    for name, version in versions.items():
        bundle, scorers[name] = load_scorer(workspace, version)
        require_same_vocabulary(bundle, manifest)
        require_unseen(bundle, "test")
        costs[name] = _training_cost(workspace / "models" / version / METRICS_NAME)
    groups = max(len(manifest.row_groups("test")), 1)
    look = partial(
        rank_and_explain,
        batch_rows=config.train.eval_batch_rows,
        explained=-(-config.compare.explained_users // groups),
    )
    with ray_session(config):
        require_room(config)
        found = each_row_group(config, manifest, "test", scorers, look)
    return compared(config, versions, costs, found)


def rank_and_explain(
    scorers: Mapping[str, Scorer], columns: Columns, *, batch_rows: int, explained: int
) -> Ranked:
    """Rank the targets of a row group with each model, and try the reasons of some users."""
    users, histories = numbers_of(columns, USER_IDX), histories_of(columns)
    ranks = {name: np.zeros(len(users), dtype=np.int64) for name in scorers}
    seconds = dict.fromkeys(scorers, 0.0)
    reasons = dict.fromkeys(scorers, (0, 0.0, 0.0))
    for batch in held_out_batches(columns, batch_rows):
        for name, scorer in scorers.items():
            started = time.perf_counter()
            with torch.no_grad():
                scores = scorer.scores(batch.histories, batch.rows)  # [B, V]
                ranks[name][batch.rows] = batch.ranks(scores).cpu().numpy()
            seconds[name] += time.perf_counter() - started
    some = np.linspace(0, len(users) - 1, min(explained, len(users))).astype(np.int64)
    for name, scorer in scorers.items():
        if len(some):
            tried = faithfulness(scorer, histories, np.unique(some))
            reasons[name] = (
                tried.users, tried.by_reason * tried.users, tried.by_other * tried.users,
            )  # fmt: skip
    return Ranked(users, ranks, seconds, reasons)


def compared(
    config: Config,
    versions: Mapping[str, str],
    costs: Mapping[str, dict[str, Any]],
    found: list[Ranked],
) -> dict[str, Any]:
    """Return the figures of all models, and how sure their differences are."""
    users = np.concatenate([part.users for part in found])
    draws, seed, metric = config.compare.draws, config.run.seed, config.train.metric
    rows, own = {}, {}
    for name, version in versions.items():
        ranks = np.concatenate([part.ranks[name] for part in found])
        own[name] = gains(ranks, metric)
        shown = dict.fromkeys([metric, *(f"hr@{k}" for k in config.train.metrics_at)])
        looked, fell, other = np.sum([part.reasons[name] for part in found], axis=0)
        rows[name] = {
            "id": version,
            **{key: interval(gains(ranks, key), users, draws=draws, seed=seed)._asdict()
               for key in shown},
            **costs[name],
            "rows_per_second": round(len(users) / sum(part.seconds[name] for part in found), 1),
            "reasons": {
                "users": int(looked),
                "score_falls_without_the_reason": round(fell / max(looked, 1), 4),
                "score_falls_without_another_event": round(other / max(looked, 1), 4),
            },
        }  # fmt: skip
    reference = config.compare.reference or max(own, key=lambda name: own[name].mean())
    differences = {
        name: difference(own[name], own[reference], users, draws=draws, seed=seed)._asdict()
        for name in own
        if name != reference
    }
    return {
        "metric": metric, "targets": len(users), "models": rows, "reference": reference,
        "differences": differences,
    }  # fmt: skip


def _training_cost(metrics: Path) -> dict[str, Any]:
    training = json.loads(metrics.read_text()).get("training", {})
    return {key: training.get(key) for key in ("parameters", "seconds")}
