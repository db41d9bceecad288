"""Predictions of a file's pairs: the numbers of the evaluation, and every row accounted for."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc_csv
import pyarrow.parquet as pq
import pytest
import torch

from conf.contract import HISTORY_ITEMS, ITEM_IDX, NUM_BEFORE, USER_IDX, Manifest
from conf.errors import ConfigError, InputError
from conf.runs.predicting import run_predict
from conf.runs.stages import run_train
from conf.settings.config import Config
from tests.serving.impression_shop import FIRST_DEVICE, shop_config, write_ranker, write_shop
from trainer.prediction.pairs import load_pairs
from trainer.ranking.impressions import read_impressions
from trainer.ranking.scores import score_groups, together

LABELS = "ranker.ranking.labels={click: 1.0, buy: 1.0}"


@pytest.fixture
def shop(tmp_path: Path) -> tuple[Config, Manifest, str]:
    config, manifest = shop_config(tmp_path, LABELS), write_shop(tmp_path)
    return config, manifest, write_ranker(config, manifest, history="target_attention")


def evaluated(config: Config, manifest: Manifest, model: str) -> np.ndarray:
    """Return what the evaluation computes for the test part: [rows, labels]."""
    workspace = Path(config.run.output)
    pairs = load_pairs(workspace, model, manifest, {}, torch.device("cpu"))
    groups = manifest.row_groups("test_impressions")
    folder = workspace / "datasets" / manifest.id
    batches = read_impressions(folder, groups, manifest, pairs.layout, pairs.sampling)
    scored = together(score_groups(pairs.model, batches, batch_rows=64, device=torch.device("cpu")))
    said = [
        scored.of_model(label, is_rating=False, calibration=map_).predicted
        for label, map_ in enumerate(pairs.calibrations)
    ]
    return np.stack(said, axis=1)


def as_a_file(workspace: Path) -> pa.Table:
    """Write the test part's impressions down as a person would: raw ids and raw values."""
    rows = pq.read_table(workspace / "datasets/shop/test_impressions").to_pylist()
    return pa.table({
        "note": [f"row {place}" for place in range(len(rows))],
        "user_id": [f"u{row[USER_IDX] - 2}" for row in rows],
        "item_id": [f"i{row[ITEM_IDX]}" for row in rows],
        "history": [[f"i{item}" for item in row[HISTORY_ITEMS]] for row in rows],
        "hour": [row["hour"] - 2 for row in rows],
        NUM_BEFORE: [row[NUM_BEFORE] for row in rows],
        "device": [("phone", "desk")[row["context_device"] - FIRST_DEVICE] for row in rows],
    })  # fmt: skip


def predicted(config: Config, table: pa.Table, source: str = "in.parquet") -> tuple[Any, pa.Table]:
    workspace = Path(config.run.output)
    path, target = workspace / source, workspace / "out.parquet"
    if source.endswith(".csv"):
        pc_csv.write_csv(table, path)
    else:
        pq.write_table(table, path)
    return run_predict(config, path, target), pq.read_table(target)


def test_predictions_of_the_test_part_are_those_of_the_evaluation(
    shop: tuple[Config, Manifest, str],
) -> None:
    config, manifest, model = shop
    table = as_a_file(Path(config.run.output))
    expected = evaluated(config, manifest, model)

    result, found = predicted(config, table)

    assert found["note"].to_pylist() == table["note"].to_pylist()
    assert found["predicted_click"].to_numpy() == pytest.approx(expected[:, 0], abs=1e-6)
    assert found["predicted_buy"].to_numpy() == pytest.approx(expected[:, 1], abs=1e-6)
    assert result["rows"] == len(table) > 60 and result["model"] == model
    assert result["unknown_users"] == result["unknown_items"] == 0
    assert result["context_without_value"] == []
    assert expected.std() > 0.01  # the comparison means something


def test_a_csv_gives_the_same_numbers(shop: tuple[Config, Manifest, str]) -> None:
    config, _, _ = shop
    table = as_a_file(Path(config.run.output))
    _, whole = predicted(config, table)
    texts = [str(one).replace("'", '"') for one in table["history"].to_pylist()]
    place = table.schema.get_field_index("history")
    _, found = predicted(config, table.set_column(place, "history", pa.array(texts)), "in.csv")
    for name in ("predicted_click", "predicted_buy"):
        assert found[name].to_numpy() == pytest.approx(whole[name].to_numpy(), abs=1e-6)


def test_without_a_history_the_datasets_is_used(shop: tuple[Config, Manifest, str]) -> None:
    config, _, _ = shop
    rows = pq.read_table(Path(config.run.output) / "datasets/shop/histories").to_pylist()
    past = [f"i{item}" for item in rows[3][HISTORY_ITEMS]]
    table = pa.table({
        "user_id": ["u3"], "item_id": ["i9"], "hour": [5], "device": ["desk"],
    })  # fmt: skip
    _, own = predicted(config, table)
    _, given = predicted(config, table.append_column("history", pa.array([past])))
    assert own["predicted_click"][0].as_py() == pytest.approx(given["predicted_click"][0].as_py())


def test_unknown_users_items_and_values_are_scored_and_told(
    shop: tuple[Config, Manifest, str], caplog: pytest.LogCaptureFixture
) -> None:
    config, _, _ = shop
    table = pa.table({
        "user_id": ["u1", "stranger", "u1", "stranger"],
        "item_id": ["i4", "i4", "new", "new"],
        "device": ["phone", "watch", None, ""],
    })  # fmt: skip
    result, found = predicted(config, table)
    assert found["user_known"].to_pylist() == [True, False, True, False]
    assert found["item_known"].to_pylist() == [True, True, False, False]
    assert (result["unknown_users"], result["unknown_items"]) == (2, 2)
    assert result["context_without_value"] == ["hour"] and "takes hour" in caplog.text
    assert np.isfinite(found["predicted_click"].to_numpy()).all()
    told = shop_config(Path(config.run.output), LABELS, "score.context.hour=3")
    again, other = predicted(told, table)
    assert again["context_without_value"] == []
    assert other["predicted_click"].to_pylist() != found["predicted_click"].to_pylist()


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"user_id": ["u1", None], "item_id": ["i2", "i3"]}, "row 2: user_id=None is missing"),
        ({"user_id": ["u1", "u2"], "item_id": ["i2", " "]}, "row 2: item_id=None is missing"),
        ({"user": ["u1"], "item_id": ["i2"]}, "has no column user_id, only user, item_id"),
        ({"user_id": ["u1"], "item_id": ["i2"], "hour": ["25"]}, "row 1: hour='25' is no whole"),
        ({"user_id": ["u1"], "item_id": ["i2"], "hour": ["x"]}, "row 1: hour='x' is no number"),
        ({"user_id": ["u1"], "item_id": ["i2"], "history": ["i3 i4"]}, "is no list of item ids"),
        ({"user_id": ["u1"], "item_id": ["i2"], NUM_BEFORE: ["inf"]}, "is no number"),
    ],
)
def test_a_row_that_cannot_be_read_is_refused_with_its_number(
    shop: tuple[Config, Manifest, str], columns: dict[str, list[Any]], told: str
) -> None:
    with pytest.raises(InputError, match=told) as raised:
        predicted(shop[0], pa.table(columns))
    assert raised.value.exit_code == 3
    assert not (Path(shop[0].run.output) / "out.parquet").exists()


def test_files_that_do_not_fit_are_refused(shop: tuple[Config, Manifest, str]) -> None:
    config, workspace = shop[0], Path(shop[0].run.output)
    broken = workspace / "broken.parquet"
    broken.write_bytes(b"no parquet")
    with pytest.raises(InputError, match=r"cannot be read as \.parquet"):
        run_predict(config, broken, workspace / "out.csv")
    with pytest.raises(InputError, match=r"cannot be read as \.csv"):
        run_predict(config, workspace / "none.csv", workspace / "out.csv")
    with pytest.raises(ConfigError, match=r"must end in \.csv or \.parquet"):
        run_predict(config, broken, workspace / "out.txt")
    with pytest.raises(ConfigError, match="is the input itself"):
        run_predict(config, broken, broken)


@pytest.mark.usefixtures("shared_ray")
def test_a_model_of_the_catalogue_predicts_no_pairs(tmp_path: Path) -> None:
    write_shop(tmp_path)
    config = shop_config(tmp_path, "ranker=null")
    run_train(config)
    with pytest.raises(ConfigError, match="'item_knn', which predicts no single pairs"):
        run_predict(config, tmp_path / "in.csv", tmp_path / "out.csv")
