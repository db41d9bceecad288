"""What a ranking model's bundle holds beside its weights: the maps of its probabilities."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from conf.contract import Bundle
from trainer.models.bundle import load_built
from trainer.networks.ranking import RankingModel
from trainer.ranking.calibration import Calibration

ALGORITHM = "ranking"
_PREFIX = "calibration."


def with_calibrations(
    weights: dict[str, Tensor], calibrations: Sequence[Calibration]
) -> dict[str, Tensor]:
    """Return weights with each label's map beside them."""
    maps = {
        f"{_PREFIX}{label}": torch.from_numpy(one.numbers.copy())
        for label, one in enumerate(calibrations)
    }
    return {**weights, **maps}


class Loaded(NamedTuple):
    """A ranking model as its bundle holds it."""

    weights: dict[str, Tensor]
    calibrations: list[Calibration]
    """Of each label."""


def load_ranking(workspace: Path, model_id: str) -> tuple[Bundle, Loaded]:
    """Return a committed ranking model: what it is built from, its weights, its labels' maps.

    Raises:
        VersionError: When a file differs from what the bundle says of it.
    """
    return load_built(workspace, model_id, _loaded)


def _loaded(bundle: Bundle, tensors: dict[str, Tensor]) -> Loaded:
    section = bundle.model
    weights = {name: t for name, t in tensors.items() if not name.startswith(_PREFIX)}
    RankingModel(**section["model"]).load_state_dict(weights)  # or they do not fit it
    maps = [
        Calibration(section["calibration"], tensors[f"{_PREFIX}{label}"].numpy())
        for label in range(len(section["labels"]))
    ]
    return Loaded(weights, maps)
