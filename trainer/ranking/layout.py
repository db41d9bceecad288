"""The columns of a dataset that a ranking model reads, and how they become its fields."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conf.contract import (
    HISTORY_ITEMS,
    ITEM_IDX,
    LABEL_PREFIX,
    SAMPLING_PROBABILITY,
    USER_IDX,
    Manifest,
)
from conf.errors import ConfigError, VersionError
from conf.settings.config import Config
from trainer.data.feature_tables import (
    IMPRESSIONS,
    ITEM_FEATURES,
    USER_FEATURES,
    field_columns,
    fields_of,
)
from trainer.networks.fields import FieldSpec

TRAIN_PART, VALID_PART, TEST_PART = (f"{part}_impressions" for part in ("train", "valid", "test"))
_OF_MODEL = (
    "interaction", "width", "hidden", "second_hidden", "heads", "gate_width", "cross_layers",
    "dropout", "batch_norm", "history", "attention_width", "multi_task", "experts",
    "tower_hidden", "unknown_share", "init", "embedding_std",
)  # fmt: skip


@dataclass(frozen=True)
class RankingLayout:
    """Fields and labels of a model, by the dataset's names."""

    user_fields: tuple[FieldSpec, ...]
    item_fields: tuple[FieldSpec, ...]
    context_fields: tuple[FieldSpec, ...]
    labels: tuple[str, ...]
    history_length: int
    """0 if the model uses no history."""

    def impression_columns(self, manifest: Manifest) -> list[str]:
        """Return the columns to read from the impressions."""
        history = [HISTORY_ITEMS] if self.history_length else []
        labels = [LABEL_PREFIX + label for label in self.labels]
        own = field_columns(self.context_fields, manifest, TRAIN_PART)
        return [USER_IDX, ITEM_IDX, SAMPLING_PROBABILITY, *history, *labels, *own]


def layout_of(config: Config, manifest: Manifest) -> RankingLayout:
    """Return the fields and labels of a dataset that `train.ranking` selects.

    Raises:
        VersionError: When the impressions of the dataset lack a label.
        ConfigError: When a feature in `features_left_out` is not in the dataset.
    """
    ranking, impressions = config.train.ranking, config.etl.impressions
    assert impressions is not None, "the configuration's rules ensure this"
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
    return RankingLayout(
        **{
            f"{name}_fields": fields_of(manifest.features.get(part, ()), ranking.features_left_out)
            for name, part in (
                ("user", USER_FEATURES),
                ("item", ITEM_FEATURES),
                ("context", IMPRESSIONS),
            )
        },
        labels=labels,
        history_length=0 if ranking.history == "none" else ranking.history_length,
    )


def _require_features(left_out: Sequence[str], manifest: Manifest) -> None:
    parts = (USER_FEATURES, ITEM_FEATURES, IMPRESSIONS)
    known = [feature.name for part in parts for feature in manifest.features.get(part, ())]
    odd = [name for name in left_out if name not in known]
    if odd:
        raise ConfigError(
            f"train.ranking.features_left_out: dataset {manifest.id} has no feature "
            f"{', '.join(odd)}, only {', '.join(known) or 'none'}; correct or remove the name"
        )


def section_of(config: Config, manifest: Manifest, layout: RankingLayout) -> dict[str, Any]:
    """Return everything that is needed to build a model again, as JSON values."""
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
            "users": sizes["user"],
            "items": sizes["item"],
            "num_labels": len(layout.labels),
            **fields,
            **{name: ranking[name] for name in _OF_MODEL},
        },
        **{name: ranking[name] for name in ("loss", "sampling", "calibration")},
        "encodings": encodings_in(manifest),
    }


def encodings_in(manifest: Manifest) -> dict[str, str]:
    """Return the SHA-256 of each file of fitted encodings that ranking models depend on."""
    parts = (ITEM_FEATURES, USER_FEATURES, IMPRESSIONS)
    files = {Path(file.path).stem: file.sha256 for file in manifest.files.get("encoders", ())}
    return {part: files[part] for part in parts if part in files}


def layout_from(section: dict[str, Any]) -> RankingLayout:
    """Return the layout of a model from its `section_of`."""
    fields = {
        name: tuple(FieldSpec(*field) for field in section["model"][name])
        for name in ("user_fields", "item_fields", "context_fields")
    }
    return RankingLayout(
        **fields, labels=tuple(section["labels"]), history_length=section["history_length"]
    )
