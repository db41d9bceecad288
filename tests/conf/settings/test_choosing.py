from pathlib import Path

import pytest

from conf.errors import ConfigError
from conf.settings.choosing import section_of_model
from conf.settings.load import load_config
from conf.settings.train import Train


def test_a_model_has_all_of_the_section_but_its_changes() -> None:
    train = Train.model_validate({"epochs": 3, "model": {"width": 8, "heads": 1}})

    gru = section_of_model(train, {"model": {"encoder": "gru"}, "batch_rows": 4})

    assert (gru.epochs, gru.batch_rows, gru.model.width) == (3, 4, 8)
    assert gru.model.encoder == "gru" and train.model.encoder == "attention"


@pytest.mark.parametrize(
    ("models", "problem"),
    [
        ("{a: {algorithm: easy}}", "compare.models.a: algorithm='easy': Input should be 'auto'"),
        ("{a: {model: {heads: 3}}}", "compare.models.a: model: heads=3 has to divide"),
        ("{a: {model: {hedas: 3}}}", "model.hedas: unknown key; did you mean model.heads?"),
        ("{a: {modle: {}}}", "compare.models.a: modle: unknown key; did you mean model?"),
    ],
)
def test_changes_that_break_a_rule_are_named(tmp_path: Path, models: str, problem: str) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(
        "run: {name: tiny, output: out}\n"
        "input: {root: in, events: {log: {paths: [none], time_unit: seconds}}}\n"
        "etl: {event_types: {view: {}}}\n"
        f"compare: {{models: {models}}}\n"
    )
    with pytest.raises(ConfigError) as raised:
        load_config(path)
    assert problem in str(raised.value)


def test_the_reference_is_one_of_the_models(tmp_path: Path) -> None:
    problem = r"compare\.reference='b' is not one of compare\.models: a"
    with pytest.raises(ConfigError, match=problem):
        path = tmp_path / "tiny.yaml"
        path.write_text(
            "run: {name: tiny, output: out}\n"
            "input: {root: in, events: {log: {paths: [none], time_unit: seconds}}}\n"
            "etl: {event_types: {view: {}}}\n"
            "compare: {models: {a: {}}, reference: b}\n"
        )
        load_config(path)
