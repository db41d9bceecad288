"""What a ranking model's bundle holds beside its weights: the maps of its probabilities."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from conf.contract import Bundle
from conf.errors import VersionError
from conf.fingerprint import hash_file
from conf.workspace import read_manifest
from trainer.bundle import WEIGHTS_NAME
from trainer.calibration import Calibration
from trainer.ranking import RankingModel

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


def load_ranking(
    workspace: Path, model_id: str
) -> tuple[Bundle, dict[str, Tensor], list[Calibration]]:
    """Return a committed ranking model: what it is built from, its weights, its labels' maps.

    Raises:
        VersionError: When a file differs from what the bundle says of it.
    """
    bundle = read_manifest(workspace, "models", model_id, Bundle)
    folder = workspace / "models" / model_id
    for file in bundle.files["model"]:
        if hash_file(folder / file.path) != file.sha256:
            raise VersionError(
                f"{folder / file.path} is not the file that the bundle was made "
                "with (SHA-256 differs); restore it or train again"
            )
    try:
        weights, calibrations = _split(load_file(folder / WEIGHTS_NAME), bundle.model)
        RankingModel(**bundle.model["model"]).load_state_dict(weights)
    except (SafetensorError, RuntimeError, KeyError) as error:
        raise VersionError(f"{folder / WEIGHTS_NAME} does not fit its bundle: {error}") from error
    return bundle, weights, calibrations


def _split(
    tensors: dict[str, Tensor], section: dict[str, Any]
) -> tuple[dict[str, Tensor], list[Calibration]]:
    weights = {name: t for name, t in tensors.items() if not name.startswith(_PREFIX)}
    maps = [
        Calibration(section["calibration"], tensors[f"{_PREFIX}{label}"].numpy())
        for label in range(len(section["labels"]))
    ]
    return weights, maps
