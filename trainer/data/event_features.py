"""Select the features of past events that a retrieval model uses, and read their values.

Legend of shapes: B rows, L padded length, C categorical features, N numbers.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from conf.contract import (
    HISTORY_CONTEXT,
    HISTORY_WEIGHTS,
    PRESENT_SUFFIX,
    UNKNOWN_IDX,
    Bundle,
    Manifest,
)
from conf.errors import ConfigError, VersionError
from conf.settings.etl import EventType, acts_differ
from trainer.data.columns import Columns, Ragged, lists_of, padded
from trainer.data.feature_tables import fields_of
from trainer.networks.fields import FieldSpec, of_kind

HISTORIES = "histories"


def event_fields(
    wanted: Literal["none", "all"] | Sequence[str], manifest: Manifest
) -> tuple[FieldSpec, ...]:
    """Return the features of a dataset that `train.model.event_features` selects.

    Raises:
        ConfigError: When the dataset lacks a feature.
    """
    if wanted == "none":
        return ()
    there = fields_of(manifest.features.get(HISTORIES, ()), ())
    known = {field.name.removeprefix(HISTORY_CONTEXT): field for field in there}
    names = list(known) if isinstance(wanted, str) else wanted
    odd = [name for name in names if name not in known]
    if odd or (wanted == "all" and not known):
        raise ConfigError(
            f"train.model.event_features: the histories of dataset {manifest.id} have no "
            f"{', '.join(odd) or 'feature'}; they have {', '.join(known) or 'none'}; add it to "
            "etl.history_features and run headrace etl again"
        )
    return tuple(known[name] for name in names)


def fields_from(section: dict[str, Any]) -> tuple[FieldSpec, ...]:
    """Return the event features in a network's section; none for other kinds of models."""
    return tuple(FieldSpec(*field) for field in section.get("event_features", ()))


def context_columns(manifest: Manifest, part: str) -> tuple[str, ...]:
    """Return the columns of a part that contain features of past events and their confidences."""
    names = (column.name for column in manifest.columns.get(part, ()))
    return tuple(
        name for name in names if name == HISTORY_WEIGHTS or name.startswith(HISTORY_CONTEXT)
    )


def has_confidences(manifest: Manifest) -> bool:
    """Return whether the dataset has a confidence in each event; else all events count the same.

    Raises:
        VersionError: When it should have them, but was made before they were written.
    """
    found = HISTORY_WEIGHTS in context_columns(manifest, HISTORIES)
    types = manifest.config.get("etl", {}).get("event_types", {}).values()
    if not found and acts_differ([EventType.model_validate(kind) for kind in types]):
        raise VersionError(
            f"dataset {manifest.id} has no confidence in each event, though etl.event_types differ "
            "in weight: it was made by an earlier version of Headrace; run headrace etl again"
        )
    return found


def event_values(
    columns: Columns, fields: Sequence[FieldSpec], rows: np.ndarray, max_length: int
) -> tuple[Tensor | None, Tensor | None]:
    """Return the features of the newest events of the chosen rows, padded at the end with 0.

    Args:
        columns: A column of lists for each field, and for numbers also their presence masks.
        fields: The features; if there are none, both results are None.
        rows: [B]
        max_length: Largest number of events of one row.

    Returns:
        Categorical features, [B, L, C] int64, with `UNKNOWN_IDX` for codes that the field does
        not have yet; and [B, L, 2 N] float32: each number, then 1 if it is present.
    """
    if not fields:
        return None, None
    codes = [
        np.where(found < field.size, found, UNKNOWN_IDX)
        for field in of_kind(fields, "categorical")
        for found in _padded(columns, [field.name], rows, max_length)
    ]
    names = [
        name
        for field in of_kind(fields, "numbers")
        for name in (field.name, field.name + PRESENT_SUFFIX)
    ]
    numbers = list(_padded(columns, names, rows, max_length))
    shape = (codes or numbers)[0].shape  # B, L
    return (
        _stacked(codes, shape, torch.int64),  # [B, L, C]
        _stacked(numbers, shape, torch.float32),  # [B, L, 2 N]
    )


def as_columns(histories: Ragged) -> Columns:
    """Return the columns in `beside` as separate columns of lists."""
    beside = histories.beside or {}
    return {name: Ragged(values, histories.offsets) for name, values in beside.items()}


def sections_in(section: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the section of a model and, for a blend, the sections of its members."""
    return [section, *section.get("members", {}).values()]


def foreign_features(bundle: Bundle, manifest: Manifest) -> str | None:
    """Return the event features of a model that a dataset lacks or encodes differently.

    A vocabulary that extends the model's is accepted: the model treats new values as unknown.

    Args:
        bundle: Bundle of the model, which may be a hybrid.
        manifest: The dataset.

    Returns:
        Names, separated by commas; None if there are none.
    """
    sections = sections_in(bundle.model)
    names = [field.name for section in sections for field in fields_from(section)]
    ours, theirs = bundle.vocabularies, manifest.vocabularies
    odd = [
        name
        for name in names
        if name not in ours or name not in theirs or not theirs[name].goes_on_from(ours[name])
    ]
    return ", ".join(name.removeprefix(HISTORY_CONTEXT) for name in odd) or None


def require_same_features(bundle: Bundle, manifest: Manifest) -> None:
    """Refuse a model whose event features this dataset lacks or encodes differently.

    Raises:
        VersionError: When there are such features; the message names them.
    """
    odd = foreign_features(bundle, manifest)
    if odd is not None:
        raise VersionError(
            f"model {bundle.id} uses the event features {odd}, which dataset {manifest.id} lacks "
            "or encodes differently; build the dataset with etl.vocabulary=extend, or train on it "
            "first"
        )


def other_features(
    bundle: Bundle, manifest: Manifest, wanted: Literal["none", "all"] | Sequence[str]
) -> str | None:
    """Describe how the event features of a network differ from the configured ones.

    Args:
        bundle: Bundle of the network.
        manifest: The dataset to train on.
        wanted: `train.model.event_features`.

    Returns:
        Text that follows the model's name in an error message; None if they are the same.
    """
    there, here = (
        ", ".join(field.name.removeprefix(HISTORY_CONTEXT) for field in fields) or "none"
        for fields in (fields_from(bundle.model), event_fields(wanted, manifest))
    )
    if there != here:
        return f"uses the event features {there}, but train.model.event_features selects {here}"
    odd = foreign_features(bundle, manifest)
    if odd is None:
        return None
    return (
        f"uses the event features {odd}, which the dataset encodes differently; build the dataset "
        "with etl.vocabulary=extend"
    )


def _padded(
    columns: Columns, names: Sequence[str], rows: np.ndarray, max_length: int
) -> Iterator[np.ndarray]:
    return (padded(lists_of(columns, name), rows, max_length)[0] for name in names)


def _stacked(parts: Sequence[np.ndarray], shape: tuple[int, ...], kind: torch.dtype) -> Tensor:
    stacked = np.stack(parts, axis=-1) if parts else np.zeros((*shape, 0))
    return torch.from_numpy(stacked).to(kind)
