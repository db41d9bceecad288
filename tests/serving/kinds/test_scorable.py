"""Settings of a run that have no effect, or need what is not there."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from conf.errors import ConfigError
from conf.settings.config import Config
from serving.judging.judge import prepared
from serving.kinds.scorable import require_scorable
from serving.ranking import approximate
from serving.scoring.list_model import load_model
from tests.serving.impression_shop import shop_config, write_shop
from tests.serving.judging.measured import with_model
from tests.serving.random_shop import Shop, counted_model, random_shop
from tests.serving.staged_shop import NETWORK
from tests.serving.tiny_shop import tiny_config, write_model

INDEX = "score.index={}"
BOOSTED = "score.rules.boosts={all: {times: 2.0}}"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return random_shop(tmp_path_factory.mktemp("shop"), 1)


@pytest.mark.parametrize(
    ("settings", "warning"),
    [
        ((), None),
        ((BOOSTED,), "change the scores"),
        (("score.rules.least_score=0.1",), "change the scores"),
        ((BOOSTED, "score.scenarios.cart.rules={}"), None),
        ((BOOSTED, "score.similar_items.rules={}"), None),
        ((BOOSTED, "score.similar_items={rules: {}, by: vectors}"), "change the scores"),
        (("score.candidates={pop: {from: popularity, count: 9}}",), "without a channel from: mod"),
        (("score.candidates={net: {from: model, count: 9}}", BOOSTED), None),
    ],
)
def test_an_index_that_no_list_uses_is_told_of(
    shop: Shop, settings: tuple[str, ...], warning: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    workspace = Path(shop.config.run.output)
    score = tiny_config(workspace, INDEX, *settings).score
    with caplog.at_level(logging.WARNING):
        require_scorable(score, shop.manifest, load_model(workspace, shop.model_id, shop.manifest))
    assert ("score.index has no effect" in caplog.text) == (warning is not None)
    assert (warning or "") in caplog.text


def test_an_index_without_a_network_is_told_of_and_needs_no_library(
    shop: Shop, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approximate, "find_spec", lambda _: None)
    workspace = Path(shop.config.run.output)
    model_id = counted_model(shop, workspace)
    score = tiny_config(workspace, INDEX).score
    with caplog.at_level(logging.WARNING):
        require_scorable(score, shop.manifest, load_model(workspace, model_id, shop.manifest))
    assert (
        f"has no effect: model {model_id} (item_knn) is no network; set it to null" in caplog.text
    )


def test_measuring_lists_with_an_index_needs_its_library_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approximate, "find_spec", lambda _: None)
    manifest = write_shop(tmp_path)

    def asked(config: Config, write: Callable[..., str]) -> None:
        prepared(config, manifest.id, write(config, manifest), {}, {}, "test")

    with pytest.raises(ConfigError, match=r"install headrace\[index\]"):
        asked(
            shop_config(tmp_path, *NETWORK, "ranker=null", "score.candidates=null", INDEX),
            write_model,
        )
    with caplog.at_level(logging.WARNING):
        asked(shop_config(tmp_path, "ranker=null", "train.algorithm=als", INDEX), with_model)
    assert "evaluate: score.index has no effect" in caplog.text
