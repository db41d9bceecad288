"""What a network cannot be trained with, told before any work, by what the dataset was made of."""

from pathlib import Path
from typing import Any

import pytest

from conf.contract import Feature
from conf.errors import ConfigError, InputError
from conf.settings.load import load_config
from conf.settings.model import Content
from tests.trainer.small_parts import write_config, write_dataset
from trainer.algorithms.blended import train as train_hybrid
from trainer.data.feature_tables import ITEM_FEATURES
from trainer.data.item_features import content_fields
from trainer.retrieval.train import require_sound, require_validation

ORDER = {"input": {"events": {"log": {"time_unit": "order"}}}}


def split(kind: str) -> dict[str, Any]:
    return {"etl": {"split": {"kind": kind}}}


@pytest.mark.parametrize(
    ("made_of", "changes", "problem"),
    [
        (ORDER, "train.model.calendar=true", "calendar needs the time .* dataset small was made"),
        (ORDER, "train.model.time_gaps=true", "time_gaps needs the time of each event"),
        (split("random"), "train.refit=with_valid", "split of dataset small is 'random'"),
        (split("given"), "train.refit=with_valid", "split of dataset small is 'given'"),
        (split("temporal"), "train.refit=with_valid", "split of dataset small is 'temporal'"),
        (ORDER, "train.workers=2", "has 1 row group.* and each worker needs one"),
    ],
)
def test_what_the_dataset_does_not_bear_is_refused(
    tmp_path: Path, made_of: dict[str, Any], changes: str, problem: str
) -> None:
    manifest = write_dataset(tmp_path, [[2, 3, 4]] * 8, [5] * 8, [6] * 8, items=5)
    other = manifest.model_copy(update={"config": {**manifest.config, **made_of}})
    config = load_config(write_config(tmp_path), [changes])
    with pytest.raises(ConfigError, match=problem):
        require_sound(config, other)


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        ("leave_one_out", "no user has the 3 events that the split leave_one_out needs"),
        ("temporal", "no event lies in its time"),
    ],
)
def test_why_there_is_no_validation_part_is_told(tmp_path: Path, kind: str, problem: str) -> None:
    manifest = write_dataset(tmp_path, [[2, 3, 4]] * 8, [5] * 8, [6] * 8, items=5)
    changes = {
        "files": {**manifest.files, "valid": ()},
        "config": {**manifest.config, **split(kind)},
    }
    with pytest.raises(InputError, match=f"has no validation part: {problem}"):
        require_validation(manifest.model_copy(update=changes))


def test_held_out_events_without_confidence_are_a_cause_of_no_validation_part(
    tmp_path: Path,
) -> None:
    manifest = write_dataset(
        tmp_path, [[2, 3, 4]] * 8, [5] * 8, [6] * 8, items=5, sure=[[1.0] * 3 + [0.0] * 2] * 8
    )
    empty = manifest.model_copy(update={"files": {**manifest.files, "valid": ()}})
    with pytest.raises(InputError, match="or all targets have the confidence 0"):
        require_validation(empty)


def test_an_empty_training_part_is_refused(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path, [[2, 3, 4]] * 8, [5] * 8, [6] * 8, items=5)
    empty = manifest.model_copy(update={"files": {**manifest.files, "train": ()}})
    with pytest.raises(InputError, match="no rows in train, so there is nothing to train on"):
        require_sound(load_config(write_config(tmp_path)), empty)


def test_a_feature_that_was_left_out_is_told_with_the_reason(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path, [[2, 3, 4]] * 8, [5] * 8, [6] * 8, items=5)
    names = {"item_price": None, "item_shape": "constant"}
    features = tuple(
        Feature(name=name, kind="numeric", encoding="numeric", left_out=why)
        for name, why in names.items()
    )
    other = manifest.model_copy(update={"features": {ITEM_FEATURES: features}})
    problem = (
        r"no item feature item_shape \(etl.features.selection left it out: constant\), "
        "item_name; it has item_price"
    )
    with pytest.raises(ConfigError, match=problem):
        content_fields(Content(features=("item_shape", "item_price", "item_name")), other)


def test_a_blend_refuses_what_its_network_does_not_bear(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path, [[2, 3, 4]] * 8, [5] * 8, [6] * 8, items=5)
    other = manifest.model_copy(update={"config": {**manifest.config, **ORDER}})
    changes = ["train.algorithm=hybrid", "train.model.calendar=true"]
    with pytest.raises(ConfigError, match="calendar needs the time"):
        train_hybrid(load_config(write_config(tmp_path), changes), other, tmp_path / "work")
