"""What a ranking model reads of a dataset: which columns, and how they become its fields."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from conf.contract import (
    HISTORY_ITEMS,
    ITEM_IDX,
    LABEL_PREFIX,
    PRESENT_SUFFIX,
    SAMPLING_PROBABILITY,
    USER_IDX,
    Feature,
    Manifest,
)
from conf.errors import ConfigError, VersionError
from conf.schema import Config
from trainer.ranking_inputs import FieldSpec

ITEM_FEATURES, USER_FEATURES, IMPRESSIONS = "item_features", "user_features", "impressions"
TRAIN_PART, VALID_PART, TEST_PART = (f"{part}_impressions" for part in ("train", "valid", "test"))
_OF_MODEL = (
    "interaction", "width", "hidden", "second_hidden", "heads", "gate_width", "cross_layers",
    "dropout", "batch_norm", "history", "attention_width", "multi_task", "experts",
    "tower_hidden", "unknown_share", "init", "embedding_std",
)  # fmt: skip


@dataclass(frozen=True)
class Layout:
    """Fields and labels of a model, by the dataset's names."""

    user_fields: tuple[FieldSpec, ...]
    item_fields: tuple[FieldSpec, ...]
    context_fields: tuple[FieldSpec, ...]
    labels: tuple[str, ...]
    history_length: int
    """0 where the model takes no history."""

    def impression_columns(self, manifest: Manifest) -> list[str]:
        """Return the columns that are read of the impressions."""
        history = [HISTORY_ITEMS] if self.history_length else []
        labels = [LABEL_PREFIX + label for label in self.labels]
        own = field_columns(self.context_fields, manifest, TRAIN_PART)
        return [USER_IDX, ITEM_IDX, SAMPLING_PROBABILITY, *history, *labels, *own]


def field_columns(fields: Sequence[FieldSpec], manifest: Manifest, part: str) -> list[str]:
    """Return the columns of fields: their own, and those that say whether a value is there."""
    present = {column.name for column in manifest.columns.get(part, ())}
    names = [name for field in fields for name in (field.name, field.name + PRESENT_SUFFIX)]
    return [name for name in names if name in present]


def layout_of(config: Config, manifest: Manifest) -> Layout:
    """Return what `train.ranking` takes of a dataset.

    Raises:
        VersionError: When the dataset has no such impressions.
        ConfigError: When a feature that is to be left out is none of the dataset's.
    """
    ranking, impressions = config.train.ranking, config.etl.impressions
    assert impressions is not None, "the configuration's rules see to that"
    labels = tuple(ranking.labels or list(impressions.labels)[:1])
    there = {column.name for column in manifest.columns.get(TRAIN_PART, ())}
    missing = [label for label in labels if LABEL_PREFIX + label not in there]
    if missing:
        known = sorted(
            name.removeprefix(LABEL_PREFIX) for name in there if name.startswith(LABEL_PREFIX)
        )
        raise VersionError(
            f"dataset {manifest.id} has no label {', '.join(missing)} in {TRAIN_PART}, only "
            f"{', '.join(known) or 'none'}; run headrace etl with this configuration first"
        )
    _require_features(ranking.features_left_out, manifest)
    return Layout(
        **{f"{name}_fields": fields_of(manifest.features.get(part, ()), ranking.features_left_out)
           for name, part in (("user", USER_FEATURES), ("item", ITEM_FEATURES),
                              ("context", IMPRESSIONS))},
        labels=labels,
        history_length=0 if ranking.history == "none" else ranking.history_length,
    )  # fmt: skip


def _require_features(left_out: Sequence[str], manifest: Manifest) -> None:
    parts = (USER_FEATURES, ITEM_FEATURES, IMPRESSIONS)
    known = [feature.name for part in parts for feature in manifest.features.get(part, ())]
    odd = [name for name in left_out if name not in known]
    if odd:
        raise ConfigError(
            f"train.ranking.features_left_out: dataset {manifest.id} has no feature "
            f"{', '.join(odd)}, only {', '.join(known) or 'none'}"
        )


def section_of(config: Config, manifest: Manifest, layout: Layout) -> dict[str, Any]:
    """Return all that a model is built from again, as JSON holds it."""
    ranking = config.train.ranking.model_dump(mode="json")
    sizes = {name: manifest.vocabularies[name].size for name in ("user", "item")}
    fields = {
        name: [list(field) for field in getattr(layout, name)]
        for name in ("user_fields", "item_fields", "context_fields")
    }
    return {
        "labels": list(layout.labels),
        "history_length": layout.history_length,
        "model": {
            "users": sizes["user"], "items": sizes["item"], "num_labels": len(layout.labels),
            **fields, **{name: ranking[name] for name in _OF_MODEL},
        },
        **{name: ranking[name] for name in ("loss", "sampling", "calibration")},
    }  # fmt: skip


def layout_from(section: dict[str, Any]) -> Layout:
    """Return the layout of a model that was built from such a section."""
    fields = {
        name: tuple(FieldSpec(*field) for field in section["model"][name])
        for name in ("user_fields", "item_fields", "context_fields")
    }
    return Layout(
        **fields, labels=tuple(section["labels"]), history_length=section["history_length"]
    )


def fields_of(features: Sequence[Feature], left_out: Sequence[str]) -> tuple[FieldSpec, ...]:
    """Return a part's features as models see them, but for those that are left out."""
    return tuple(
        _field(feature)
        for feature in features
        if feature.left_out is None and feature.name not in left_out
    )


def _field(feature: Feature) -> FieldSpec:
    if feature.kind in ("categorical", "tags"):
        assert feature.cardinality is not None
        is_cross = bool(feature.made_of)
        return FieldSpec(feature.name, feature.kind, feature.cardinality, is_cross=is_cross)
    return FieldSpec(
        feature.name, "numbers", feature.dimension or 1, is_count=feature.encoding == "as_of"
    )
