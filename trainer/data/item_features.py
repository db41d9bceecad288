"""Select the features of items that a retrieval model uses, and read their values.

Legend of shapes: V catalogue.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from conf.contract import ITEM_IDX, Manifest
from conf.errors import ConfigError, VersionError
from conf.settings.model import Content
from trainer.data.feature_tables import ITEM_FEATURES, fields_of, read_table
from trainer.networks.fields import FieldSpec, Values
from trainer.networks.retrieval import RetrievalModel


def content_fields(content: Content, manifest: Manifest) -> tuple[FieldSpec, ...]:
    """Return the features of a dataset that `train.model.content` selects.

    Raises:
        ConfigError: When the dataset lacks a feature.
    """
    if content.features == "none":
        return ()
    there = fields_of(manifest.features.get(ITEM_FEATURES, ()), ())
    wanted = [field.name for field in there] if content.features == "all" else content.features
    known = {field.name: field for field in there}
    odd = [name for name in wanted if name not in known]
    if odd or not wanted:
        why = {f.name: f.left_out for f in manifest.features.get(ITEM_FEATURES, ()) if f.left_out}
        told = [
            f"{name} (etl.features.selection left it out: {why[name]})" if name in why else name
            for name in odd
        ]
        raise ConfigError(
            f"train.model.content.features: dataset {manifest.id} has no item feature "
            f"{', '.join(told) or 'at all'}; it has {', '.join(known) or 'none'}; use those, or "
            "add it to etl.features.items.encodings and run headrace etl again"
        )
    return tuple(known[name] for name in wanted)


def content_section(content: Content, manifest: Manifest) -> dict[str, Any]:
    """Return the section on content that a network is built from.

    It is `train.model.content` plus the features with their sizes and the hash of the encodings.
    """
    fields = content_fields(content, manifest)
    return {
        **content.model_dump(mode="json"),
        "fields": [list(field) for field in fields],
        "encodings": encodings_of(manifest) if fields else None,
    }


def encodings_of(manifest: Manifest) -> str | None:
    """Return the SHA-256 of the fitted encodings of item features; None if there are none."""
    files = manifest.files.get("encoders", ())
    return next((file.sha256 for file in files if Path(file.path).stem == ITEM_FEATURES), None)


def extend_to(
    model: RetrievalModel, section: Mapping[str, Any], folder: Path, manifest: Manifest
) -> None:
    """Add the new items of a dataset to a model, which knows them by their features alone.

    A model that uses no item features is left unchanged.

    Args:
        model: The network.
        section: The `content_section` that it was built from.
        folder: Folder of the dataset.
        manifest: The dataset, whose item numbers extend the model's.

    Raises:
        VersionError: When the dataset lacks a feature or encodes it differently.
    """
    content, size = model.items.content, manifest.vocabularies["item"].size
    if content is None or size == model.catalogue:
        return
    there = fields_of(manifest.features.get(ITEM_FEATURES, ()), ())
    same = encodings_of(manifest) == section["encodings"]
    odd = [field.name for field in content.specs if not same or field not in there]
    if odd:
        raise VersionError(
            f"dataset {manifest.id} has new items, and the model uses the item features "
            f"{', '.join(odd)}, which the dataset lacks or encodes differently; build the dataset "
            "with etl.vocabulary=extend, or train on it first"
        )
    model.items.extend(read_table(folder, manifest, ITEM_FEATURES, content.specs, ITEM_IDX, "item"))


def read_content(content: Content, folder: Path, manifest: Manifest) -> Values | None:
    """Return the features of all items: [V, ...]; None if no feature is selected."""
    fields = content_fields(content, manifest)
    if not fields:
        return None
    return read_table(folder, manifest, ITEM_FEATURES, fields, ITEM_IDX, "item")
