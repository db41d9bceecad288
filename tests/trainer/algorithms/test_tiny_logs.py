"""Counting models on logs with almost nothing in them: figures without data are null."""

from pathlib import Path

import pytest

from conf.contract import MODEL_NAME
from conf.errors import ConfigError, InputError
from conf.runs.choosing import run_advise, run_card, run_compare, run_tune
from conf.runs.stages import run_evaluate, run_train
from conf.settings.config import Config
from conf.settings.load import load_config
from tests.strict_json import strict_json
from tests.trainer.small_parts import write_config
from tests.trainer.tiny_logs import LOGS, without_parts, write_log

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("shared_ray")]

MODELS = ("popularity", "recent_popularity", "markov", "item_knn", "ease", "als")
BLEND = "train.hybrid.members=[popularity,markov,als]"
COMPARED = "compare.models={a: {algorithm: popularity}, b: {algorithm: markov}}"
SEARCH = (
    "train.algorithm=item_knn",
    "tune.trials=2",
    "tune.space={counting.item_knn.shrinkage: {low: 1.0, high: 9.0}}",
)


def configured(workspace: Path, *overrides: str) -> Config:
    return load_config(write_config(workspace), overrides)


def require_sound_pages(*pages: Path) -> None:
    """Refuse pages that show Python's words for a figure without data."""
    for page in pages:
        text = page.read_text()
        found = [word for word in (">nan", "nan%", ">None<", "None to", ">inf") if word in text]
        assert not found, (page, found)


@pytest.mark.parametrize("log", LOGS)
@pytest.mark.parametrize("algorithm", [*MODELS, "hybrid"])
def test_each_model_is_trained_and_measured(tmp_path: Path, algorithm: str, log: str) -> None:
    write_log(tmp_path, log)
    config = configured(tmp_path, f"train.algorithm={algorithm}", BLEND, "score.list_length=1")

    trained = run_train(config)
    again = run_evaluate(config)["metrics"]
    run_card(config, tmp_path / "card.html")

    metrics = strict_json(Path(trained["folder"]) / "metrics.json")
    assert again["test"] == metrics["test"] and metrics["test_users"] == len(LOGS[log][0])
    require_sound_pages(Path(trained["card"]), tmp_path / "card.html")


@pytest.mark.parametrize("log", ["three alike", "one item", "all have seen all"])
def test_nobody_can_get_anything(tmp_path: Path, log: str) -> None:
    """Each target is new or seen: it is a miss, though the catalogue is shorter than a list."""
    write_log(tmp_path, log)

    metrics = run_train(configured(tmp_path, "train.algorithm=markov"))["metrics"]

    assert set(metrics["test"][MODEL_NAME].values()) == {0.0}
    assert metrics["valid"] == {"ndcg@10": 0.0}
    lists = metrics["lists"][MODEL_NAME]
    assert [lists[name] for name in ("coverage", "gini", "novelty")] == [None] * 3
    assert set(lists["shares"].values()) == {None}


def test_the_figures_of_one_user_have_no_bounds(tmp_path: Path) -> None:
    write_log(tmp_path, "one user")
    config = configured(tmp_path, "train.algorithm=markov", "score.drop_seen=false", COMPARED)

    metrics = run_train(config)["metrics"]
    compared = run_compare(config)

    (whole,) = metrics["segments"]["all"].values()
    for figure in (whole[MODEL_NAME]["ndcg@10"], compared["models"]["b"]["ndcg@10"]):
        assert figure["value"] > 0 and figure["low"] is figure["high"] is None
    require_sound_pages(Path(compared["page"]))


@pytest.mark.parametrize("algorithm", MODELS)
def test_nothing_is_held_out_and_nobody_had_two_items(tmp_path: Path, algorithm: str) -> None:
    manifest = write_log(tmp_path, "two items")
    without_parts(tmp_path, manifest, "train", "valid", "test")
    config = configured(tmp_path, f"train.algorithm={algorithm}", COMPARED)

    trained = run_train(config)
    compared = run_compare(config)

    metrics = strict_json(Path(trained["folder"]) / "metrics.json")
    assert metrics["test_users"] == 0 and metrics["valid"] == {"ndcg@10": None}
    assert set(metrics["test"][MODEL_NAME].values()) == {None}
    assert metrics["lists"][MODEL_NAME]["coverage"] is None
    assert metrics["scoring"] == {"flops_per_example": None, "scored_per_second": None}
    assert "The test part has no targets" in Path(trained["card"]).read_text()
    assert compared["targets"] == 0 and compared["differences"]["b"] == dict.fromkeys(
        ("value", "low", "high", "p")
    )
    assert compared["models"]["a"]["reasons"] == {
        "users": 0, "score_falls_without_the_reason": None,
        "score_falls_without_another_item": None,
    }  # fmt: skip
    assert run_advise(config)["dataset"]["cold_share"] is None
    require_sound_pages(Path(trained["card"]), Path(compared["page"]))


@pytest.mark.parametrize("algorithm", ["neural", "hybrid"])
def test_what_validation_must_choose_says_that_there_is_none(
    tmp_path: Path, algorithm: str
) -> None:
    without_parts(tmp_path, write_log(tmp_path, "two items"), "valid")
    config = configured(tmp_path, f"train.algorithm={algorithm}", *SEARCH[1:])
    cause = "no user has the 3 events that the split leave_one_out needs"

    with pytest.raises(InputError, match=f"has no validation part: {cause}") as caught:
        run_train(config)
    with pytest.raises(ConfigError, match=f"none of 2 trials has a figure; .*{cause}"):
        run_tune(configured(tmp_path, *SEARCH))

    assert "\n" not in str(caught.value)
