"""The comparison's figures, put together from what was found in row groups, without Ray."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from conf.contract import HISTORY_ITEMS, TARGET_ITEM, USER_IDX
from conf.errors import VersionError
from conf.runs.choosing import run_compare
from conf.settings.config import Config
from conf.settings.load import load_config
from tests.trainer.small_parts import ragged, write_config, write_dataset
from trainer.choosing.compare import Looked, compared
from trainer.evaluation.efficiency import COSTS
from trainer.evaluation.intervals import MOST_UNITS
from trainer.evaluation.metrics import gains
from trainer.evaluation.ranks import Given, Ranked, rank_targets, with_all_models
from trainer.evaluation.segments import Division, segment_figures
from trainer.models.popularity import Popularity

VERSIONS = {"first": "m-1", "second": "m-2"}
NO_COSTS = dict.fromkeys(VERSIONS, dict.fromkeys(COSTS))


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load_config(write_config(tmp_path))


def looked(users: np.ndarray, seed: int) -> Looked:
    rng, nothing = np.random.default_rng(seed), Given(np.zeros(0, int), np.zeros(0, int))
    ranks = {name: rng.integers(1, 40, len(users)) for name in VERSIONS}
    ranked = Ranked(
        users, users, users, ranks, dict.fromkeys(VERSIONS, nothing), dict.fromkeys(VERSIONS, 0.25)
    )
    return Looked(ranked, {"first": (4, 3.0, 1.0), "second": (0, 0.0, 0.0)})


def test_bounds_are_those_that_the_card_tells_of_as_many_users(config: Config) -> None:
    """Of groups of users as well as of users alone."""
    metric, seed = config.train.metric, config.run.seed
    for users in (300, MOST_UNITS + 200):
        found = [looked(np.arange(users // 2), 1), looked(np.arange(users // 2, users), 2)]
        result = compared(config, VERSIONS, NO_COSTS, found)

        own = np.concatenate([gains(part.ranked.ranks["first"], metric) for part in found])
        told = segment_figures(
            {"model": {metric: own}}, np.arange(users),
            {"all": Division(("all",), np.zeros(users, dtype=np.int64))}, seed=seed,
        )["all"]["all"]  # fmt: skip
        assert result["targets"] == told["targets"] == users
        assert result["models"]["first"][metric] == pytest.approx(told["model"][metric], abs=1e-12)
        assert result["models"]["first"]["reasons"]["score_falls_without_the_reason"] == 0.75
        assert result["models"]["second"]["scored_per_second"] == 2 * users


def test_models_that_were_looked_at_one_by_one_stand_beside_one_another() -> None:
    columns = {
        HISTORY_ITEMS: ragged([[2, 3, 4], [5], [6, 2]]),
        USER_IDX: np.array([2, 3, 4]),
        TARGET_ITEM: np.array([5, 2, 3]),
    }
    models = {"first": Popularity(np.arange(10.0)), "second": Popularity(np.arange(10.0)[::-1])}
    ask = partial(rank_targets, columns=columns, batch_rows=2, list_length=2, drop_seen=True)

    apart = with_all_models([ask({name: model}) for name, model in models.items()])

    together = ask(models)
    for name in models:
        assert apart.ranks[name].tolist() == together.ranks[name].tolist()
        assert apart.given[name].items.tolist() == together.given[name].items.tolist()
    assert apart.ranks["first"].tolist() != apart.ranks["second"].tolist()
    assert apart.users.tolist() == together.users.tolist() == [2, 3, 4]


def test_an_empty_test_part_is_compared_too(config: Config) -> None:
    result = compared(config, VERSIONS, NO_COSTS, [])
    nothing = dict.fromkeys(("value", "low", "high"))
    assert result["targets"] == 0 and result["reference"] == "first"
    assert result["models"]["second"][config.train.metric] == nothing
    assert result["models"]["second"]["scored_per_second"] is None
    assert result["differences"] == {"second": {**nothing, "p": None}}


def test_an_error_says_which_model_it_is_about(tmp_path: Path) -> None:
    write_dataset(tmp_path, [[2, 3, 4]] * 8, [5] * 8, [6] * 8, items=5)
    models = "compare.models={later: {warm_start: {model: nowhere}}}"
    config = load_config(write_config(tmp_path), [models])
    with pytest.raises(VersionError, match=r"^compare\.models\.later: .*nowhere has no bundle"):
        run_compare(config)
    assert not list((tmp_path / "models").glob("*/bundle.json"))
