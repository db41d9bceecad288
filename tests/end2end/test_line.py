"""One run from the raw log to published lists, looked at from all sides."""

import json
import time
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest

from tests.end2end.conftest import DATA, Shop, headrace
from trainer.cluster.machine import num_cores

Finished = tuple[Shop, dict[str, Any]]


def published(shop: Shop) -> Any:
    """Read the current lists as a stranger would: two JSON files, then Parquet."""
    lists = shop.workspace / "lists"
    folder = lists / json.loads((lists / "CURRENT.json").read_text())["id"]
    manifest = json.loads((folder / "lists.json").read_text())
    files = [str(folder / file["path"]) for file in manifest["files"]["lists"]]
    return ds.dataset(files).to_table().to_pandas()


def test_the_ledger_names_all_dirt_that_was_planted(finished_shop: Finished) -> None:
    shop, result = finished_shop
    planted = json.loads((shop.log / "planted.json").read_text())
    ledger = result["etl"]["ledger"]["events"]

    found = {**ledger["dropped"], **ledger["quarantined"]}
    repeated = found.pop("repeated_item")  # no dirt: the configuration asks for one event each
    assert found == planted["planted"]
    assert ledger["rows_read"] == planted["rows_written"]
    assert ledger["rows_kept"] + repeated == planted["rows_clean"]


def test_the_model_says_what_the_workers_chose_and_its_id_what_was_asked(
    finished_shop: Finished,
) -> None:
    _, result = finished_shop
    folder = Path(result["train"]["folder"])
    asked = json.loads((folder / "bundle.json").read_text())["config"]["train"]
    chosen = json.loads((folder / "metrics.json").read_text())["training"]

    assert (asked["precision"], asked["cpus_per_worker"]) == ("auto", "auto")
    cores = max(num_cores() // 2, 1)  # two workers share them
    assert (chosen["precision"], chosen["cpus_per_worker"]) == ("fp32", cores)
    card = Path(result["train"]["card"]).read_text()
    assert "precision of training" in card and f"2, {cores}" in card


def test_every_user_has_a_list_of_distinct_unseen_items(finished_shop: Finished) -> None:
    shop, result = finished_shop
    lists = published(shop)

    assert lists.user_id.nunique() == result["etl"]["counts"]["users"]
    assert (lists.groupby("user_id").size() == 10).mean() >= 0.99
    assert not lists.duplicated(["user_id", "item_id"]).any()
    assert (
        lists.groupby("user_id").position.apply(list).map(lambda p: p == [*range(1, len(p) + 1)])
    ).all()
    assert set(lists.source) == {"model", "fallback"}


def test_lists_hold_nothing_that_the_user_has_seen(finished_shop: Finished) -> None:
    shop, _ = finished_shop
    shown = shop.run("show", "--user", "first")
    lists = published(shop)

    mine = lists[lists.user_id == shown["user_id"]]
    assert [row["item_id"] for row in shown["list"]] == mine.item_id.tolist()
    assert not {event["item_id"] for event in shown["history"]} & set(mine.item_id)


def test_a_second_run_says_it_is_done_and_starts_neither_spark_nor_ray(
    finished_shop: Finished,
) -> None:
    shop, first = finished_shop
    started = time.monotonic()

    # Without a Java to be found Spark could not start; with this address Ray could not.
    again = shop.run("run", env={"JAVA_HOME": "/nonexistent", "RAY_ADDRESS": "127.0.0.1:1"})

    assert again["status"] == "already done"
    assert time.monotonic() - started < 20
    for stage in ("etl", "train", "score"):
        assert again[stage]["id"] == first[stage]["id"]
        assert again[stage]["published"] == "current"


@pytest.mark.slow
def test_one_worker_measures_the_same_as_two(finished_shop: Finished) -> None:
    shop, result = finished_shop

    one = shop.run("evaluate", "train.workers=1")

    assert one["metrics"]["test"] == result["train"]["metrics"]["test"]


def test_status_says_what_came_from_what(finished_shop: Finished) -> None:
    shop, result = finished_shop
    status = shop.run("status")

    assert status["lists"]["model_id"] == status["models"]["id"] == result["train"]["id"]
    assert status["models"]["dataset_id"] == status["datasets"]["id"] == result["etl"]["id"]


def test_results_are_one_json_object_or_tables(finished_shop: Finished) -> None:
    shop, result = finished_shop
    done = headrace(*shop.arguments("run"))

    assert result["etl"]["id"] in done.stdout
    for word in ("popularity", "markov", "redelivered_file", "quarantined"):
        assert word in done.stdout


@pytest.mark.slow
def test_a_model_of_another_vocabulary_is_refused(finished_shop: Finished) -> None:
    shop, _ = finished_shop
    other = shop.at(shop.workspace, "etl.min_events_per_item=40")
    other.run("etl")
    try:
        message = headrace(*other.arguments("score"), exit_code=6).stderr
        assert "vocabulary" in message
    finally:
        shop.run("rollback", "--kind", "datasets")


@pytest.mark.slow
def test_a_date_without_events_is_no_new_data(finished_shop: Finished) -> None:
    shop, _ = finished_shop

    done = headrace(*shop.arguments("etl", "--date", "2031-01-01"), exit_code=4)
    assert "2031-01-01" in done.stderr


def test_a_date_that_is_none_is_refused(finished_shop: Finished) -> None:
    shop, _ = finished_shop

    done = headrace(*shop.arguments("etl", "--date", "soon"), exit_code=2)
    assert "YYYY-MM-DD" in done.stderr


@pytest.mark.slow
def test_more_workers_than_row_groups_is_refused(finished_shop: Finished) -> None:
    shop, result = finished_shop

    done = headrace(
        *shop.arguments("train", "train.workers=64", "train.max_workers=64"), exit_code=2
    )

    assert "train.workers=64" in done.stderr
    assert result["etl"]["id"] in done.stderr.replace("\n", "")


@pytest.mark.slow
def test_more_workers_than_this_machine_has_room_for_is_refused(finished_shop: Finished) -> None:
    shop, _ = finished_shop

    # Another model than the one that is there already.
    other = ("train.workers=2", "train.epochs=3", "ray.num_cpus=1")
    done = headrace(*shop.arguments("train", *other), exit_code=2)

    assert "train.workers=2" in done.stderr and "ray.num_cpus" in done.stderr


@pytest.mark.skipif(not (DATA / "ml-100k").is_dir(), reason="MovieLens-100K is not here")
@pytest.mark.slow
def test_movielens_100k_gives_every_user_ten_unseen_items(tmp_path: Any) -> None:
    output = tmp_path / "workspace"
    done = headrace(
        "run",
        "--config",
        "conf/movielens-100k.yaml",
        "--json",
        f"input.root={DATA / 'ml-100k'}",
        f"run.output={output}",
        "train.epochs=2",
    )
    result = json.loads(done.stdout)

    ledger = result["etl"]["ledger"]["events"]
    assert ledger["rows_read"] == 100_000
    left = sum(ledger["dropped"].values()) + sum(ledger["quarantined"].values())
    assert ledger["rows_kept"] + left == 100_000
    lists = published(Shop(DATA, output, ()))
    assert lists.groupby("user_id").item_id.nunique().tolist() == [10] * 943
    seen = {
        tuple(line.split("\t")[:2]) for line in (DATA / "ml-100k/u.data").read_text().splitlines()
    }
    assert not seen & set(zip(lists.user_id, lists.item_id, strict=True))
