"""Which settings are warned of; `tests/trainer/test_uses.py` shows that the table is true."""

import logging
from pathlib import Path
from typing import Any

import pytest

from conf.settings.config import Config
from conf.settings.load import load_config
from conf.settings.rules.uses import useless_keys, warn_of_settings
from docs.uses import uses_page

CONF = Path(__file__).parents[3] / "conf"


def configured(train: dict[str, Any], **sections: Any) -> Config:
    return Config.model_validate({
        "run": {"name": "tiny", "output": "w"},
        "input": {"root": "none", "events": {"log": {"paths": ["none"], "time_unit": "seconds"}}},
        "etl": {"event_types": {"view": {}}},
        "train": train,
        **sections,
    })  # fmt: skip


def test_a_key_of_another_kind_of_model_is_named_with_those_that_use_it() -> None:
    config = configured({
        "algorithm": "ease", "epochs": 9, "precision": "bf16",
        "model": {"width": 32, "blocks": 2}, "counting": {"ease": {"regularisation": 9}},
    })  # fmt: skip
    assert useless_keys(config) == [
        "train.precision, train.epochs have no effect: used only by neural, ranking",
        "train.model.width has no effect: used only by neural",
    ]


def test_a_key_that_needs_another_value_is_named_with_it() -> None:
    config = configured({
        "model": {"encoder": "gru", "heads": 1}, "loss": {"kind": "cross_entropy", "calibration": 1}
    })  # fmt: skip
    assert useless_keys(config) == [
        "train.model.heads has no effect: needs train.model.encoder=attention or bidirectional",
        "train.loss.calibration has no effect: needs train.loss.kind=gbce",
    ]


@pytest.mark.parametrize(
    "train",
    [
        {},
        {"algorithm": "ease", "model": {"width": 64}},  # the default
        {"baselines": ["ease"], "counting": {"ease": {"regularisation": 9}}},
        {"algorithm": "hybrid", "hybrid": {"members": ["neural", "als"]}, "model": {"width": 8},
         "counting": {"als": {"factors": 3}}, "epochs": 3},
    ],
)  # fmt: skip
def test_what_a_member_or_a_baseline_uses_is_not_named(train: dict[str, Any]) -> None:
    assert useless_keys(configured(train)) == []


def test_a_network_that_exists_uses_no_settings_of_training() -> None:
    blend = {"algorithm": "hybrid", "hybrid": {"neural": "shop-1"}, "epochs": 3}
    assert useless_keys(configured(blend)) == [
        "train.epochs has no effect: used only by neural, ranking"
    ]


def test_models_of_a_comparison_use_what_the_run_does_not() -> None:
    models = {"network": {}, "counted": {"algorithm": "als", "model": {"width": 8}, "epochs": 2}}
    train = {
        "algorithm": "neural",
        "counting": {"als": {"factors": 3}, "ease": {"max_items": 9}},
    }
    assert useless_keys(configured(train, compare={"models": models})) == [
        "train.counting.ease.max_items has no effect: used only by ease",
        "compare.models.counted.model.width has no effect: used only by neural",
        "compare.models.counted.epochs has no effect: used only by neural, ranking",
    ]


def test_values_that_a_search_tries_count() -> None:
    train = {"algorithm": "ease", "model": {"width": 8, "heads": 1}}
    space = {"algorithm": {"choice": ["ease", "neural"]},
             "model.encoder": {"choice": ["gru", "attention"]}}  # fmt: skip
    assert useless_keys(configured(train, tune={"space": space})) == []


def test_lengths_that_differ_are_warned_of_once_each(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        warn_of_settings(configured({"model": {"history_length": 20}}))
        warn_of_settings(configured({"model": {"history_length": 20}, "algorithm": "ease"}))
        warn_of_settings(configured({"model": {"history_length": 60}}))
        warn_of_settings(configured({"model": {"history_length": 60, "encoder": "gru"}}))
        warn_of_settings(configured({"model": {"history_length": 99}}, etl={
            "event_types": {"view": {}}, "window_length": 99}))  # fmt: skip
    assert [record.getMessage() for record in caplog.records] == [
        "config: etl.window_length=50 and train.model.history_length=20 differ, so the older "
        "targets of each training row are not trained; set both to the same number",
        "config: train.model.history_length has no effect: used only by neural",
        "config: etl.window_length=50 and train.model.history_length=60 differ, so the positions "
        "of older events are never trained; set both to the same number",
    ]


@pytest.mark.parametrize("path", sorted(CONF.glob("*.yaml")), ids=lambda path: path.stem)
def test_our_configurations_set_nothing_in_vain(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        warn_of_settings(load_config(path))
    assert caplog.messages == []


def test_the_manual_shows_the_table() -> None:
    line = next(row for row in uses_page().splitlines() if "`save_optimizer`" in row)
    assert line.count("✓") == 1 and line.count("**refused**") == 8
