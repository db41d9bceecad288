from pathlib import Path

import pytest

from conf.errors import ConfigError
from conf.settings.load import load_config
from tests.packaging.checkout import CHECKOUT
from trainer.algorithms.blend_weights import _compositions

RANKING = [
    "train.algorithm=ranking",
    "train.metric=auc",
    "etl.impressions={labels: {bought: [purchase], seen: [view]}}",
]


def problem(*overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(Path(CHECKOUT) / "conf/demo.yaml", [*RANKING, *overrides])
    return str(caught.value)


def test_a_ranking_configuration_is_accepted() -> None:
    config = load_config(Path(CHECKOUT) / "conf/demo.yaml", RANKING)
    assert config.train.ranking.labels == {}


def test_a_ranking_model_needs_impressions() -> None:
    assert "etl.impressions is null; set it to the events" in problem("etl.impressions=null")


def test_the_metric_has_to_fit_the_algorithm() -> None:
    assert "train.metric='ndcg@10' does not fit" in problem("train.metric=ndcg@10")
    said = problem("train.algorithm=neural")
    assert "'auc' is a figure of ranking models, but train.algorithm is 'neural'" in said


def test_a_rating_has_but_the_squared_error() -> None:
    said = problem("train.ranking.loss=mse", "train.ranking.calibration=platt")
    assert "train.ranking.loss='mse'; use rmse" in said
    assert "train.ranking.calibration='platt' maps probabilities" in said


def test_labels_are_those_of_the_impressions() -> None:
    said = problem("train.ranking.labels={boght: 1.0}")
    assert "train.ranking.labels.boght is not a label of etl.impressions: bought, seen" in said


def test_draws_from_a_session_cannot_be_corrected_in_the_logit() -> None:
    said = problem(
        "train.ranking.sampling=logit",
        "etl.session_gap_minutes=30",
        "etl.impressions={labels: {bought: [purchase]}, negatives: session}",
    )
    assert "train.ranking.sampling is 'logit', but etl.impressions.negatives is 'session'" in said


def test_a_ranking_model_is_not_trained_anew() -> None:
    assert "train.refit='with_valid', but train.algorithm is" in problem("train.refit=with_valid")


def test_heads_have_to_divide_both_outputs() -> None:
    said = problem("train.ranking={interaction: finalmlp, hidden: [8], heads: 3}")
    assert "heads=3 has to divide the last width" in said


def test_auto_trains_its_own_network() -> None:
    said = problem("train.algorithm=auto", "train.metric=ndcg@10", "train.hybrid.neural=shop-1",
                   "train.hybrid.members=[neural,ease]")  # fmt: skip
    assert "names a network for the algorithm hybrid, but train.algorithm is 'auto'" in said


def test_the_grid_of_a_blend_can_be_tried() -> None:
    four = "train.hybrid.members=[popularity,markov,item_knn,ease]"
    said = problem(four, "train.hybrid.grid_parts=1000")
    assert "grid_parts=1000 makes 167,668,501 blends of 4 members, but at most 10,000" in said
    finest = load_config(
        Path(CHECKOUT) / "conf/demo.yaml", [*RANKING, four, "train.hybrid.grid_parts=37"]
    )
    assert len(list(_compositions(finest.train.hybrid.grid_parts, 4))) == 9880  # by counting
