import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from conf.contract import Feature
from conf.settings.features import Selection
from etl.features import sample as sample_figures
from etl.features.sample import correlations, draw_sample, mutual_information
from etl.features.selection import choose, measure
from tests.etl.making import frame_of

FEATURES = (
    Feature(name="kind", kind="categorical", encoding="categorical", cardinality=9),
    Feature(name="same", kind="categorical", encoding="hashed", cardinality=9),
    Feature(name="one", kind="categorical", encoding="hashed", cardinality=9),
    Feature(name="rare", kind="numeric", encoding="numeric"),
    Feature(name="price", kind="numeric", encoding="numeric"),
    Feature(name="cost", kind="numeric", encoding="numeric"),
    Feature(name="tags", kind="tags", encoding="tags", cardinality=9),
)
SCHEMA = (
    "id int, kind int, same int, one int, rare float, rare_present int, price float, cost float, "
    "tags array<int>, label float"
)
ROWS = [
    (1, 2, 2, 5, 0.0, 0, 1.0, -2.0, [1], 1.0),
    (2, 2, 2, 5, 0.0, 0, 2.0, -4.0, [], 1.0),
    (3, 3, 3, 5, 0.0, 0, 3.0, -6.0, [2, 3], 0.0),
    (4, 0, 0, 5, 9.0, 1, 9.0, -18.0, [1], 0.0),
]


def test_each_rule_leaves_out_what_it_is_for(spark: SparkSession, tmp_path: Path) -> None:
    rows = frame_of(spark, SCHEMA, *ROWS)
    sample = draw_sample(rows, FEATURES, ["id"], tmp_path / "sample").table
    figures = measure(rows, FEATURES, "id", sample)
    correlated = correlations(sample, FEATURES)
    rules = Selection(min_present_share=0.5, max_correlation=0.99)

    chosen = {feature.name: feature for feature in choose(FEATURES, figures, correlated, rules)}

    assert {name: feature.left_out for name, feature in chosen.items()} == {
        "kind": None, "same": "duplicate of kind", "one": "constant", "rare": "too_sparse",
        "price": None, "cost": "correlated", "tags": None,
    }  # fmt: skip
    assert chosen["kind"].figures["present_share"] == 0.75
    assert chosen["tags"].figures["present_share"] == 0.75
    assert chosen["rare"].figures["present_share"] == 0.25
    assert chosen["cost"].figures["max_correlation"] == 1.0
    distinct = {name: own["distinct"] for name, own in figures.items()}
    assert distinct == {"kind": 3, "same": 3, "one": 1, "rare": 2, "price": 4, "cost": 4, "tags": 3}


def test_what_a_sample_leaves_open_is_looked_up_in_all_rows(spark: SparkSession) -> None:
    names = [part.split()[0] for part in SCHEMA.split(", ")]
    rows = [*ROWS, (5, 4, 5, 6, 0.0, 0, 1.0, 1.0, [], 1.0)]
    sample = pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in ROWS])
    figures = measure(frame_of(spark, SCHEMA, *rows), FEATURES[:3], "id", sample)

    kind, same, one = choose(FEATURES[:3], figures, {}, Selection())

    assert (kind.left_out, same.left_out, one.left_out) == (None, None, None)
    assert one.figures["distinct"] == 2 and kind.figures["present_share"] == 0.8


def test_correlations_are_those_of_numpy_and_0_with_a_constant() -> None:
    draw = np.random.default_rng(1)
    rare, price = draw.normal(size=(2, 1000))
    table = pa.table({"rare": rare, "price": price + rare / 2, "cost": np.full(1000, 0.1)})

    found = correlations(table, FEATURES)

    expected = np.corrcoef(rare, price + rare / 2)[0, 1]
    assert found["rare", "price"] == pytest.approx(expected, abs=1e-6)
    assert found["rare", "cost"] == found["price", "cost"] == 0.0


def test_a_sample_of_many_rows_is_drawn_by_their_keys(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample_figures, "SAMPLE_ROWS", 200)
    rows = spark.range(2000).select(F.col("id"), F.lit(1).alias("kind"))
    drawn = [
        draw_sample(frame, FEATURES[:1], ["id"], tmp_path / name, ["id"]).table["id"].to_pylist()
        for name, frame in (("one", rows), ("two", rows.repartition(7)))
    ]

    assert sorted(drawn[0]) == sorted(drawn[1])
    assert 140 < len(drawn[0]) < 260  # a tenth, four deviations


def test_mutual_information_is_that_of_the_table_of_counts() -> None:
    names = [part.split()[0] for part in SCHEMA.split(", ")]
    table = pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in ROWS])
    unknown = pa.table({"kind": pa.array([None], pa.int32()), "label": [1.0]})
    found = mutual_information(table, FEATURES, "label")
    with_null = pa.concat_tables([table.select(["kind", "label"]), unknown],
                                 promote_options="permissive")  # fmt: skip

    assert mutual_information(with_null, FEATURES[:1], "label") == {"kind": found["kind"]}

    # kind: its values 2, 3 and 0 tell the label, which has ln 2; one value tells nothing.
    assert found["kind"] == pytest.approx(math.log(2), abs=1e-6)
    assert found["one"] == 0.0
    # rare: 9 goes with label 0 alone, 0.0 stands with it once in three.
    by_hand = 0.5 * math.log(4 / 3) + 0.25 * math.log(2 / 3) + 0.25 * math.log(2)
    assert found["rare"] == pytest.approx(by_hand, abs=1e-6)
    assert "tags" not in found


def test_what_tells_too_little_is_left_out() -> None:
    figures = {"kind": {"mutual_information": 0.2}, "same": {"mutual_information": 0.01}}
    rules = Selection(min_mutual_information=0.1)

    kind, same = choose(FEATURES[:2], figures, {}, rules)

    assert (kind.left_out, same.left_out) == (None, "uninformative")
