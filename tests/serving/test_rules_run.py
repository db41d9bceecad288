"""The stage with rules, as the command runs it."""

from contextlib import nullcontext
from pathlib import Path

import pytest

from conf.command.printing.told import told_rules
from conf.contract import ListsManifest
from conf.errors import ConfigError
from conf.runs.stages import run_score
from conf.settings.load import load_config
from conf.workspace.pointers import current_version, publish
from conf.workspace.versions import read_manifest
from tests.serving.random_shop import random_shop
from tests.serving.scoring_here import scoring_here
from tests.serving.tiny_shop import DAY

WHERE = ["score.rules.where.in_stock='stock > 0'", "score.rules.where.here='region = user.region'"]
PLACES = [
    "score.rules.caps.category=2",
    "score.rules.pins.first={item: i4, position: 1}",
    "score.rules.boosts.cheap={where: price < 5, times: 1.3}",
    "score.rules.shares.cheap={where: price < 5, at_least: 0.3}",
    "score.rules.least_score=0.2",
    "score.rules.deny.sold={path: sold.txt}",
]


@pytest.mark.usefixtures("shared_ray")
def test_any_number_of_workers_makes_the_same_lists_and_the_same_ledger(tmp_path: Path) -> None:
    made = []
    (tmp_path / "sold.txt").write_text("i7\ni8\n")
    for workers in (1, 2):
        folder = tmp_path / str(workers)
        options = [*WHERE, *PLACES, f"score.workers={workers}", f"input.root={tmp_path}"]
        shop = random_shop(folder, 5, *options, users=60)
        publish(folder, "models", shop.model_id, DAY)

        with scoring_here() if workers == 1 else nullcontext():
            result = run_score(shop.config)

        assert result["published"] == "published" and result["gates"]["rule_violations"]
        manifest = read_manifest(folder, "lists", result["id"], ListsManifest)
        assert manifest.rules == result["rules"]
        files = sorted(Path(result["folder"]).glob("part-*.parquet"))
        made.append((manifest.rules, [path.read_bytes() for path in files]))
    assert made[0] == made[1]
    stocks = [item["stock"] for item in shop.items]
    in_stock = made[0][0]["score.rules.where.in_stock"]
    assert in_stock["excluded_items"] == sum(not stock for stock in stocks)
    assert in_stock["null_items"] == stocks.count(None) > 0
    assert "excluded items" in told_rules(made[0][0])["where.in_stock"]


@pytest.mark.usefixtures("scored_here")
def test_rules_that_exclude_everything_leave_the_published_lists(tmp_path: Path) -> None:
    shop = random_shop(tmp_path, 6)
    publish(tmp_path, "models", shop.model_id, DAY)
    before = run_score(shop.config)["id"]

    for text, told in (
        ("stock > 100", r"exclude all 40 items .*score\.rules\.where\.a \(40\)"),
        ("stok > 0", "uses stok, which is no field"),
    ):
        config = load_config(tmp_path / "run.yaml", [f"score.rules.where.a='{text}'"])
        with pytest.raises(ConfigError, match=told):
            run_score(config)
        assert current_version(tmp_path, "lists") == before
