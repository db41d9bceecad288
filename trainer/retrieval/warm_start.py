"""Start a training from a published model, even if items were added since.

The driver writes the start state of the workers into one file; they load it by parameter name.
"""

import os
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from scipy import sparse
from torch import Tensor
from torch.optim import Optimizer

from conf.contract import HISTORY_ITEMS, UNKNOWN_IDX, Bundle, Manifest, catalogue_size
from conf.errors import ConfigError, VersionError
from conf.privacy.learned import learned_from_erased, told_learned
from conf.runs.lineage import is_later
from conf.settings.config import Config
from conf.settings.etl import Split
from conf.settings.model import Model
from conf.workspace.versions import read_manifest
from trainer.data.event_features import other_features
from trainer.data.item_features import encodings_of
from trainer.data.stream import read_row_groups
from trainer.models.bundle import (
    OPTIMIZER_NAME,
    build_model,
    load_built,
    model_section,
    require_unseen,
    train_section,
)
from trainer.networks.retrieval import RetrievalModel
from trainer.retrieval.new_items import item_values, near_counts, new_vectors
from trainer.training.optimizers import SEPARATOR, grown, load_named_state

START_NAME = "start.safetensors"
ITEM_VECTORS = "items.embedding.weight"
EVENT_TABLES = "context.features.embeddings."
SEEN_ITEMS = "items.is_trained"
_MODEL, _STATE = "model:", "optimizer:"
_FREE = ("dropout", "mask_share", "init", "init_std", "embedding_std")
"""Keys of `train.model` that may differ from those of the published model."""


def require_fitting(config: Config, manifest: Manifest) -> None:
    """Refuse a model that the training cannot start from.

    Raises:
        VersionError: When the model does not exist, has learned from users who were erased since,
            or its kind, date, vocabulary or shape does not fit.
        ConfigError: When it may have seen events that this dataset holds out.
    """
    name = config.train.warm_start.model
    if name is None:
        return
    bundle = read_manifest(Path(config.run.output), "models", name, Bundle)
    learned = learned_from_erased(Path(config.run.output), name)
    problem = told_learned(learned) if learned != "no" else _misfit(config, manifest, bundle)
    if problem:
        raise VersionError(
            f"train.warm_start.model={name} {problem}; name another model, or set "
            "train.warm_start.model=null to train from scratch"
        )
    require_unseen(bundle, "valid")
    if bundle.dataset_id != manifest.id:
        _require_held_out_before(name, bundle, manifest.config["etl"])


def _require_held_out_before(name: str, bundle: Bundle, etl: dict[str, Any]) -> None:
    """Refuse a dataset that holds out events on which the model may have been trained."""
    split, fix = Split.model_validate(etl["split"]), ""
    before = Split.model_validate(bundle.config["etl"]["split"])
    if not split.is_in_time_order:
        fix = f"etl.split.kind={split.kind!r} is not in time order; use a split that is"
    elif etl["repeated_items"] in ("last", "strongest"):
        fix = (
            f"etl.repeated_items={etl['repeated_items']!r} moves repeated items to a user's newest "
            "events, which are held out here; use first or keep"
        )
    elif _holds_out_more(split, before):
        fix = (
            f"etl.split is ({_told(split)}) here and was ({_told(before)}) there; make both "
            "datasets with the same split"
        )
    if fix:
        raise ConfigError(
            f"train.warm_start.model={name} was trained on dataset {bundle.dataset_id} and may "
            f"have seen events that are held out here: {fix}, or name a model of this dataset"
        )


def _holds_out_more(split: Split, before: Split) -> bool:
    """Return whether a split may hold out events that the split of an earlier dataset did not."""
    days = {"valid_from": None, "test_from": None}
    if split.model_copy(update=days) != before.model_copy(update=days):
        return True
    if split.valid_from is None or before.valid_from is None:
        return split.valid_from != before.valid_from
    return split.valid_from < before.valid_from


def _told(split: Split) -> str:
    values = split.model_dump(exclude_defaults=True)
    return ", ".join(f"{key}={value}" for key, value in {"kind": split.kind, **values}.items())


def write_start(config: Config, manifest: Manifest, work: Path) -> None:
    """Write the start state of the workers, unless an interrupted run has written it."""
    path = work / START_NAME
    if path.is_file():
        return
    tensors = _start(config, manifest)
    work.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{START_NAME}.{os.getpid()}")
    save_file(tensors, temporary)
    temporary.replace(path)


def take_up(work: Path, model: RetrievalModel, optimizer: Optimizer) -> None:
    """Load the state that `write_start` has written into a model and its optimiser."""
    tensors = load_file(work / START_NAME)
    weights = _below(_MODEL, tensors)
    model.items.add_trained(weights.pop(SEEN_ITEMS))
    model.load_state_dict(weights, strict=False)  # other buffers stay
    state = _below(_STATE, tensors)
    if state:
        load_named_state(model, optimizer, state)


def _start(config: Config, manifest: Manifest) -> dict[str, Tensor]:
    spec, workspace = config.train.warm_start, Path(config.run.output)
    assert spec.model is not None
    bundle, weights = load_built(workspace, spec.model, lambda _, tensors: tensors)
    old, catalogue = bundle.vocabularies["item"].size, catalogue_size(manifest)
    weights[ITEM_VECTORS] = _with_new(config, manifest, weights[ITEM_VECTORS])
    model = build_model(model_section(config, manifest), catalogue)
    grew = {ITEM_VECTORS: (old, catalogue), **_grow_event_tables(weights, model)}
    tensors = {}
    for name, parameter in model.named_parameters():
        if name not in weights or weights[name].shape != parameter.shape:
            there = tuple(weights[name].shape) if name in weights else "missing"
            raise VersionError(
                f"train.warm_start.model={spec.model} does not fit: its {name} is {there}, but "
                f"{tuple(parameter.shape)} is needed; set train.warm_start.model=null"
            )
        tensors[f"{_MODEL}{name}"] = weights[name].contiguous()
    tensors[_MODEL + SEEN_ITEMS] = weights[SEEN_ITEMS]
    saved = workspace / "models" / spec.model / OPTIMIZER_NAME
    if spec.keep_optimizer and saved.is_file():
        for path, state in load_file(saved).items():
            rows = grew.get(path.rpartition(SEPARATOR)[0])
            tensors[f"{_STATE}{path}"] = state if rows is None else grown(state, *rows)
    return tensors


def _grow_event_tables(
    weights: dict[str, Tensor], model: RetrievalModel
) -> dict[str, tuple[int, int]]:
    """Append rows for new values of event features, each a copy of the row of the unknown value.

    Returns:
        For each table that grew, the old and the new number of rows.
    """
    grew = {}
    for name, parameter in model.named_parameters():
        old, now = len(weights.get(name, parameter)), len(parameter)
        if name.startswith(EVENT_TABLES) and old < now:
            new = weights[name][UNKNOWN_IDX].expand(now - old, -1)
            weights[name], grew[name] = torch.cat([weights[name], new]), (old, now)
    return grew


def _with_new(config: Config, manifest: Manifest, old: Tensor) -> Tensor:
    """Append the vectors of new items to the item vectors: [O, D] -> [V, D]."""
    spec, catalogue = config.train.warm_start, catalogue_size(manifest)
    if catalogue == len(old):
        return old
    near = sparse.csr_array((catalogue - len(old), len(old)))
    values = sparse.csr_array((catalogue, 0))
    if spec.new_items == "similar":
        folder = Path(config.run.output).resolve() / "datasets" / manifest.id
        blocks = read_row_groups(folder, manifest.row_groups("train"), (HISTORY_ITEMS,))
        near = near_counts(
            (columns for _, columns in blocks),
            old=len(old),
            catalogue=catalogue,
            distance=spec.neighbour_distance,
        )
        values = item_values(folder, manifest)
    std, seed = config.train.model.embedding_std, config.run.seed
    new = new_vectors(old.float().numpy(), near, values, std=std, seed=seed)
    return torch.cat([old, torch.from_numpy(new).to(old.dtype)])


def _misfit(config: Config, manifest: Manifest, bundle: Bundle) -> str | None:
    """Return why a model does not fit, with the values of both sides; None: it fits."""
    train, there = config.train, bundle.config["train"]
    if bundle.algorithm != "neural":
        return f"has train.algorithm={bundle.algorithm}, but neural is needed"
    if is_later(bundle.logical_date, manifest.logical_date):
        return f"is of {bundle.logical_date}, after {manifest.logical_date}, the dataset's date"
    ours, theirs = manifest.vocabularies["item"], bundle.vocabularies["item"]
    if not ours.goes_on_from(theirs):
        return (
            f"has an item vocabulary ({theirs.size} numbers, {theirs.fingerprint[:12]}) that the "
            f"one of dataset {manifest.id} ({ours.size}, {ours.fingerprint[:12]}) does not extend; "
            "make the dataset with etl.vocabulary=extend"
        )
    types = tuple(bundle.config["etl"]["event_types"])
    if bundle.model.get("event_types") and types != manifest.event_types:
        return f"uses the event types {types}, but the dataset has {manifest.event_types}"
    others = other_features(bundle, manifest, train.model.event_features)
    if others is not None:
        return others
    encodings = bundle.model["content"]["encodings"]
    if encodings is not None and encodings != encodings_of(manifest):
        return (
            "uses item features that the dataset encodes differently; make the dataset with "
            "etl.vocabulary=extend"
        )
    differs = _differences(train_section(bundle).model, train.model)
    if differs:
        return f"has another shape: {differs}"
    has_state = OPTIMIZER_NAME in {file.path for file in bundle.files["model"]}
    if has_state and train.warm_start.keep_optimizer:
        for key in ("kind", "embeddings"):
            was, now = there["optimizer"][key], getattr(train.optimizer, key)
            if was != now:
                return (
                    f"has an optimiser state of train.optimizer.{key}={was}, and {now} cannot use "
                    "it; set train.warm_start.keep_optimizer=false"
                )
    return None


def _differences(there: Model, here: Model) -> str:
    theirs, ours = (
        {**model.model_dump(), "content": model.content.features} for model in (there, here)
    )
    keys = [key for key in ours if key not in _FREE and theirs[key] != ours[key]]
    return ", ".join(f"train.model.{key} {theirs[key]} there, {ours[key]} here" for key in keys)


def _below(prefix: str, tensors: dict[str, Any]) -> dict[str, Tensor]:
    """Return the tensors whose names begin with a prefix, without it."""
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
