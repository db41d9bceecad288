"""Features and impressions of a whole dataset, made from a small log; one dataset for all."""

import json
import math
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.contract import HISTORY_CONTEXT, Manifest
from conf.erasure.encoders import ENCODED_IN
from conf.errors import GateError
from conf.settings.config import Config
from etl.dataset.feature_parts import IMPRESSION_PARTS, IMPRESSIONS, USER_FEATURES
from etl.impressions import as_of
from etl.impressions.rows import CONTEXT
from etl.spark.times import MICROS_PER_DAY
from tests.etl.making import DAY, config_for, make, read_part, write_lines

pytestmark = pytest.mark.usefixtures("spark")
START = 1_772_323_200  # 2026-03-01T00:00:00Z, a Sunday
HEADER = "user_id,item_id,time,kind,place"

ITEMS = {
    "paths": ["tables/items.csv"],
    "id_column": "id",
    "fields": {"colour": {}, "price": {"type": "number"}, "image": {}, "old_price": {}},
}
USERS = {
    "paths": ["tables/users.csv"],
    "id_column": "id",
    "fields": {"age": {"type": "number", "fill": {"kind": "median"}}},
}
FEATURES = {
    "items": {
        "encodings": {
            "colour": {"kind": "categorical"},
            "price": {"kind": "bucketed", "buckets": 2},
            "old_price": {"kind": "bucketed", "buckets": 2},
            "image": {"kind": "vector", "dimension": 2},
        },
        "crosses": {"colour_price": {"of": ["colour", "price"]}},
    },
    "users": {
        "encodings": {"age": {"kind": "numeric"}, "age_was_missing": {"kind": "categorical"}}
    },
    "events": {"encodings": {"venue": {"kind": "categorical"}}},
    "as_of": {"windows_days": [1], "half_life_days": 1},
    "neighbours": {"distance": 1, "min_count": 1},
    "selection": {"min_present_share": 0.5, "drop_constant": False, "drop_duplicates": False},
}


def line(user: str, item: str, day: int, seconds: int, kind: str, place: str = "home") -> str:
    return f"{user},{item},{START + day * DAY + seconds},{kind},{place}"


def write_shop(root: Path) -> None:
    """Ten days: the last two are the test's, the two before the validation's."""
    write_lines(
        root / "log.csv",
        HEADER,
        line("u", "a", 0, 0, "view"),
        line("u", "b", 0, 60, "buy"),
        line("v", "a", 1, 0, "view", "work"),
        line("u", "c", 1, 90, "buy"),
        line("v", "c", 2, 0, "buy", "work"),
        line("u", "a", 6, 0, "buy", "work"),
        line("v", "b", 8, 0, "buy", "bus"),
    )
    write_lines(
        root / "tables/items.csv", "id,colour,price,old_price,image",
        'a,red,1,1,"[1,2]"', 'b,blue,2,,""', 'c,red,3,,"[3,4]"', 'd,green,4,4,"[3,4,5]"',
    )  # fmt: skip
    write_lines(root / "tables/users.csv", "id,age", "u,20", "v,40", "w,90", "x,")


def shop_config(root: Path) -> Config:
    columns = {"event_type": "kind"}
    impressions = {"labels": {"buy": ["buy"]}, "negatives_per_positive": 3}
    return config_for(
        root,
        events={"paths": ["log.csv"], "columns": columns, "fields": {"venue": {"column": "place"}}},
        items=ITEMS,
        users=USERS,
        etl={
            "event_types": {"view": {}, "buy": {}},
            "clean": {"max_bad_share": 0.5},
            "split": {"kind": "temporal", "valid_from": "2026-03-06", "test_from": "2026-03-08"},
            "features": FEATURES,
            "impressions": impressions,
        },
    )


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Manifest, Path]:
    root = tmp_path_factory.mktemp("features")
    write_shop(root)
    return make(shop_config(root))


def ids(folder: Path, part: str) -> dict[int, str]:
    kind = part[:4]
    return {row[f"{kind}_idx"]: row[f"{kind}_id"] for row in read_part(folder, part)}


def test_tables_are_encoded_by_what_the_training_part_knows(shop: tuple[Manifest, Path]) -> None:
    manifest, folder = shop
    names = ids(folder, "items")
    rows = {names[row["item_idx"]]: row for row in read_part(folder, "item_features")}

    assert {name: row["item_colour"] for name, row in rows.items()} == {"a": 2, "b": 3, "c": 2}
    assert {name: row["item_price"] for name, row in rows.items()} == {"a": 2, "b": 3, "c": 3}
    assert rows["b"]["item_image"] == [0.0, 0.0] and rows["b"]["item_image_present"] == 0
    assert rows["c"]["item_image"] == [3.0, 4.0] and rows["c"]["item_image_present"] == 1
    assert manifest.ledger["items"].quarantined == {"image_no_vector": 1}
    people = ids(folder, "users")
    ages = {people[row["user_idx"]]: row for row in read_part(folder, "user_features")}
    # The mean of 20 and 40, not of w, whom the training part does not know.
    # x is filled with the lower one of the two in the middle.
    known = {name: (row["user_age"], row["user_age_was_missing"]) for name, row in ages.items()}
    assert known == {"u": (-1, 2), "v": (1, 2), "w": (6, 2), "x": (-1, 1)}


def test_what_was_fitted_is_saved_and_what_was_left_out_is_told(
    shop: tuple[Manifest, Path],
) -> None:
    manifest, folder = shop
    saved = json.loads((folder / "encoders/item_features.json").read_text())
    assert saved["colour"] == {"values": ["red", "blue"]}
    assert saved["price"] == {"bounds": [2.0]}
    features = {feature.name: feature for feature in manifest.features["item_features"]}
    assert features["item_old_price"].left_out == "too_sparse"
    (file,) = (folder / "item_features").iterdir()
    assert "item_old_price" not in pq.read_schema(file).names
    assert features["item_price"].figures["mutual_information"] >= 0
    assert {path.path for path in manifest.files["encoders"]} == {
        f"encoders/{part}.json" for part in ("item_features", "user_features", "impressions")
    }
    pairs = read_part(folder, "item_neighbours")
    names = ids(folder, "items")
    found = {(names[row["item_idx"]], names[row["neighbour_item_idx"]]) for row in pairs}
    assert found == {("a", "b"), ("b", "a"), ("b", "c"), ("c", "b"), ("a", "c"), ("c", "a")}


def test_the_manifest_describes_every_column_that_is_streamed(shop: tuple[Manifest, Path]) -> None:
    manifest, folder = shop
    columns = {column.name: column for column in manifest.columns["train_impressions"]}
    (file, *_) = (folder / "train_impressions").iterdir()
    assert list(columns) == pq.read_schema(file).names
    told = {name: (c.kind, c.dtype, c.cardinality) for name, c in columns.items()}
    assert told["item_idx"] == ("id", "int32", 5) and told["user_idx"] == ("id", "int64", 6)
    assert told["label_buy"] == ("label", "float", None)
    assert told["history_item_idx"] == ("sequence", "list<int32>", 5)
    assert told["hour"] == ("categorical", "int32", 26)
    features = {column.name: column for column in manifest.columns["item_features"]}
    assert (features["item_image"].kind, features["item_image"].dtype) == ("vector", "list<float>")
    assert manifest.columns["train"][1].cardinality == 5


def test_the_report_lists_the_features(shop: tuple[Manifest, Path]) -> None:
    _, folder = shop
    page = (folder / "report.html").read_text()
    assert "item_colour_price" in page and "too_sparse" in page and "bucketed" in page


def test_impressions_know_what_was_before_them_alone(shop: tuple[Manifest, Path]) -> None:
    _, folder = shop
    names, people = ids(folder, "items"), ids(folder, "users")
    (bought,) = [row for row in read_part(folder, "valid_impressions") if row["label_buy"] == 1]

    assert (people[bought["user_idx"]], names[bought["item_idx"]]) == ("u", "a")
    assert [names[item] for item in bought["history_item_idx"]] == ["a", "b", "c"]
    # a was seen on days 0 and 1, this is day 6: none in the day before, both before.
    counts = ("item_events_1d", "item_events_all", "item_view_all", "item_buy_all", "item_age_days")
    assert [bought[name] for name in counts] == [0, 2, 2, 0, 6]
    assert bought["item_popularity"] == pytest.approx(2**-6 + 2**-5)
    assert (bought["user_events_all"], bought["user_buy_all"], bought["user_age_days"]) == (3, 2, 6)
    assert bought["user_gap"] == pytest.approx(math.log1p(5 * DAY - 90))
    assert bought["user_num_before"] == pytest.approx(math.log1p(3))
    assert bought["time"] == (START * 1_000_000) + 6 * MICROS_PER_DAY
    assert bought["sampling_probability"] == 1.0
    # work was bought from in the training part, though once; bus was not.
    assert bought["context_venue"] == 3
    (late,) = [row for row in read_part(folder, "test_impressions") if row["label_buy"] == 1]
    assert late["context_venue"] == 1


def test_negatives_are_items_that_the_user_did_not_take(shop: tuple[Manifest, Path]) -> None:
    _, folder = shop
    names, people = ids(folder, "items"), ids(folder, "users")
    rows = read_part(folder, "train_impressions")
    pairs = {(people[r["user_idx"]], names[r["item_idx"]], r["label_buy"]) for r in rows}
    positives = {pair[:2] for pair in pairs if pair[2] == 1}
    negatives = {pair[:2] for pair in pairs if pair[2] == 0}

    assert positives == {("u", "b"), ("u", "c"), ("v", "c")}
    assert negatives and not negatives & positives
    drawn = [row for row in rows if row["label_buy"] == 0]
    assert [row["sampling_probability"] for row in drawn] == pytest.approx([1 / 3] * len(drawn))


def test_every_column_is_of_numbers_without_nulls(shop: tuple[Manifest, Path]) -> None:
    manifest, folder = shop
    for part in ("item_features", "user_features", "train_impressions", "item_neighbours"):
        for file in manifest.files[part]:
            table = pq.read_table(folder / file.path)
            for name in table.column_names:
                column = table[name].combine_chunks()
                assert column.null_count == 0, name
                flat = column.flatten() if hasattr(column, "flatten") else column
                assert flat.null_count == 0 and str(flat.type) in (
                    "int32", "int64", "float",
                ), f"{part}.{name} is {flat.type}"  # fmt: skip


def test_an_erasure_knows_where_the_values_of_people_are() -> None:
    people, past = ("user_", (USER_FEATURES,)), (HISTORY_CONTEXT, ("histories",))
    now = (CONTEXT, IMPRESSION_PARTS)
    assert {USER_FEATURES: people, IMPRESSIONS: now, "histories": past} == ENCODED_IN


def test_counts_at_the_end_are_those_of_the_day_after_the_newest_event(
    shop: tuple[Manifest, Path],
) -> None:
    """The newest event is of the ninth day (8), so the counts are those before the tenth (9)."""
    manifest, folder = shop
    items, users = ids(folder, "items"), ids(folder, "users")
    of_items = {items[row["item_idx"]]: row for row in read_part(folder, "item_counts")}
    of_users = {users[row["user_idx"]]: row for row in read_part(folder, "user_counts")}

    b, u, w = of_items["b"], of_users["u"], of_users["w"]
    assert (b["item_events_1d"], b["item_events_all"], b["item_buy_all"]) == (1, 2, 2)
    assert b["item_age_days"] == 9
    assert b["item_popularity"] == pytest.approx(2**-9 + 2**-1)
    assert (u["user_events_1d"], u["user_events_all"], u["user_view_all"]) == (0, 4, 1)
    assert (w["user_events_all"], w["user_age_days"]) == (0, -1)
    assert set(of_items) == set(items.values()) and set(of_users) == set(users.values())
    asked = {f.name for f in manifest.features[IMPRESSIONS] if f.encoding == "as_of"}
    written = {column.name for part in ("item_counts", "user_counts")
               for column in manifest.columns[part]}  # fmt: skip
    assert asked <= written


def test_the_leak_check_works_out_anew_what_the_rows_may_know(shop: tuple[Manifest, Path]) -> None:
    manifest, _ = shop
    assert manifest.leak_check["vocabulary entries"] == 3
    assert manifest.leak_check["validation rows"] == 1
    assert manifest.leak_check["test rows"] == 1
    assert manifest.leak_check["impressions"] > 5


@pytest.mark.slow
def test_a_count_that_looks_into_the_future_stops_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_shop(tmp_path)
    asked = as_of.counts_before

    def tomorrow(rows: DataFrame, *args: Any, **kwargs: Any) -> DataFrame:
        moved = rows.withColumn(as_of.DAY, F.col(as_of.DAY) + 3)
        counts = asked(moved, *args, **kwargs)
        return counts.withColumn(as_of.DAY, F.col(as_of.DAY) - 3)

    monkeypatch.setattr(as_of, "counts_before", tomorrow)
    with pytest.raises(GateError, match="the log before it allows"):
        make(shop_config(tmp_path))
    assert not list((tmp_path / "workspace/datasets").glob("*/manifest.json"))
