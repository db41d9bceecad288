"""Lists measured by the command, on models that it trained."""

import json
from pathlib import Path

import pytest

from conf.command.printing.tables import print_result
from conf.errors import ConfigError
from conf.runs.judging import run_measure
from conf.runs.stages import run_evaluate, run_train
from tests.serving.impression_shop import shop_config, write_shop

CANDIDATES = "score.candidates={net: {from: model, count: 9}, pop: {from: popularity, count: 9}}"


@pytest.mark.slow
def test_the_main_model_alone_has_the_figures_of_evaluate(
    shared_ray: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_shop(tmp_path)
    settings = ("ranker=null", "train.algorithm=als", "train.metrics_at=[1, 3, 5]", CANDIDATES)
    config = shop_config(tmp_path, *settings)
    run_train(config)
    alone = run_evaluate(config)["metrics"]["test"]["model"]

    found = run_measure(config, lists=True)

    # ALS gives no two items the same score, so ranks are places in lists.
    assert found["judged"]["rows"]["model"]["figures"] == pytest.approx(alone)
    assert run_measure(config)["metrics"]["test"]["model"] == alone
    assert json.loads(json.dumps(found)) == found
    print_result(found)
    printed = capsys.readouterr().out
    assert "difference from model, paired" in printed and "candidates" in printed
    assert not (tmp_path / "lists").exists()
    other = run_measure(config, lists=True, part="valid")["judged"]
    assert other["part"] == "valid"
    assert other["rows"]["model"]["figures"] != found["judged"]["rows"]["model"]["figures"]


def test_options_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    config = shop_config(tmp_path)
    with pytest.raises(ConfigError, match="--part is only for --lists"):
        run_measure(config, part="valid")
    with pytest.raises(ConfigError, match="--part='train' is no held-out part; use valid or test"):
        run_measure(config, part="train", lists=True)
    with pytest.raises(ConfigError, match="--role='ranker' is for one model"):
        run_measure(config, role="ranker", lists=True)
