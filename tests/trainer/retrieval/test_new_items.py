"""Old items: 2 to 5; new ones: 6 to 8."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy import sparse

from conf.contract import HISTORY_ITEMS, ITEM_IDX, Column, Feature, Manifest
from conf.workspace.parquet import describe_parquet
from tests.trainer.small_parts import ragged, write_dataset
from trainer.retrieval.new_items import item_values, near_counts, new_vectors

OLD, CATALOGUE = 6, 9


def test_an_item_stands_near_those_within_the_distance() -> None:
    blocks = [{HISTORY_ITEMS: ragged([[2, 3, 6, 4, 7], [5, 6]])}, {HISTORY_ITEMS: ragged([[6, 4]])}]

    one = near_counts(blocks, old=OLD, catalogue=CATALOGUE, distance=1)
    two = near_counts(blocks, old=OLD, catalogue=CATALOGUE, distance=2)

    # Columns are the numbers 0 to 5; nobody is near the next history's items, or new ones.
    assert one.toarray().tolist() == [[0, 0, 0, 1, 2, 1], [0, 0, 0, 0, 1, 0], [0] * 6]
    assert two.toarray().tolist() == [[0, 0, 1, 1, 2, 1], [0, 0, 0, 0, 1, 0], [0] * 6]


def test_new_vectors_are_means_of_neighbours_then_of_values_then_of_all() -> None:
    old = np.array([[9, 9], [9, 9], [1, 0], [3, 0], [0, 4], [0, 8]], dtype=np.float32)
    near = sparse.csr_array(np.array([[0, 0, 3, 1, 0, 0], [0] * 6, [0] * 6]))
    # Values: a of items 2 and 3, b of item 5, c of nobody that is old.
    values = sparse.csr_array(
        np.array([[0, 0, 0], [0, 0, 0], [1, 0, 0], [1, 0, 0], [0, 0, 0], [0, 1, 0],
                  [0, 1, 0], [1, 1, 1], [0, 0, 1]])
    )  # fmt: skip

    exact = new_vectors(old, near, values, std=0.0, seed=1)
    noisy = new_vectors(old, near, values, std=0.1, seed=1)

    # 6: (3 (1, 0) + (3, 0)) / 4; 7: the mean of (2, 0), of a, and (0, 8), of b; 8: of all four.
    assert exact.tolist() == [[1.5, 0.0], [1.0, 4.0], [1.0, 3.0]]
    assert noisy[:2].tolist() == exact[:2].tolist() and (noisy[2] != exact[2]).all()
    assert noisy.tolist() == new_vectors(old, near, values, std=0.1, seed=1).tolist()


def test_values_are_those_of_categories_and_tags_that_training_knows(tmp_path: Path) -> None:
    manifest = with_features(write_dataset(tmp_path, [[2, 3]], [2], [3], items=2), tmp_path)

    values = item_values(tmp_path / "datasets" / "small", manifest)

    # Colour 2 of item 2; tags 2 and 3 of item 3; 1 is unknown, and a left-out feature is none.
    dense = values.toarray()
    assert dense.shape[0] == 4 and dense[:2].sum() == 0
    assert dense[2].sum() == 1 and dense[3].sum() == 2 and (dense[2] * dense[3]).sum() == 0


def with_features(manifest: Manifest, workspace: Path) -> Manifest:
    folder = workspace / "datasets" / "small"
    path = folder / "item_features" / "part-00000.parquet"
    path.parent.mkdir()
    table = pa.table({
        ITEM_IDX: pa.array([2, 3], pa.int32()),
        "item_colour": pa.array([2, 1], pa.int32()),
        "item_tags": pa.array([[], [2, 3]], pa.list_(pa.int32())),
        "item_size": pa.array([0.5, 0.5], pa.float32()),
        "item_same": pa.array([2, 2], pa.int32()),
    })  # fmt: skip
    pq.write_table(table, path)
    same = Feature(name="item_same", kind="categorical", encoding="categorical",
                   left_out="constant")  # fmt: skip
    features = (
        Feature(name="item_colour", kind="categorical", encoding="categorical", cardinality=5),
        Feature(name="item_tags", kind="tags", encoding="tags", cardinality=5),
        Feature(name="item_size", kind="numeric", encoding="numeric"),
        same,
    )
    files = {**manifest.files, "item_features": (describe_parquet(folder, path),)}
    columns = [Column(name=name, kind="numeric", dtype="") for name in table.column_names]
    return manifest.model_copy(
        update={
            "features": {"item_features": features},
            "files": files,
            "columns": {**manifest.columns, "item_features": tuple(columns)},
        }
    )
