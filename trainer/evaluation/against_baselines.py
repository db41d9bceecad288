"""Whether a baseline is better than the model on the validation part, by more than the noise.

Legend of shapes: N targets, or rows of impressions.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch

from conf.contract import MODEL_NAME, Manifest
from conf.settings.config import Config
from conf.settings.model import LOWER_IS_BETTER
from trainer.evaluation.held_out import each_row_group
from trainer.evaluation.intervals import LEVEL, difference
from trainer.evaluation.metrics import figure, gains, rank_counts
from trainer.evaluation.ranks import Ranked, joined, rank_targets
from trainer.models.scorer import Scorer

PART = "valid"


def against_baselines(
    metric: str, gained: Mapping[str, np.ndarray], users: np.ndarray, *, seed: int
) -> dict[str, Any]:
    """Return the figures of a model and its baselines on the same targets, and the verdict.

    A baseline is better beyond the noise if its lead stays above 0 within the bounds and a
    randomisation test agrees: with a handful of users the bounds alone are too narrow.

    Args:
        metric: `train.metric`.
        gained: [N] gain of each target, higher is better, for `MODEL_NAME` and each baseline; empty
            if the targets have no such figure.
        users: [N] user of each target.
        seed: Seed of the draws.

    Returns:
        `metric`, `part`, `users`, `targets`; `model`, its figure, None without targets;
        `baselines`, by name the figure `value`, and the `lead` over the model with its bounds and
        p-value; `verdict`: `passed`, `lower` (a baseline is better, within the noise), `beaten`
        (beyond it) or `unchecked` (no targets or no baselines).
    """
    sign = -1.0 if metric in LOWER_IS_BETTER else 1.0
    own = gained[MODEL_NAME]
    users = users if len(own) else users[:0]
    baselines = {}
    for name, theirs in gained.items():
        if name != MODEL_NAME and len(users):
            lead = difference(theirs, own, users, seed=seed)
            baselines[name] = {
                "value": sign * float(theirs.mean()),
                "lead": lead.value,
                "low": lead.low,
                "high": lead.high,
                "p": lead.p,
            }
    return {
        "metric": metric,
        "part": PART,
        "users": len(np.unique(users)),
        "targets": len(users),
        "model": sign * float(own.mean()) if len(users) else None,
        "baselines": baselines,
        "verdict": _verdict(baselines),
    }


def _verdict(baselines: Mapping[str, Mapping[str, float | None]]) -> str:
    if not baselines:
        return "unchecked"
    if any(is_beyond_noise(one) for one in baselines.values()):
        return "beaten"
    leads = (one["lead"] for one in baselines.values())
    return "lower" if any(lead is not None and lead > 0 for lead in leads) else "passed"


def is_beyond_noise(lead: Mapping[str, float | None]) -> bool:
    """Return whether a lead with its bounds `low` and its p-value `p` is more than noise.

    A single user has no bounds, so nothing is.
    """
    low, p = lead["low"], lead["p"]
    return low is not None and low > 0 and p is not None and p < 1 - LEVEL


def validation_figures(
    config: Config, manifest: Manifest, scorer: Scorer, baselines: Mapping[str, Scorer]
) -> dict[str, Any]:
    """Return the validation figure of a model as `valid`, and its comparison as `gate`.

    Args:
        config: The run's configuration.
        manifest: The dataset; without a validation part, the figure in `valid` is None.
        scorer: The model, fitted to the training part.
        baselines: Fitted baselines by name.
    """
    metric = config.train.metric
    ranked = ranked_part(config, manifest, {MODEL_NAME: scorer, **baselines})
    largest = int(metric.partition("@")[2])
    counts = rank_counts(torch.from_numpy(ranked.ranks[MODEL_NAME]), largest)
    gained = {name: gains(ranks, metric) for name, ranks in ranked.ranks.items()}
    return {
        "valid": {metric: figure(counts, metric)},
        "gate": against_baselines(metric, gained, ranked.users, seed=config.run.seed),
    }


def ranked_part(config: Config, manifest: Manifest, scorers: Mapping[str, Scorer]) -> Ranked:
    """Return the ranks that models give the targets of the validation part."""
    rank = partial(
        rank_targets,
        batch_rows=config.train.eval_batch_rows,
        list_length=0,
        drop_seen=config.score.drop_seen,
    )
    return joined(each_row_group(config, manifest, PART, scorers, rank), scorers)
