"""Write and read a trained model: weights in safetensors, everything else in JSON, no pickle."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from conf.contract import (
    CARD_NAME,
    MAIN,
    METRICS_NAME,
    Bundle,
    DataFile,
    Manifest,
    catalogue_size,
)
from conf.errors import ConfigError, VersionError
from conf.masking.origins import public_config
from conf.settings.config import Config
from conf.settings.key_tree import described
from conf.settings.train import Train
from conf.workspace.folders import emptied
from conf.workspace.hashes import hash_file
from conf.workspace.mending import mend
from conf.workspace.storage import raise_storage_failure, require_room
from conf.workspace.versions import commit, new_folder, read_manifest, version_id
from trainer.data.event_features import event_fields, require_same_features, sections_in
from trainer.data.item_features import content_section
from trainer.models.counting import COUNTING, load_counting
from trainer.models.hybrid import NEURAL, Hybrid
from trainer.models.scorer import ModelScorer, Scorer
from trainer.networks.initialisation import initialise
from trainer.networks.retrieval import RetrievalModel

WEIGHTS_NAME = "weights.safetensors"
OPTIMIZER_NAME = "optimizer.safetensors"
Built = TypeVar("Built")
_INITIAL = ("init", "init_std", "embedding_std")  # keys of `train.model` on initial weights


@dataclass(frozen=True)
class Trained:
    """The result of a training."""

    section: dict[str, Any]
    """Section of the configuration that the model is rebuilt from."""
    weights: dict[str, Tensor]
    metrics: dict[str, Any]
    optimizer: dict[str, Tensor] = field(default_factory=dict)
    """The optimiser's state by name, see `trainer.training.optimizers`; {} if it is not saved."""


def model_section(config: Config, manifest: Manifest) -> dict[str, Any]:
    """Return the section that a retrieval network is built from.

    It is `train.model` with the number of event types, with the event features as `FieldSpec`s, and
    with the content from `content_section`.
    """
    model = config.train.model
    section = model.model_dump(mode="json")
    types = len(manifest.event_types) if section["event_types"] else 0
    content = content_section(model.content, manifest)
    fields = [list(field) for field in event_fields(model.event_features, manifest)]
    return {**section, "event_types": types, "event_features": fields, "content": content}


def build_model(section: dict[str, Any], catalogue: int) -> RetrievalModel:
    """Return an untrained network, built from a `model_section`, for V item numbers."""
    shape = {name: value for name, value in section.items() if name not in _INITIAL}
    model = RetrievalModel(catalogue=catalogue, **shape)
    init, std, embedding_std = (section[name] for name in _INITIAL)
    initialise(model, init=init, std=std, embedding_std=embedding_std)
    return model


def save_bundle(
    config: Config,
    manifest: Manifest,
    request: str,
    trained: Trained,
    card: str | None = None,
    *,
    role: str = MAIN,
) -> str:
    """Commit a model's version, with its card if there is one, and return its id."""
    workspace = Path(config.run.output)
    version = version_id(config.run.name, manifest.logical_date, request)
    folder = emptied(new_folder(workspace, "models", version))
    files = {WEIGHTS_NAME: trained.weights, OPTIMIZER_NAME: trained.optimizer}
    files = {name: tensors for name, tensors in files.items() if tensors}
    num_bytes = sum(t.nbytes for tensors in files.values() for t in tensors.values())
    require_room(folder, num_bytes, "the model")
    for name, tensors in files.items():
        save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, folder / name)
    (folder / METRICS_NAME).write_text(json.dumps(trained.metrics, indent=1))
    if card is not None:
        (folder / CARD_NAME).write_text(card, encoding="utf-8")
    cards = {} if card is None else {"card": (_entry(folder / CARD_NAME),)}
    bundle = Bundle(
        id=version,
        request=request,
        logical_date=manifest.logical_date,
        dataset_id=manifest.id,
        vocabularies=manifest.vocabularies,
        algorithm=config.train.algorithm,
        role=role,
        model=trained.section,
        config=public_config(config),
        files={"model": tuple(_entry(folder / name) for name in (*files, METRICS_NAME)), **cards},
        learned_from_erased="no",
    )
    commit(workspace, "models", bundle)
    return version


def load_bundle(workspace: Path, model_id: str) -> tuple[Bundle, RetrievalModel]:
    """Return a committed network, ready to score.

    Raises:
        VersionError: When a file differs from its entry in the bundle, or the model is no network.
    """
    bundle, scorer = load_scorer(workspace, model_id)
    if not isinstance(scorer, ModelScorer):
        raise VersionError(
            f"model {model_id} has train.algorithm={bundle.algorithm}, but neural is needed; name "
            "another model"
        )
    return bundle, scorer.model


def load_scorer(workspace: Path, model_id: str) -> tuple[Bundle, Scorer]:
    """Return a committed model of any kind, ready to score.

    Raises:
        VersionError: When a file differs from its entry in the bundle.
    """

    def build(bundle: Bundle, weights: dict[str, Tensor]) -> Scorer:
        catalogue = bundle.vocabularies["item"].size
        return build_scorer(bundle.algorithm, bundle.model, weights, catalogue)

    return load_built(workspace, model_id, build)


def load_built(
    workspace: Path, model_id: str, build: Callable[[Bundle, dict[str, Tensor]], Built]
) -> tuple[Bundle, Built]:
    """Return a committed model's bundle, and the result of `build` for it and its weights.

    Raises:
        VersionError: When a file differs from its entry in the bundle, or `build` fails.
    """
    bundle = read_manifest(workspace, "models", model_id, Bundle)
    folder = workspace / "models" / model_id
    for file in bundle.files["model"]:
        if hash_file(folder / file.path) != file.sha256:
            raise VersionError(
                f"{folder / file.path} is not the file that the bundle was written "
                f"with (SHA-256 differs); {mend(folder / file.path)}"
            )
    try:
        return bundle, build(bundle, load_file(folder / WEIGHTS_NAME))
    except (SafetensorError, RuntimeError, ValueError, KeyError) as error:
        raise_storage_failure(error, folder / WEIGHTS_NAME)
        raise VersionError(
            f"{folder / WEIGHTS_NAME} does not fit its bundle: {' '.join(str(error).split())}; "
            + mend(folder / WEIGHTS_NAME)
        ) from error


def with_prefix(name: str, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a member's weights under their names in a hybrid's bundle."""
    return {f"{name}.{key}": tensor for key, tensor in weights.items()}


def build_scorer(
    algorithm: str, section: dict[str, Any], weights: dict[str, Tensor], catalogue: int
) -> Scorer:
    """Return the model that is built from a section and has these weights."""
    if algorithm == NEURAL:
        model = build_model(section, catalogue)
        model.load_state_dict(weights)
        return ModelScorer(model.eval())
    if algorithm in COUNTING:
        return load_counting(algorithm, section, weights, catalogue)
    if algorithm != "hybrid":
        raise ValueError(f"its algorithm is {algorithm!r}, which this version does not know")
    members = {}
    for name, part in section["members"].items():
        start = f"{name}."
        own = {key.removeprefix(start): t for key, t in weights.items() if key.startswith(start)}
        members[name] = build_scorer(name, part, own, catalogue)
    return Hybrid(members, section["blend"])


def train_section(bundle: Bundle) -> Train:
    """Return the section `train` that a model was trained with.

    Raises:
        VersionError: When the model is from a release whose settings this one does not know.
    """
    try:
        return Train.model_validate(bundle.config["train"])
    except ValidationError as error:
        problems = "; ".join(described(detail, Train) for detail in error.errors())
        raise VersionError(
            f"model {bundle.id} was trained by a release with other settings: train.{problems}; "
            "train again"
        ) from error


def require_same_vocabulary(bundle: Bundle, manifest: Manifest) -> None:
    """Refuse a model whose item numbers mean something else in this dataset.

    A dataset whose vocabulary extends the model's is accepted: it has more items.

    Raises:
        VersionError: When the dataset encodes the items differently, or the event types or event
            features that the model uses.
    """
    types = tuple(bundle.config["etl"]["event_types"])
    takes_types = any(section.get("event_types") for section in sections_in(bundle.model))
    if takes_types and manifest.event_types != types:
        raise VersionError(
            f"model {bundle.id} uses the event types {', '.join(types)}, but those of dataset "
            f"{manifest.id} are {', '.join(manifest.event_types)}; train on this dataset first"
        )
    ours, theirs = bundle.vocabularies["item"], manifest.vocabularies["item"]
    if not theirs.goes_on_from(ours):
        raise VersionError(
            f"model {bundle.id} was trained on dataset {bundle.dataset_id}, whose item vocabulary "
            f"{ours.fingerprint[:12]} ({ours.size} numbers) does not fit that of dataset "
            f"{manifest.id}, {theirs.fingerprint[:12]} ({catalogue_size(manifest)} numbers); "
            "train on this dataset first"
        )
    require_same_features(bundle, manifest)


def require_unseen(bundle: Bundle, part: str) -> None:
    """Refuse to use a held-out part with a model that was trained on it.

    Args:
        bundle: Bundle of the model.
        part: `valid` or `test`.

    Raises:
        ConfigError: When `train.refit` of the model included the part.
    """
    refit = bundle.config["train"]["refit"]
    if refit == "everything" or (refit == "with_valid" and part == "valid"):
        raise ConfigError(
            f"model {bundle.id} was trained again with train.refit={refit}, on the {part} part "
            "too, so this part cannot measure it; use a model with train.refit=none, or the "
            "figures of the first training in metrics.json"
        )


def _entry(path: Path) -> DataFile:
    return DataFile(path=path.name, bytes=path.stat().st_size, sha256=hash_file(path), rows=0)
