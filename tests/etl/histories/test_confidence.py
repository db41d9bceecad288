"""The confidence in each event, from the log to the shards."""

import math
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from pyspark.sql import SparkSession

from conf.contract import Manifest
from conf.errors import InputError
from conf.settings.config import Config
from conf.settings.etl import Etl, EventType
from etl.cleaning.confidence import add_confidence, require_some_confidence
from etl.histories.training import read_training
from etl.spark.folders import store
from tests.etl.making import DAY, config_for, frame_of, make, read_part, write_lines

LOG = {
    "columns": {"event_type": "what", "value": "price"},
    "fields": {"hours": {"type": "number"}},
}
START = 1_600_000_000
TYPES: dict[str, Any] = {
    "view": {"weight": 0.5},
    "play": {"weight": 2, "confidence": {"field": "hours", "transform": "log1p"}},
    "buy": {"weight": 4, "confidence": {"field": "value", "transform": "identity", "missing": 3}},
    "rate": {"confidence": {"field": "value", "transform": "binary", "threshold": 4}},
    "dislike": {"weight": 0},
}


def configured(root: Path, **etl: Any) -> Config:
    return config_for(root, LOG, etl={"event_types": TYPES, **etl})


@pytest.fixture(scope="module")
def made(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> tuple[Manifest, Path]:
    root = tmp_path_factory.mktemp("confidence")
    events = [
        "a,i1,1,view,,", "a,i2,2,play,,6.5", "a,i3,3,play,,", "a,i1,4,buy,7,", "a,i2,5,buy,,",
        "a,i4,6,view,,", "a,i5,7,view,,",
        "b,i1,1,rate,4,", "b,i2,2,rate,3.9,", "b,i3,3,rate,,", "b,i4,4,dislike,,",
        "b,i2,5,view,,", "b,i3,6,dislike,,",
        "c,i1,1,play,,-1", "c,i1,2,buy,9e8,", "c,i5,3,view,,",
    ]  # fmt: skip
    lines = [",".join([u, i, str(START + int(t) * DAY), *rest])
             for u, i, t, *rest in (line.split(",") for line in events)]  # fmt: skip
    write_lines(root / "log.csv", "user_id,item_id,time,what,price,hours", *lines)
    return make(configured(root))


def weights_of(folder: Path, part: str) -> dict[str, dict[str, float]]:
    """Return the confidences by user and item, the last one of each."""
    users = {row["user_idx"]: row["user_id"] for row in read_part(folder, "users")}
    items = {row["item_idx"]: row["item_id"] for row in read_part(folder, "items")}
    return {
        users[row["user_idx"]]: {
            items.get(item, "?"): weight
            for item, weight in zip(row["history_item_idx"], row["history_weight"], strict=True)
        }
        for row in read_part(folder, part)
    }


def test_each_event_has_the_weight_of_its_type_times_its_value(
    made: tuple[Manifest, Path],
) -> None:
    _, folder = made
    assert weights_of(folder, "test")["a"] == {
        "i1": 28, "i2": 12, "i3": 2, "i4": 0.5,
    }  # fmt: skip
    assert weights_of(folder, "train")["a"] == {"i1": 28, "i2": 12, "i3": 2}
    by_place = next(row for row in read_part(folder, "train") if len(row["history_weight"]) == 5)
    wanted = [0.5, 2 * math.log(7.5), 2, 28, 12]
    assert by_place["history_weight"] == pytest.approx(wanted, rel=1e-6)


def test_an_event_of_confidence_0_is_in_the_history_and_no_target(
    made: tuple[Manifest, Path],
) -> None:
    _, folder = made
    assert weights_of(folder, "histories")["b"] == {"i1": 1, "i2": 0.5, "i3": 0, "i4": 0}
    users = {row["user_id"]: row["user_idx"] for row in read_part(folder, "users")}
    targets = [row["user_idx"] for row in read_part(folder, "test")]
    assert users["a"] in targets and users["b"] not in targets, "b's last event is a dislike"


def test_items_have_the_sum_of_the_confidences_in_training(made: tuple[Manifest, Path]) -> None:
    _, folder = made
    weights = {row["item_id"]: row["train_weight"] for row in read_part(folder, "items")}
    assert weights["i1"] == 0.5 + 28 + 1
    assert weights["i2"] == pytest.approx(2 * math.log(7.5) + 12 + 0, rel=1e-6)
    assert weights["i4"] == 0, "only disliked in training"


def test_values_without_a_confidence_are_quarantined(made: tuple[Manifest, Path]) -> None:
    manifest, _ = made
    ledger = manifest.ledger["events"]
    assert ledger.quarantined == {"confidence_out_of_range": 2} and not ledger.missing_rows()


@pytest.mark.slow
def test_events_that_all_count_the_same_need_no_columns(
    spark: SparkSession, tmp_path: Path
) -> None:
    write_lines(
        tmp_path / "log.csv", "user_id,item_id,time,what,price,hours",
        *(f"u,i{place},{START + place * DAY},view,,"  for place in range(1, 5)),
    )  # fmt: skip
    manifest, folder = make(
        config_for(
            tmp_path, LOG, etl={"event_types": {"view": {"weight": 3}, "buy": {"weight": 3}}}
        )
    )
    assert "history_weight" not in read_part(folder, "histories")[0]
    assert "train_weight" not in read_part(folder, "items")[0]
    assert set(read_part(folder, "train")[0]["history_weight"]) == {3}
    assert "history_weight" not in {column.name for column in manifest.columns["test"]}


def test_a_field_that_no_row_has_counts_as_missing(spark: SparkSession) -> None:
    rows = frame_of(spark, "event_type int", (0,), (1,), (None,))
    types = {name: EventType.model_validate(TYPES[name]) for name in ("buy", "view")}
    found = add_confidence(rows, types).collect()
    assert sorted(str(row["confidence"]) for row in found) == ["0.5", "12.0", "None"]


@pytest.mark.parametrize(
    ("items", "is_refused"),
    [
        ([(3, 0.0), (2, 0.0)], True),
        ([(3, 0.0), (2, 2.0**-20)], False),
        ([(0, 0.0)], False),  # a table's items; without training events there is another cause
        ([], False),
        ([(3,), (2,)], False),  # events do not differ in confidence
    ],
)
def test_a_training_part_without_confidence_is_refused(
    spark: SparkSession, tmp_path: Path, items: list[tuple[float, ...]], is_refused: bool
) -> None:
    columns = ["train_events long", "train_weight double"][: min(map(len, items), default=2)]
    store(frame_of(spark, ", ".join(columns), *items), tmp_path / "items")
    training = read_training(tmp_path / "items")
    assert (training.items, training.events) == (len(items), sum(int(item[0]) for item in items))
    etl = Etl.model_validate({"event_types": {"rate": TYPES["rate"], "dislike": {"weight": 0}}})
    if not is_refused:
        require_some_confidence(training.events, training.weight, etl)
        return
    with pytest.raises(InputError, match="all 5 events of the training part") as told:
        require_some_confidence(training.events, training.weight, etl)
    assert "etl.event_types.rate.confidence={field: value, transform: binary, threshold: 4.0" in (
        str(told.value)
    )
    assert "etl.event_types.dislike.weight=0;" in str(told.value)


def test_a_training_part_without_confidence_is_only_warned_of_with_impressions(
    caplog: pytest.LogCaptureFixture,
) -> None:
    impressions = {"negatives": "uniform", "labels": {"rated": ["rate"]}}
    etl = Etl.model_validate({"event_types": {"rate": {"weight": 0}}, "impressions": impressions})
    require_some_confidence(3, 0.0, etl)
    assert "only train.algorithm=ranking can use this dataset" in caplog.text


@pytest.mark.parametrize(
    ("types", "message"),
    [
        ({"view": {"weight": 0}}, r"view all have weight=0, so there would be nothing to learn"),
        ({"view": {"confidence": {"field": "price"}}}, r"field='price' is no number of the log; "
                                                       r"use one of hours, value"),
        ({"view": {"confidence": {"threshold": 3}}}, r"threshold=3.0 is for transform=binary"),
        ({"view": {"weight": -1}}, r"greater than or equal to 0"),
    ],
)  # fmt: skip
def test_settings_without_a_meaning_are_refused(
    tmp_path: Path, types: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        configured(tmp_path, event_types=types)


def test_a_value_that_privacy_drops_is_refused(tmp_path: Path) -> None:
    rules = {"columns": {"events": {"value": {"method": "drop"}}}}
    with pytest.raises(ValidationError, match=r"privacy\.columns\.events\.value drops it"):
        config_for(tmp_path, LOG, etl={"event_types": TYPES}, privacy=rules)
