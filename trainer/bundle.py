"""Write and read a trained model: weights in safetensors, all else in JSON, never pickle."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from conf.contract import Bundle, DataFile, Manifest, catalogue_size
from conf.errors import VersionError
from conf.fingerprint import hash_file
from conf.schema import Config
from conf.workspace import commit, emptied, new_folder, read_manifest, version_id
from trainer.retrieval import RetrievalModel

WEIGHTS_NAME = "weights.safetensors"
METRICS_NAME = "metrics.json"


@dataclass(frozen=True)
class Trained:
    """What training comes to."""

    section: dict[str, Any]
    """Section of the configuration that the model is built from again."""
    weights: dict[str, Tensor]
    metrics: dict[str, Any]


def model_section(config: Config, manifest: Manifest) -> dict[str, Any]:
    """Return `train.model` as a retrieval network is built from it, event types by their number."""
    section = config.train.model.model_dump(mode="json")
    types = len(manifest.event_types) if section["event_types"] else 0
    return {**section, "event_types": types}


def build_model(section: dict[str, Any], catalogue: int) -> RetrievalModel:
    """Return an untrained network of a `model_section` for a catalogue of V items."""
    return RetrievalModel(catalogue=catalogue, **section)


def save_bundle(config: Config, manifest: Manifest, request: str, trained: Trained) -> str:
    """Commit a model's version and return its id."""
    workspace = Path(config.run.output)
    version = version_id(config.run.name, manifest.logical_date, request)
    folder = emptied(new_folder(workspace, "models", version))
    save_file(
        {name: tensor.contiguous() for name, tensor in trained.weights.items()},
        folder / WEIGHTS_NAME,
    )
    (folder / METRICS_NAME).write_text(json.dumps(trained.metrics, indent=1))
    bundle = Bundle(
        id=version,
        request=request,
        logical_date=manifest.logical_date,
        dataset_id=manifest.id,
        vocabularies=manifest.vocabularies,
        algorithm=config.train.algorithm,
        model=trained.section,
        config=config.model_dump(mode="json"),
        files={"model": tuple(_entry(folder / name) for name in (WEIGHTS_NAME, METRICS_NAME))},
    )
    commit(workspace, "models", bundle)
    return version


def load_bundle(workspace: Path, model_id: str) -> tuple[Bundle, RetrievalModel]:
    """Return a committed model, ready to score.

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
    model = build_model(bundle.model, bundle.vocabularies["item"].size)
    try:
        model.load_state_dict(load_file(folder / WEIGHTS_NAME))
    except (SafetensorError, RuntimeError) as error:
        raise VersionError(f"{folder / WEIGHTS_NAME} does not fit its bundle: {error}") from error
    return bundle, model.eval()


def require_same_vocabulary(bundle: Bundle, manifest: Manifest) -> None:
    """Refuse a model whose item numbers mean something else in this dataset.

    A dataset whose vocabulary goes on from the model's is right: it has more items.

    Raises:
        VersionError: When an item number means something else.
    """
    ours, theirs = bundle.vocabularies["item"], manifest.vocabularies["item"]
    if not theirs.goes_on_from(ours):
        raise VersionError(
            f"model {bundle.id} was trained on dataset {bundle.dataset_id}, whose item vocabulary "
            f"{ours.fingerprint[:12]} ({ours.size} numbers) is not that of dataset {manifest.id}, "
            f"{theirs.fingerprint[:12]} ({catalogue_size(manifest)} numbers); "
            "train on this dataset first"
        )


def _entry(path: Path) -> DataFile:
    return DataFile(path=path.name, bytes=path.stat().st_size, sha256=hash_file(path), rows=0)
