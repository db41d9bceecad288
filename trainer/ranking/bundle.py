"""Store the calibration maps of a ranking model in its bundle, next to its weights."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from conf.contract import Bundle
from trainer.models.bundle import load_built
from trainer.networks.ranking import RankingModel
from trainer.ranking.calibration import Calibration

_PREFIX = "calibration."


def with_calibrations(
    weights: dict[str, Tensor], calibrations: Sequence[Calibration]
) -> dict[str, Tensor]:
    """Return the weights together with the calibration map of each label."""
    maps = {
        f"{_PREFIX}{label}": torch.from_numpy(one.numbers.copy())
        for label, one in enumerate(calibrations)
    }
    return {**weights, **maps}


class Loaded(NamedTuple):
    """Weights and calibration maps of a bundle."""

    weights: dict[str, Tensor]
    calibrations: list[Calibration]
    """One per label."""


def load_ranking(workspace: Path, model_id: str) -> tuple[Bundle, Loaded]:
    """Return a committed ranking model: its bundle, its weights and its calibration maps.

    Raises:
        VersionError: When a file differs from its entry in the bundle.
    """
    return load_built(workspace, model_id, _loaded)


def _loaded(bundle: Bundle, tensors: dict[str, Tensor]) -> Loaded:
    section = bundle.model
    weights = {name: t for name, t in tensors.items() if not name.startswith(_PREFIX)}
    RankingModel(**section["model"]).load_state_dict(weights)  # raises if the weights do not fit
    maps = [
        Calibration(section["calibration"], tensors[f"{_PREFIX}{label}"].numpy())
        for label in range(len(section["labels"]))
    ]
    return Loaded(weights, maps)
