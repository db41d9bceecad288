from pathlib import Path

import pytest

from conf.errors import ConfigError
from conf.settings.choosing import is_whole, nested
from conf.settings.load import load_config, write_changed
from conf.settings.variants import comparable, with_changes

YAML = """
run: {name: tiny, output: out}
input: {root: in, events: {log: {paths: [none], time_unit: seconds}}}
etl: {event_types: {view: {}}}
tune:
  space:
    optimizer.learning_rate: {low: 0.0001, high: 1, log: true}
    model.width: {low: 8, high: 64, step: 8}
    model: {choice: [{}]}
"""


def written(tmp_path: Path, space: str = "{}") -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(YAML.partition("  space:")[0] + f"  space: {space}\n")
    return path


def test_a_space_is_read_with_the_kinds_of_its_keys(tmp_path: Path) -> None:
    space = (
        "{optimizer.learning_rate: {low: 0.0001, high: 1, log: true}, "
        "counting.ease.regularisation: {choice: [1, 10.5]}, ranking.labels.liked: {choice: [1]}}"
    )
    config = load_config(written(tmp_path, space))

    assert list(config.tune.space) == [
        "optimizer.learning_rate", "counting.ease.regularisation", "ranking.labels.liked",
    ]  # fmt: skip
    assert config.tune.space["counting.ease.regularisation"].choice == (1, 10.5)
    assert [is_whole(key) for key in ("model.width", "optimizer.learning_rate")] == [True, False]


@pytest.mark.parametrize(
    ("space", "problem"),
    [
        ("{optimizer.learning_rat: {choice: [1]}}", "did you mean optimizer.learning_rate?"),
        ("{learning_rate: {choice: [1]}}", "no such key; did you mean optimizer.learning_rate?"),
        ("{counting.eas.regularisation: {choice: [1]}}", "mean counting.ease.regularisation?"),
        ("{optimizer.adamw: {choice: [1]}}", "tune.space.optimizer.adamw: train has no such key"),
        ("{metric: {choice: [hr@1]}}", "tune.space.metric: train.metric is the same for all"),
        ("{model.width: {low: 8}}", "needs choice: [...], or low and high"),
        ("{model.width: {low: 8, high: 8}}", "low=8 has to be below high=8"),
        ("{model.width: {low: 8, high: 9.5}}", "high=9.5: train.model.width is a whole number"),
        ("{model.width: {choice: [8], low: 1}}", "has a choice, and low, high, log or step too"),
        ("{model.dropout: {low: 0, high: 1, log: true}}", "low=0 with log has to be above 0"),
        ("{model.dropout: {low: 1, high: 2, log: true, step: 1}}", "log and step exclude"),
        (
            "{model.encoder: {low: 1, high: 2}}",
            "train.model.encoder is not a number; give a choice",
        ),
        ("{model: {choice: [{}]}, model.width: {choice: [8]}}", "is inside tune.space.model"),
        ("{model.width: {chioce: [8]}}", "chioce: unknown key"),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused(
    tmp_path: Path, space: str, problem: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        load_config(written(tmp_path, space))
    assert problem in str(raised.value)


def test_settings_by_dotted_key_make_a_configuration(tmp_path: Path) -> None:
    config = load_config(written(tmp_path))
    chosen = {"model.width": 8, "model.heads": 1, "optimizer": {"kind": "sgd"}}

    assert nested(chosen) == {"model": {"width": 8, "heads": 1}, "optimizer": {"kind": "sgd"}}
    changed = with_changes(config, "trial 1", nested(chosen)).train

    assert (changed.model.width, changed.optimizer.kind) == (8, "sgd")
    assert changed.optimizer.learning_rate == config.train.optimizer.learning_rate
    with pytest.raises(ConfigError, match=r"trial 1: model: .*heads=3 has to divide"):
        with_changes(config, "trial 1", {"model": {"heads": 3}})
    with pytest.raises(ConfigError, match=r"trial 1: train\.metric='auc' is a figure of ranking"):
        with_changes(config, "trial 1", {"metric": "auc"})


def test_the_best_settings_are_written_as_a_configuration(tmp_path: Path) -> None:
    best = {"train.model.width": 8, "train.loss": {"kind": "bpr"}, "train.model.heads": 1}
    output = tmp_path / "best.yaml"

    path = written(tmp_path, "{model.width: {choice: [8]}}")
    write_changed(path, ["train.epochs=2"], best, output, ["Found."])

    config = load_config(output)
    assert output.read_text().startswith("# Found.\n")
    assert (config.train.model.width, config.train.loss.kind, config.train.epochs) == (8, "bpr", 2)


def test_a_model_of_compare_that_does_not_fit_the_best_trial_is_left_out(tmp_path: Path) -> None:
    """A trial of EASE says nothing about heads: with its width the network of compare has none."""
    path, changes = tmp_path / "tiny.yaml", {"algorithm": "ease", "model": {"width": 33}}
    path.write_text(
        "run: {name: tiny, output: out}\n"
        "input: {root: in, events: {log: {paths: [none], time_unit: seconds}}}\n"
        "etl: {event_types: {view: {}}}\n"
        "train: {algorithm: neural, model: {encoder: gru}}\n"
        "compare: {reference: net, models: {net: {model: {encoder: attention}}, "
        "mean: {model: {encoder: mean}}}}\n"
    )
    fitting = comparable(load_config(path), changes)
    assert list(fitting) == ["mean"]
    best = {"train.algorithm": "ease", "train.model.width": 33}
    write_changed(path, [], best, tmp_path / "best.yaml", ["best"], without_models=["net"])
    written = load_config(tmp_path / "best.yaml")
    assert list(written.compare.models) == ["mean"] and written.compare.reference is None
