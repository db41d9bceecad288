"""Lists of similar items: worked out by hand, and as they are published."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from conf.command.printing.tables import print_result
from conf.contract import SIMILAR_ITEMS
from conf.errors import ConfigError, HeadraceError, VersionError
from conf.runs.inputs.request_keys import lists_request
from conf.runs.looking import run_show_item
from conf.runs.stages import run_score
from conf.settings.config import Config
from conf.workspace.json_files import read_json
from conf.workspace.pointers import publish
from serving.scoring.worker import PartScorer, ScoringJob
from serving.similar.check import _counted, check_similar
from serving.similar.like_user import histories_of_items
from serving.similar.worker import SIMILAR_SCHEMA, SimilarScorer
from tests.serving.tiny_shop import (
    DAY,
    HISTORIES,
    ITEMS,
    tiny_config,
    write_dataset,
    write_model,
)
from tests.trainer.small_parts import matrix
from trainer.models.bundle import Trained, save_bundle
from trainer.models.item_knn import fit_item_knn

WANTED = "score.similar_items.count=3"


def rows_of(folder: Path) -> list[dict[str, Any]]:
    tables = [pq.read_table(path) for path in sorted((folder / SIMILAR_ITEMS).glob("*.parquet"))]
    rows: list[dict[str, Any]] = pa.concat_tables(tables).to_pylist()
    return rows


def job_of(config: Config, dataset_id: str, model_id: str) -> ScoringJob:
    workspace = Path(config.run.output)
    return ScoringJob(workspace, dataset_id, model_id, "r", workspace, config.score)


@pytest.mark.usefixtures("shared_ray")
def test_each_item_that_the_model_knows_has_a_list_without_itself(tmp_path: Path) -> None:
    config = tiny_config(tmp_path, WANTED)
    manifest = write_dataset(tmp_path, HISTORIES, items=ITEMS)
    model_id = write_model(config, manifest)

    result = run_score(config)

    rows = rows_of(Path(result["folder"]))
    by_item = {f"i{n}": [r for r in rows if r["item_id"] == f"i{n}"] for n in range(2, ITEMS + 2)}
    counts = read_json(Path(result["folder"]) / "lists.json")["similar_items"]
    listed = {name for name, own in by_item.items() if own}
    assert counts["rows"] == len(rows) and counts["lists"] == len(listed) == ITEMS
    assert counts["full_lists"] == ITEMS and counts["items_without_list"] == 0
    scorer = PartScorer(job_of(config, manifest.id, model_id)).maker.scorer
    for name, own in by_item.items():
        number = int(name[1:])
        history = histories_of_items(np.array([number]), manifest)
        scores = scorer.scores(history, np.array([0]))[0].detach().numpy().copy()
        scores[[0, 1, number]] = -np.inf
        best = np.argsort(-scores, kind="stable")[:3]
        assert [row["similar_id"] for row in own] == [f"i{n}" for n in best]
        assert [row["position"] for row in own] == [1, 2, 3]
        assert [row["score"] for row in own] == pytest.approx(scores[best].tolist(), abs=1e-5)


@pytest.mark.slow
@pytest.mark.usefixtures("scored_here")
def test_by_vectors_the_nearest_directions_are_listed(tmp_path: Path) -> None:
    config = tiny_config(tmp_path, WANTED, "score.similar_items.by=vectors")
    manifest = write_dataset(tmp_path, HISTORIES, items=ITEMS)
    model_id = write_model(config, manifest)

    rows = rows_of(Path(run_score(config)["folder"]))

    vectors = PartScorer(job_of(config, manifest.id, model_id)).maker.scorer.item_vectors.numpy()
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for number in range(2, ITEMS + 2):
        near = units @ units[number]
        near[[0, 1, number]] = -np.inf
        own = [row["similar_id"] for row in rows if row["item_id"] == f"i{number}"]
        assert own == [f"i{n}" for n in np.argsort(-near, kind="stable")[:3]]


def counted_shop(folder: Path, *overrides: str) -> tuple[Config, str, str]:
    """Items 2, 3 and 4 are had together, 5 and 6 too; 7 is had alone, 8 by nobody."""
    config = tiny_config(folder, "train.algorithm=item_knn", WANTED, *overrides)
    histories = [[2, 3, 4], [2, 3], [5, 6], [7]]
    manifest = write_dataset(folder, histories, items=7)
    knn = fit_item_knn(
        matrix(histories, 9), np.array([0, 0, 2, 2, 1, 1, 1, 1, 0.0]),
        neighbours=5, similarity="cosine", shrinkage=0.0, history_decay=0.8,
    )  # fmt: skip
    section = {"history_decay": 0.8}
    model_id = save_bundle(config, manifest, "k" * 64, Trained(section, knn.weights(), {}))
    publish(folder, "models", model_id, DAY)
    return config, manifest.id, model_id


def test_a_model_that_counts_names_only_what_it_counted(tmp_path: Path) -> None:
    config, dataset_id, model_id = counted_shop(tmp_path)
    scorer = SimilarScorer(job_of(config, dataset_id, model_id))

    best = scorer.similar(np.arange(2, 9))

    named = [set(row[row >= 0].tolist()) for row in best.item_idx]
    assert named == [{3, 4}, {2, 4}, {2, 3}, {6}, {5}, set(), set()]
    assert torch.isneginf(best.scores[best.item_idx < 0]).all()


@pytest.mark.slow
@pytest.mark.usefixtures("scored_here")
def test_a_second_run_makes_nothing_and_a_missing_part_alone_is_made(tmp_path: Path) -> None:
    config, _, _ = counted_shop(tmp_path)
    first = run_score(config)
    assert run_score(config)["status"] == "already done"
    rows, folder = rows_of(Path(first["folder"])), Path(first["folder"])

    (folder / "lists.json").unlink()
    (folder / SIMILAR_ITEMS / "part-00000.parquet").unlink()
    kept = (folder / "part-00000.parquet").stat().st_mtime_ns
    again = run_score(config)

    assert again["id"] == first["id"] and rows_of(folder) == rows
    assert (folder / "part-00000.parquet").stat().st_mtime_ns == kept


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (("i2", 1, "i2", 1.0), "own_item"),
        (("i2", 1, "i77", 1.0), "unknown_ids"),
        (("i77", 1, "i2", 1.0), "unknown_ids"),
        (("i2", 2, "i3", 1.0), "misplaced_rows"),
        (("i2", 1, "i3", float("nan")), "bad_scores"),
    ],
)
def test_faults_are_counted(row: tuple[str, int, str, float], fault: str) -> None:
    ids = pa.array([None, None, "i2", "i3", "i4"])
    good = [("i3", 1, "i2", 2.0), ("i3", 2, "i4", 1.0)]
    columns = zip(*[row, *good], strict=True)
    arrays = [pa.array(c, f.type) for c, f in zip(columns, SIMILAR_SCHEMA, strict=True)]
    table = pa.Table.from_arrays(arrays, schema=SIMILAR_SCHEMA)

    counts = _counted(table, ids, 3)

    assert counts[fault] >= 1
    assert _counted(table.slice(1), ids, 3) | {"rows": 0, "lists": 0} == dict.fromkeys(counts, 0)


def test_wrong_lists_are_not_published(tmp_path: Path) -> None:
    config, dataset_id, model_id = counted_shop(tmp_path)
    job = job_of(config, dataset_id, model_id)
    ids = PartScorer(job).loaded.item_ids
    (tmp_path / SIMILAR_ITEMS).mkdir()
    row = [["i2"], [1], ["i2"], [1.0]]
    arrays = [pa.array(c, f.type) for c, f in zip(row, SIMILAR_SCHEMA, strict=True)]
    path = tmp_path / SIMILAR_ITEMS / "part-00000.parquet"
    pq.write_table(pa.Table.from_arrays(arrays, schema=SIMILAR_SCHEMA), path)

    with pytest.raises(HeadraceError, match="own_item 1"):
        check_similar(tmp_path, ids, config.score)


def test_vectors_of_a_model_without_them_are_refused(tmp_path: Path) -> None:
    config, _, _ = counted_shop(tmp_path, "score.similar_items.by=vectors")
    with pytest.raises(ConfigError, match=r"item_knn\) has no vectors of items"):
        run_score(config)


def test_unset_they_change_no_key(tmp_path: Path) -> None:
    plain, with_lists = tiny_config(tmp_path), tiny_config(tmp_path, WANTED)
    assert lists_request(plain, "d", "m") != lists_request(with_lists, "d", "m")
    assert "similar_items" not in str(plain.score.model_dump(exclude_defaults=True))


@pytest.mark.slow
@pytest.mark.usefixtures("scored_here")
def test_show_prints_the_list_of_an_item(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, _, _ = counted_shop(tmp_path)
    with pytest.raises(VersionError, match="no current version"):
        run_show_item(config, "i2")
    run_score(config)

    shown = run_show_item(config, "i3")

    assert {row["item_id"] for row in shown["similar"]} == {"i2", "i4"}
    assert shown["title"] == "Item 3" and shown["similar"][0]["title"] is None
    print_result(shown)
    assert "like i3, Item 3" in capsys.readouterr().out
    assert run_show_item(config, "first")["item_id"] == "i2"
    assert run_show_item(config, "i7")["similar"] == []
    print_result(run_show_item(config, "i7"))
    assert "no list" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="item 'none' is not in dataset"):
        run_show_item(config, "none")


@pytest.mark.usefixtures("scored_here")
def test_show_of_lists_without_similar_items_says_what_to_set(tmp_path: Path) -> None:
    config = tiny_config(tmp_path)
    write_model(config, write_dataset(tmp_path, HISTORIES, items=ITEMS))
    run_score(config)
    with pytest.raises(ConfigError, match=r"set score\.similar_items"):
        run_show_item(config, "i2")


@pytest.mark.parametrize("by", ["model", "vectors"])
@pytest.mark.usefixtures("scored_here")
def test_items_that_rules_exclude_for_everybody_are_in_no_list(tmp_path: Path, by: str) -> None:
    (tmp_path / "denied.txt").write_text("i5\ni9\n")
    rules = (f"input.root={tmp_path}", "score.rules.deny.none.path=denied.txt")
    config = tiny_config(tmp_path, WANTED, f"score.similar_items.by={by}", *rules)
    write_model(config, write_dataset(tmp_path, HISTORIES, items=ITEMS))

    rows = rows_of(Path(run_score(config)["folder"]))

    assert {row["similar_id"] for row in rows}.isdisjoint({"i5", "i9"})
    assert {row["item_id"] for row in rows} == {f"i{n}" for n in range(2, ITEMS + 2)}
    assert len(rows) == 3 * ITEMS
