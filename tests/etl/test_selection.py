import math

import pytest
from pyspark.sql import SparkSession

from conf.contract import Feature
from conf.feature_schema import Selection
from etl.selection import choose, correlations, measure, mutual_information
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


def test_each_rule_leaves_out_what_it_is_for(spark: SparkSession) -> None:
    rows = frame_of(spark, SCHEMA, *ROWS)
    figures = measure(rows, FEATURES, "id")
    correlated = correlations(rows, FEATURES)
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


def test_mutual_information_is_that_of_the_table_of_counts(spark: SparkSession) -> None:
    found = mutual_information(frame_of(spark, SCHEMA, *ROWS), FEATURES, "label")

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
