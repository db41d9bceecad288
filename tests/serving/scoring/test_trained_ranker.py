"""A main model, a ranker and lists through the real stages."""

import json
from pathlib import Path

import pytest

from conf.contract import RANKER, Bundle
from conf.runs.looking import run_status
from conf.runs.stages import run_evaluate, run_score, run_train
from conf.workspace.pointers import current_version
from conf.workspace.versions import read_manifest
from tests.serving.impression_shop import shop_config, write_shop

pytestmark = pytest.mark.slow
CANDIDATES = "score.candidates={net: {from: model, count: 9}, pop: {from: popularity, count: 9}}"


def test_a_ranker_is_trained_after_the_main_model_and_orders_its_candidates(
    shared_ray: None, tmp_path: Path
) -> None:
    write_shop(tmp_path)
    config = shop_config(tmp_path, CANDIDATES, "ranker.epochs=2", "score.context.hour=12")

    trained = run_train(config)

    ranker = trained["roles"][RANKER]
    bundle = read_manifest(tmp_path, "models", ranker["id"], Bundle)
    assert (bundle.role, bundle.algorithm) == (RANKER, "ranking")
    assert current_version(tmp_path, "models") == trained["id"] != ranker["id"]
    assert current_version(tmp_path, "models", RANKER) == ranker["id"]
    assert run_status(config)["roles"][RANKER]["id"] == ranker["id"]
    again = run_evaluate(config, role=RANKER)
    assert again["id"] == ranker["id"]
    assert again["metrics"]["test"]["model"] == ranker["metrics"]["test"]["model"]

    scored = run_score(config)

    lists = json.loads((Path(scored["folder"]) / "lists.json").read_text())
    assert lists["models"] == {RANKER: ranker["id"]} and all(scored["gates"].values())
    assert run_train(config)["status"] == run_score(config)["status"] == "already done"
