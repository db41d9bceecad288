"""The gate on a model's quality: a model that a baseline beats may not replace the published one.

Only the figures of `metrics.json` are judged here, so that a run that finds everything done can
check the gate again without reading any model.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from conf.errors import GateError
from conf.pages.text import figure, interval

log = logging.getLogger(__name__)
_TO_DO = (
    "to do: let headrace advise or headrace compare find a better model, or set "
    "train.algorithm=auto, which publishes the best one; train.gate=warn publishes this one"
)


def require_passed(metrics: Mapping[str, Any], folder: Path, mode: str) -> None:
    """Refuse a model that a baseline beats on validation by more than the noise.

    A model that was not compared, or that a baseline leads within the noise, gets a warning.

    Args:
        metrics: Contents of the model's `metrics.json`.
        folder: Folder of the model.
        mode: `train.gate`: refuse, warn or none.

    Raises:
        GateError: When the mode is refuse and a baseline is better; it names all figures.
    """
    found = metrics.get("gate")
    if not metrics and not folder.is_dir():
        return  # whoever reads the model says so
    if mode == "none" or (found is not None and found["verdict"] == "passed"):
        return
    if found is None or found["verdict"] == "unchecked":
        log.warning("train: %s was not compared with baselines: %s", folder.name, _why(found))
        return
    complaint = "\n".join(f"  {line}" for line in complaints(found))
    if found["verdict"] == "beaten" and mode == "refuse":
        raise GateError(
            f"model {folder.name} is not published, the published one stays: a baseline is better "
            f"by more than the noise\n{complaint}\n  {_TO_DO}\n  the model and its card are in "
            f"{folder}"
        )
    log.warning("train: a baseline is better than %s:\n%s", folder.name, complaint)


def complaints(found: Mapping[str, Any]) -> list[str]:
    """Return a line for each baseline that is better than the model: figures, lead and bounds.

    Args:
        found: See `trainer.evaluation.against_baselines.against_baselines`.
    """
    return [
        f"{found['metric']} on validation, {found['users']:,} users: model {found['model']:.4f}, "
        f"{name} {one['value']:.4f}; lead {one['lead']:+.4f} (95% bounds {interval(one, sign='+')}"
        f", p {figure(one['p'], 3)})"
        + ("" if one["low"] is None or one["low"] > 0 else ", which may be noise")
        for name, one in found["baselines"].items()
        if one["lead"] > 0
    ]


def _why(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "an earlier release trained it"
    if not found["users"]:
        return "the dataset has no validation part"
    return "there are no baselines; see train.baselines"
