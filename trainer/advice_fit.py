"""Advice that can stand in a configuration: what there does not bear the algorithm is set aside."""

from typing import Any

from conf.ranking_schema import RANKING_METRICS
from conf.train_schema import Train

_OF_NETWORKS: dict[str, Any] = {
    "save_optimizer": False,
    "warm_start.model": None,
}
"""Keys below `train` that networks over the catalogue alone bear, and what switches each off."""
_METRIC = "ndcg@10"


def what_does_not_fit(train: Train, settings: dict[str, Any]) -> dict[str, Any]:
    """Return further settings, without which a configuration with the advised ones is refused.

    Args:
        train: What the configuration has.
        settings: What is advised, by dotted key.
    """
    algorithm = settings["train.algorithm"]
    others: dict[str, Any] = {}
    if algorithm == "ranking" and train.ranking.loss == "mse":
        others["train.metric"] = "rmse"
    if algorithm != "ranking" and train.metric in RANKING_METRICS:
        others["train.metric"] = _METRIC
    if algorithm == "ranking" and train.refit != "none":
        others["train.refit"] = "none"
    if algorithm != "neural":
        for key, nothing in _OF_NETWORKS.items():
            section, _, name = key.rpartition(".")
            value = getattr(getattr(train, section) if section else train, name)
            if value != nothing:
                others[f"train.{key}"] = nothing
    if settings.get("train.workers", 1) > train.max_workers:
        others["train.workers"] = train.max_workers
    return others
