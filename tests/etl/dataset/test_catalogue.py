"""Items that the table has and the training part lacks: numbered, and known by their features."""

from pathlib import Path

import pytest
import torch

from conf.contract import ITEM_ID, ITEM_IDX, TARGET_ITEM, TRAIN_EVENTS, UNKNOWN_IDX, Manifest
from conf.settings.config import Config
from tests.etl.making import DAY, config_for, make, read_part, write_lines
from trainer.networks.retrieval import RetrievalModel
from trainer.retrieval.task import RefitTask, RetrievalTask
from trainer.training.job import Task, TrainingJob

pytestmark = pytest.mark.usefixtures("spark")
START = 1_772_323_200  # 2026-03-01T00:00:00Z


def shop_config(root: Path, catalogue: str) -> Config:
    write_lines(
        root / "log.csv",
        "user_id,item_id,time",
        *(f"{user},{item},{START + day * DAY}" for user, item, day in (
            ("u", "a", 0), ("u", "b", 1), ("v", "a", 1), ("v", "b", 2),
            ("u", "new", 6), ("v", "c", 8), ("u", "gone", 9),
        )),
    )  # fmt: skip
    write_lines(root / "tables/items.csv", "id,size", "new,3", "a,1", "c,5", "b,2", "spare,9")
    encodings = {"size": {"kind": "numeric", "scale": "none"}}
    return config_for(
        root,
        events={"paths": ["log.csv"]},
        items={"paths": ["tables/items.csv"], "id_column": "id", "fields": {"size": {}}},
        etl={
            "catalogue": catalogue,
            "split": {"kind": "temporal", "valid_from": "2026-03-05", "test_from": "2026-03-08"},
            "features": {"items": {"encodings": encodings}},
        },
        train={"model": {"content": {"features": "all"}, "width": 8}},
    )


def train_job(config: Config, manifest: Manifest, folder: Path, task: Task) -> TrainingJob:
    return TrainingJob(
        config=config, manifest=manifest, dataset=folder, work=folder, rank=0, world_size=1,
        device=torch.device("cpu"), task=task,
    )  # fmt: skip


def test_items_of_the_table_follow_those_of_the_training_part(tmp_path: Path) -> None:
    config = shop_config(tmp_path, "table")
    manifest, folder = make(config)

    items = read_part(folder, "items")
    assert [(row[ITEM_IDX], row[ITEM_ID], row[TRAIN_EVENTS]) for row in items] == [
        (2, "a", 2), (3, "b", 2), (4, "c", 0), (5, "new", 0), (6, "spare", 0),
    ]  # fmt: skip
    sizes = {row[ITEM_IDX]: row["item_size"] for row in read_part(folder, "item_features")}
    assert sizes == {2: 1, 3: 2, 4: 5, 5: 3, 6: 9}
    assert [row[TARGET_ITEM] for row in read_part(folder, "valid")] == [5]
    # An item that is in neither stays unknown.
    assert {row[TARGET_ITEM] for row in read_part(folder, "test")} == {4, UNKNOWN_IDX}
    assert manifest.leak_check["vocabulary entries"] == 5

    learner = RetrievalTask().learner(train_job(config, manifest, folder, RetrievalTask()))
    assert isinstance(learner.model, RetrievalModel)
    items_of = learner.model.items
    assert items_of.get_buffer("is_trained").tolist() == [True] * 4 + [False] * 3
    assert items_of.content is not None
    assert items_of.content.table.numbers[:, 0].tolist() == [0, 0, 1, 2, 5, 3, 9]
    assert learner.objective.get_buffer("candidates").tolist() == [2, 3]


@pytest.mark.slow
def test_a_refit_knows_what_it_trains_on(tmp_path: Path) -> None:
    config = shop_config(tmp_path, "table")
    refit = config.train.model_copy(update={"refit": "everything"})
    config = config.model_copy(update={"train": refit})
    manifest, folder = make(config)

    events = RefitTask().item_events(train_job(config, manifest, folder, RefitTask()))

    assert events.tolist() == [0, 0, 2, 2, 1, 1, 0]


@pytest.mark.slow
def test_without_the_table_they_are_unknown(tmp_path: Path) -> None:
    manifest, folder = make(shop_config(tmp_path, "log"))

    assert manifest.counts["items"] == 2
    assert [row[TARGET_ITEM] for row in read_part(folder, "valid")] == [UNKNOWN_IDX]


@pytest.mark.slow
def test_fills_are_fitted_on_the_items_of_the_training_part_alone(tmp_path: Path) -> None:
    config = shop_config(tmp_path, "table")
    # The training part has a and b. Over the whole table the median is 5 and the mode is red.
    write_lines(tmp_path / "tables/items.csv", "id,size,colour", "a,1,blue", "b,,", "c,5,red",
                "new,9,red", "spare,9,red")  # fmt: skip
    fields = {
        "size": {"type": "number", "fill": {"kind": "median"}},
        "colour": {"fill": {"kind": "mode"}},
    }
    tree = config.model_dump(mode="json")
    tree["input"]["items"]["fields"] = fields
    manifest, folder = make(Config.model_validate(tree))

    assert {name: fill["value"] for name, fill in manifest.fills["items"].items()} == {
        "size": 1.0, "colour": "blue",
    }  # fmt: skip
    filled = {row[ITEM_ID]: (row["size"], row["colour"]) for row in read_part(folder, "items")}
    assert filled["b"] == (1.0, "blue") and filled["new"] == (9.0, "red")
